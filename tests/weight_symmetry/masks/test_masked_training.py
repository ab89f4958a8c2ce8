"""Masked training by our trainer: a cut weight never moves, also if it is cut in mid-training."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sonnet as snt
import tensorflow as tf

from weight_symmetry.masks import Masks
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.training import objectives
from weirdonetworks.lab.training.optimizers import Adam, Momentum
from weirdonetworks.lab.training.trainer import Resident, Trainer


class Plain(snt.Module):
    """A linear layer on images."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(np.random.default_rng(0).normal(0, 0.05, (784, 10)), dtype=tf.float32)
        self.b = tf.Variable(tf.zeros([10]))

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        return snt.flatten(images) @ self.w + self.b


OPTIMIZERS = {
    "Adam": lambda: Adam(),
    "Adam with decay": lambda: Adam(weight_decay=0.3),
    "Momentum": lambda: Momentum(0.9),
    "Momentum with decay": lambda: Momentum(0.9, weight_decay=0.01),
}


def pixel_mask() -> npt.NDArray[np.bool_]:
    return np.random.default_rng(4).random((784, 10)) < 0.5


def make_trainer(network: Any, optimizer: Any, digits: Dataset, execution: str = "graph") -> Trainer:
    def objective(network: Any) -> objectives.Objective:
        return objectives.classification(network, digits.standardisation)

    return Trainer(network, optimizer, objective, Resident(digits.train), batch_size=50, execution=execution)


def train(trainer: Trainer, epochs: int = 3, first: int = 0) -> None:
    for epoch in range(first, first + epochs):
        order = np.random.default_rng(epoch).permutation(len(trainer.train))
        trainer.epoch(order, np.full(trainer.steps_per_epoch, 0.01), (0, epoch))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "execution"), [*((optimizer, "graph") for optimizer in OPTIMIZERS), ("Adam with decay", "xla")]
)
def test_a_cut_weight_never_moves(optimizer: str, execution: str, digits: Dataset) -> None:
    mask, network = pixel_mask(), Plain()
    masks = Masks(network)
    masks.set([mask])
    start = network.w.numpy()
    train(make_trainer(network, masks.wrap(OPTIMIZERS[optimizer]()), digits, execution), epochs=2)
    end = network.w.numpy()
    assert (end[~mask] == 0).all()
    inked = digits.train.images.reshape(len(digits.train), -1).any(axis=0)
    assert (end[mask] != start[mask]).mean() > 0.9
    assert (np.abs(end - start)[mask & np.asarray(inked)[:, np.newaxis]] > 1e-3).mean() > 0.5


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_weight_masked_only_once_does_move(optimizer: str, digits: Dataset) -> None:
    mask, network = pixel_mask(), Plain()
    Masks(network).set([mask])
    train(make_trainer(network, OPTIMIZERS[optimizer](), digits), epochs=2)
    assert (np.abs(network.w.numpy()[~mask]) > 1e-3).mean() > 0.5


@pytest.mark.parametrize("optimizer", ["Adam", "Momentum"])
@pytest.mark.parametrize("wrapped", [True, False], ids=["wrapped", "not wrapped"])
def test_a_weight_cut_in_mid_training_stays(optimizer: str, wrapped: bool, digits: Dataset) -> None:
    network = Plain()
    masks, inner = Masks(network), OPTIMIZERS[optimizer]()
    trainer = make_trainer(network, masks.wrap(inner) if wrapped else inner, digits)
    train(trainer, epochs=1)
    mask = pixel_mask()
    masks.set([mask])
    train(trainer, epochs=1, first=1)
    stayed = (network.w.numpy()[~mask] == 0).mean()
    assert stayed == 1 if wrapped else stayed < 0.7


@pytest.mark.parametrize("optimizer", ["Adam with decay", "Momentum with decay"])
def test_weights_masked_once_an_epoch_train_as_those_masked_after_each_step(
    optimizer: str, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = pixel_mask()

    def trained(keeps_zeros: bool) -> npt.NDArray[np.float32]:
        network = Plain()
        masks = Masks(network)
        masks.set([mask])
        inner = OPTIMIZERS[optimizer]()
        if not keeps_zeros:  # A subclass does not inherit that, since it may take other steps.
            inner.__class__ = type("Other", (type(inner),), {})
        masks.wrap(inner)
        trainer = make_trainer(network, inner, digits)
        index = [id(each) for each in network.trainable_variables].index(id(network.w))
        for moments in (getattr(inner, slot) for slot in inner.slot_names):
            moments[index].assign(tf.where(mask, 0.0, 1.0))  # As after steps under another mask.
        train(trainer, epochs=1)
        values: npt.NDArray[np.float32] = network.w.numpy()
        return values

    once, always = trained(True), trained(False)
    np.testing.assert_array_equal(once, always)
    assert (once[~mask] == 0).all() and (once[mask] != 0).all()
    monkeypatch.setattr(Masks, "cut_moments", lambda *_: None)
    assert (trained(True)[~mask] != 0).all(), "control"


def test_the_recorded_norm_is_that_of_the_masked_gradient(digits: Dataset) -> None:
    norms = []
    for kept in (0.0, 0.5, 1.0):
        network = Plain()
        masks = Masks(network)
        trainer = make_trainer(network, masks.wrap(Adam()), digits)
        masks.set([np.random.default_rng(1).random((784, 10)) < kept])
        network.w.assign(tf.zeros_like(network.w))  # So that the gradients are the same.
        steps = trainer.epoch(np.arange(len(trainer.train)), np.zeros(trainer.steps_per_epoch), (0, 0))
        norms.append(steps["gradient_norm"])
    assert (norms[0] > 0).all() and (norms[0] < norms[1]).all() and (norms[1] < norms[2]).all()


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["graph", "xla"])
def test_a_new_mask_traces_nothing_again(execution: str, digits: Dataset) -> None:
    network, entered = Plain(), 0
    masks = Masks(network)

    def counted(images: tf.Tensor) -> tf.Tensor:
        nonlocal entered
        entered += 1
        return network(images)

    objective = objectives.classification(counted, digits.standardisation)
    trainer = Trainer(
        network,
        masks.wrap(Adam()),
        lambda _: objective,
        Resident(digits.train),
        batch_size=50,
        execution=execution,
    )
    test = Resident(digits.test)
    train(trainer, epochs=1)
    loss = trainer.evaluate(test)["loss"]
    traced = entered
    for epoch in range(1, 4):
        masks.set([np.random.default_rng(epoch).random((784, 10)) < 0.1])
        train(trainer, epochs=1, first=epoch)
        changed = trainer.evaluate(test)["loss"]
    assert entered == traced
    assert changed != loss
