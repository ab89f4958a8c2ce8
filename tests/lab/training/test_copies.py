"""Networks trained side by side, against the same networks trained one by one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry
from weight_symmetry.masks import Masks
from weight_symmetry.models import CIFAR10_CNN, MNIST_CNN, MNIST_FC
from weirdonetworks import PolynomialMLP, SynchronousMLP
from weirdonetworks.algebra import image_rotations
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training import objectives
from weirdonetworks.lab.training.copies import Copies
from weirdonetworks.lab.training.memory import size_of_a_copy
from weirdonetworks.lab.training.optimizers import Adam, Momentum
from weirdonetworks.lab.training.state import TrainState
from weirdonetworks.lab.training.trainer import Resident, Trainer

COUNT, BATCH = 2, 8
EXAMPLES = 2 * BATCH


class Pixels(snt.Module):
    """A network on images of 7 x 7, flattened."""

    def __init__(self, network: Callable[..., tf.Tensor]):
        super().__init__()
        self.network = network

    def __call__(self, images: tf.Tensor, is_training: bool, seed: tf.Tensor) -> tf.Tensor:
        del is_training, seed
        return self.network(snt.flatten(images[:, ::4, ::4]))


MODELS: dict[str, Callable[[], Any]] = {
    "MNIST_FC": lambda: MNIST_FC(features=(12, 8), dropout_rate=0.3),
    "MNIST_CNN": lambda: MNIST_CNN(filters=(3,), dense_size=6, dropout_rate=0.3),
    "CIFAR10_CNN": lambda: CIFAR10_CNN(filters=(3, 3), dropout_rate=0.3),
    "PolynomialMLP": lambda: Pixels(PolynomialMLP([6, 10], degree=2)),
    "SynchronousMLP": lambda: Pixels(SynchronousMLP(image_rotations(7, 7), [6], [10])),
    "Sequential": lambda: Pixels(snt.Sequential([snt.Linear(8), snt.LayerNorm(-1, True, True), snt.Linear(10)])),
}


@pytest.fixture(scope="module")
def few(digits: Dataset) -> Dataset:
    return cut(digits, EXAMPLES)


def cut(data: Dataset, examples: int) -> Dataset:
    return Dataset(data.name, data.train[:examples], data.test[: examples // 2], data.classes, data.standardisation)


def make_trainer(kind: str, few: Dataset, execution: str, adam: bool = True, count: int | None = None) -> Trainer:
    network = MODELS[kind]()
    optimizer = Adam(weight_decay=0.1) if adam else Momentum(0.9, weight_decay=0.01)
    if hasattr(network, "layers"):
        network(tf.zeros([1, 28, 28, 1]), is_training=False)
        optimizer = Masks(network).wrap(optimizer)
    return Trainer(
        network,
        optimizer,
        lambda network: objectives.classification(network, few.standardisation, takes=("is_training", "seed")),
        Resident(few.train),
        count=count,
        batch_size=BATCH,
        batch_size_test=4,
        execution=execution,
    )


def start(trainer: Trainer, index: int) -> None:
    """Gives a network weights, and masks, of its own."""
    network = trainer.network
    rng = np.random.default_rng(index)
    for variable in network.trainable_variables:
        variable.assign(rng.normal(0, 0.2, variable.shape))
    trainer.state.restart()
    if masks := getattr(trainer.state.optimizer, "masks", None):
        masks.set([rng.random(mask.shape) < 0.7 for mask in masks.arrays])


def prune(trainer: Trainer) -> None:
    """Cuts the lesser half of the weights that a masked network still has."""
    if masks := getattr(trainer.state.optimizer, "masks", None):
        sizes = [np.abs(weight.numpy()) for weight in masks.weights]
        masks.set([size > np.median(size[size > 0]) for size in sizes])


def train(trainer: Trainer, orders: npt.NDArray[np.integer], seeds: npt.NDArray[np.integer]) -> list[dict[str, Any]]:
    """Trains two epochs, the networks pruned in between; returns the figures, copies first where there are some."""
    count = trainer.count or 1
    found = []
    for epoch in range(2):
        for index in range(count):
            with trainer.member(index) as one:
                if epoch:
                    prune(one)
        steps = -(-orders.shape[-1] // BATCH)
        found.append(trainer.epoch(orders[epoch], np.full(steps, 0.01), seeds[epoch]))
    return found


def state(trainer: Trainer) -> list[npt.NDArray[Any]]:
    return [variable.numpy() for variable in trainer.state.variables]


# XLA takes long to compile, and treats every network alike.
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "execution"), [*((kind, "graph") for kind in MODELS), ("MNIST_FC", "xla")])
def test_copies_train_as_single_networks_do(kind: str, execution: str, digits: Dataset) -> None:
    rng = np.random.default_rng(5)
    # One has a short batch too, in training and at the test: it is traced beside the others.
    examples = EXAMPLES + 4 if (kind, execution) == ("MNIST_FC", "graph") else EXAMPLES
    few = cut(digits, examples)
    orders = np.stack([[rng.permutation(examples) for _ in range(COUNT)] for _ in range(2)])
    seeds = rng.integers(0, 1000, (2, COUNT, 2))
    copies = make_trainer(kind, few, execution, count=COUNT)
    for index in range(COUNT):
        with copies.member(index) as one:
            start(one, index)
    together = train(copies, orders, seeds)
    evaluated = copies.evaluate(Resident(few.test))
    alone = make_trainer(kind, few, execution)
    ends = []
    for index in range(COUNT):
        for variable in alone.state.variables:
            variable.assign(tf.zeros_like(variable))
        start(alone, index)
        for own, figures in zip(train(alone, orders[:, index], seeds[:, index]), together, strict=True):
            for name in (*alone.metrics, "gradient_norm"):
                np.testing.assert_allclose(figures[name][index], own[name], rtol=2e-4, atol=1e-5, err_msg=name)
        ends.append(state(alone))
        with copies.member(index) as one:
            for here, there in zip(state(one), ends[-1], strict=True):
                np.testing.assert_allclose(here, there, rtol=2e-3, atol=2e-4 * (1 + np.abs(there).max()))
        for name, value in alone.evaluate(Resident(few.test)).items():
            assert evaluated[name][index] == pytest.approx(value, rel=1e-3, abs=1e-5)
    # Each has learned something of its own: nothing is shared, nothing left as it was.
    assert all((a != b).any() for a, b in zip(*ends, strict=True) if a.ndim > 1)


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", [each for each in registry.NETWORKS if each.name not in MODELS], ids=registry.name)
def test_gradients_of_copies_are_those_of_single_networks(
    entry: registry.Network, warnings_of_tensorflow: list[str]
) -> None:
    network = entry.build()
    copies, rng = Copies(TrainState(network, Momentum()), COUNT), np.random.default_rng(0)

    def descent(network: Any, parameters: Any, inputs: tf.Tensor, seed: tf.Tensor) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(parameters)
            loss = tf.reduce_mean(entry.call(network, inputs, is_training=True, seed=seed) ** 2)
        return loss, tape.gradient(loss, parameters, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    inputs, seeds = tf.stack([entry.inputs(seed=index) for index in range(COUNT)]), tf.constant([[1, 2], [3, 4]])
    for parameter in copies.parameters:
        parameter.assign_add(rng.normal(0, 0.2, parameter.shape))
    together = tf.function(lambda *batch: copies.call(descent, *batch), autograph=False)(inputs, seeds)
    for index in range(COUNT):
        for variable, parameter in zip(network.trainable_variables, copies.parameters, strict=True):
            variable.assign(parameter[index])
        alone = descent(network, network.trainable_variables, inputs[index], seeds[index])
        for one, each in zip(tf.nest.flatten(alone), tf.nest.flatten(together), strict=True):
            np.testing.assert_allclose(each[index], one, rtol=1e-3, atol=1e-5 * (1 + np.abs(one).max()))
    # TensorFlow also warns of tracing anew, which so many networks in one process do.
    assert not [each for each in warnings_of_tensorflow if "while_loop" in each]


@pytest.mark.slow
def test_momentum_and_its_weight_decay_are_each_copys_own(few: Dataset) -> None:
    orders = np.stack([np.arange(EXAMPLES), np.arange(EXAMPLES)[::-1]])
    copies = make_trainer("MNIST_FC", few, "graph", adam=False, count=2)
    alone = make_trainer("MNIST_FC", few, "graph", adam=False)
    for index in range(2):
        with copies.member(index) as one:
            start(one, index)
    copies.epoch(orders, np.full(2, 0.05), [(1, 2), (3, 4)])
    start(alone, 1)
    alone.epoch(orders[1], np.full(2, 0.05), (3, 4))
    with copies.member(1) as one:
        for here, there in zip(state(one), state(alone), strict=True):
            np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_copy_that_diverges_harms_no_other(few: Dataset) -> None:
    copies = make_trainer("MNIST_CNN", few, "graph", count=2)
    for index in range(2):
        with copies.member(index) as one:
            start(one, 0)
            if index:
                one.network.layers[-1].b.assign(np.full(10, np.nan))
    order = np.stack([np.arange(EXAMPLES)] * 2)
    figures = copies.epoch(order, np.full(2, 0.01), [(1, 2)] * 2)
    assert np.isfinite(figures["loss"][0]).all() and np.isnan(figures["loss"][1]).all()


@pytest.mark.slow
def test_every_variable_is_found_wherever_the_network_keeps_it(few: Dataset) -> None:
    copies = make_trainer("PolynomialMLP", few, "graph", count=2)
    assert len(copies.network.trainable_variables) == len(copies._copies.parameters) > 2
    with copies.member(0) as one:
        before = state(one)
    copies.epoch(np.stack([np.arange(EXAMPLES)] * 2), np.full(2, 0.01), [(1, 2)] * 2)
    with copies.member(0) as one:
        pairs = zip(before, state(one), one.state.variables, strict=True)
        assert all((a != b).any() for a, b, variable in pairs if variable.trainable)


@pytest.mark.slow
def test_a_variable_out_of_reach_is_refused(few: Dataset) -> None:
    hidden = snt.Linear(10)

    class Hides(snt.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = hidden
            self.call = lambda images: hidden(snt.flatten(images))  # A copy of it still reaches this `hidden`.

        def __call__(self, images: tf.Tensor) -> tf.Tensor:
            return self.call(images)

    trainer = Trainer(
        Hides(),
        Adam(),
        lambda network: objectives.classification(network, few.standardisation),
        Resident(few.train),
        count=2,
        batch_size=BATCH,
        execution="graph",
    )
    with pytest.raises(ValueError, match=r"must reach its variable .* by attributes"):
        trainer.epoch(np.stack([np.arange(EXAMPLES)] * 2), np.full(2, 0.01), [(1, 2)] * 2)


def test_a_count_below_one_is_refused(few: Dataset) -> None:
    with pytest.raises(UsageError, match=r"count \(=0\) must be at least 1"):
        make_trainer("MNIST_FC", few, "graph", count=0)


@pytest.mark.slow
def test_copies_of_one_order_train_as_copies_given_it_each(digits: Dataset) -> None:
    few = cut(digits, EXAMPLES + 4)  # The last batch is a short one.
    order, rates, seeds = np.arange(EXAMPLES + 4)[::-1], np.full(3, 0.05), [(1, 2), (3, 4)]
    ends = []
    for given in (order, np.stack([order] * 2)):
        copies = make_trainer("MNIST_FC", few, "graph", count=2)
        for index in range(2):
            with copies.member(index) as one:
                start(one, index)
        losses = copies.epoch(given, rates, seeds)["loss"]
        with copies.member(1) as one:
            ends.append([losses, *state(one)])
    for here, there in zip(*ends, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-5)
    assert (ends[0][0][0] != ends[0][0][1]).any()  # Weights, masks and dropout are each copy's own.
    # Forward and by its weights, the first layer is one product for all copies, where the order is shared.
    whole = order[:EXAMPLES]
    assert [_products(copies, given).count((2 * 12,)) for given in (whole, np.stack([whole] * 2))] == [2, 0]


def _products(copies: Trainer, order: npt.NDArray[np.integer]) -> list[tuple[int, ...]]:
    """Lists the widths of the matrix products in the compiled epoch that are not one for each copy."""
    graph = tf.function(copies._epoch, autograph=False).get_concrete_function(
        copies.train.images,
        copies.train.labels,
        tf.constant(order.T, tf.int32),
        tf.zeros([2]),
        tf.zeros([2, 2], tf.int32),
        tf.zeros([1], tf.int32),
    )
    bodies = graph.graph.as_graph_def(add_shapes=True).library.function
    shapes = [
        node.attr["_output_shapes"].list.shape[0] for body in bodies for node in body.node_def if node.op == "MatMul"
    ]
    return [tuple(size.size for size in shape.dim[1:]) for shape in shapes]


def test_the_memory_of_a_copy_grows_with_weights_and_batch(few: Dataset) -> None:
    def size(width: int, batch_size: int) -> int:
        network = snt.Sequential([snt.Flatten(), snt.Linear(width, with_bias=False)])
        objective = lambda network: objectives.classification(network, few.standardisation)  # noqa: E731
        options = {"batch_size": batch_size, "batch_size_test": 1, "execution": "graph"}
        return size_of_a_copy(Trainer(network, Momentum(), objective, Resident(few.train), **options))

    # Weight, initial weight, accumulator; gradient, update, new weight: for 784 weights a unit, in float32.
    assert size(200, 1) - size(100, 1) == pytest.approx(6 * 4 * 784 * 100, rel=0.01)
    example = size(10, 3) - size(10, 2)
    assert example == size(10, 9) - size(10, 8)
    # Twice: the bytes of the image, and their floats as cast, scaled, shifted and flattened.
    assert example == pytest.approx(2 * 784 * (1 + 4 * 4), rel=0.05)
