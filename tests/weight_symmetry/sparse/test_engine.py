"""Training of live weights only: the same losses, states and records as by dense products."""

import dataclasses
import importlib
import json
import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weight_symmetry import Masks, models, prune, sparse, sparse_train
from weight_symmetry.masks import create
from weight_symmetry.run import experiment
from weight_symmetry.run.config import TrialOptions
from weight_symmetry.run.prune_config import PruneConfig
from weight_symmetry.run.sparse_config import SparseTrainConfig
from weight_symmetry.sparse import engine, kernels
from weight_symmetry.sparse.engine import SparseTrainer
from weirdonetworks.lab.data.datasets import Dataset, Examples, Split, Standardisation
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training import checkpoints, objectives
from weirdonetworks.lab.training.optimizers import Adam, Momentum
from weirdonetworks.lab.training.state import DivergenceError
from weirdonetworks.lab.training.trainer import Resident, Trainer

pytestmark = pytest.mark.usefixtures("undrawn")
BATCH = 30  # Every batch here fills rows of one length, whose kernels are compiled once.
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "Adam": lambda: Adam(weight_decay=0.2),
    "Momentum": lambda: Momentum(0.9, weight_decay=0.01),
    "Nesterov": lambda: Momentum(0.9, weight_decay=0.01, nesterov=True),
}


def test_the_flag_tells_from_which_share_on_the_engine_is_dense() -> None:
    (execution,) = (field for field in dataclasses.fields(SparseTrainConfig) if field.name == "execution")
    assert (
        engine.DENSE == 1 / 4
        and "is graph while a quarter of the weights or more are kept" in execution.metadata["help"]
    )


class WithoutBias(snt.Module):
    """A chain of dense layers whose first has no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [snt.Linear(12, with_bias=False), snt.Linear(10)]

    def __call__(self, images: tf.Tensor, is_training: bool, seed: Any = None) -> tf.Tensor:
        return self.layers[1](tf.nn.relu(self.layers[0](snt.flatten(images))))


def make_trainer(
    kind: type[Trainer], data: Dataset, optimizer: str = "Adam", network: Any = None, sparsity: float = 0.9
) -> Any:
    """A trainer of a network with fixed weights and masks."""
    network = network or models.MNIST_FC(features=(20, 15), num_classes=len(data.classes))
    network(tf.zeros([1, *data.train.images.shape[1:]]), is_training=False)
    masks = Masks.create(network, "random", sparsity, seed=3)
    models.initialise(masks, 5)
    wrapped = masks.wrap(OPTIMIZERS[optimizer](), corrects_fan_in=optimizer == "Momentum")
    train = Resident(data.train)
    objective = objectives.classifier(data, takes=("is_training", "seed"))
    if kind is SparseTrainer:
        return SparseTrainer(network, wrapped, objective, train, data.standardisation, batch_size=BATCH)
    return Trainer(network, wrapped, objective, train, batch_size=BATCH, execution="graph")


def train(trainer: Trainer, epoch: int, rate: float = 0.003) -> dict[str, Any]:
    order = np.random.default_rng(epoch).permutation(len(trainer.train))
    return trainer.epoch(order, np.full(trainer.steps_per_epoch, rate), (0, 0))


def state(trainer: Trainer) -> list[Any]:
    return [variable.numpy() for variable in trainer.state.variables]


def assert_same_state(one: Trainer, other: Trainer) -> None:
    for a, b in zip(state(one), state(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1.0, np.abs(a.astype(np.float64)).max(initial=0)))


@pytest.mark.slow
@pytest.mark.parametrize("network", [None, WithoutBias])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_is_that_of_dense_products(optimizer: str, network: Any, digits: Dataset) -> None:
    """Over a short last batch, changed masks, regrown weights, and decay."""
    dense, live = (make_trainer(kind, digits, optimizer, network and network()) for kind in (Trainer, SparseTrainer))
    other = train(make_trainer(SparseTrainer, digits, optimizer, network and network()), 0, rate=0.0033)["loss"]
    for epoch, sparsity in enumerate((None, 0.95, 0.85)):
        if sparsity is not None:
            for trainer in (dense, live):
                masks = trainer.state.optimizer.masks
                masks.set(create("random", [mask.shape for mask in masks.arrays], sparsity, seed=epoch))
        steps = train(dense, epoch), train(live, epoch)
        assert steps[0].keys() == steps[1].keys()
        for name, values in steps[0].items():
            np.testing.assert_allclose(values, steps[1][name], rtol=1e-4, atol=1e-6)
        assert epoch or not np.allclose(steps[0]["loss"], other, rtol=1e-4)  # Another rate is told apart.
        assert_same_state(dense, live)
        ends = dense.evaluate(dense.train), live.evaluate(live.train)
        assert ends[0] == pytest.approx(ends[1], rel=1e-5)
    seed, indices = (0, 0), np.arange(50)
    with tf.GradientTape() as tape:
        objective = objectives.classifier(digits, takes=("is_training", "seed"))(dense.network)
        images, labels = dense.train.images[:50], dense.train.labels[:50]
        loss = tf.reduce_mean(objective(images, labels, is_training=True, seed=seed)["loss"])
    weights = dense.state.optimizer.masks.weights
    for expected, found in zip(tape.gradient(loss, weights), live.gradients(indices, seed), strict=True):
        np.testing.assert_allclose(expected, found, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_an_epoch_in_parts_is_the_epoch(digits: Dataset) -> None:
    whole, parts = (make_trainer(SparseTrainer, digits) for _ in range(2))
    order, rates = np.random.default_rng(0).permutation(len(whole.train)), np.linspace(0.01, 0.001, 17)
    expected = whole.epoch(order, rates, (0, 0))
    found = [
        parts.epoch(order[:150], rates[:5], (0, 0)),
        parts.epoch(order[150:], rates[5:], (0, 0), first=5),
    ]
    for name in expected:
        np.testing.assert_array_equal(expected[name], np.concatenate([part[name] for part in found]))
    for one, other in zip(state(whole), state(parts), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.slow
def test_many_weights_are_trained_by_dense_products(digits: Dataset) -> None:
    dense, live = (make_trainer(kind, digits, sparsity=1 - engine.DENSE) for kind in (Trainer, SparseTrainer))
    assert (train(dense, 0)["loss"] == train(live, 0)["loss"]).all()
    for one, other in zip(state(dense), state(live), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_small_images_and_several_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of fewer bytes than a vector has numbers, and batches wider than a row."""
    monkeypatch.setattr(kernels, "CACHE", 1)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (70, 2, 1, 3)).astype(np.uint8)
    split = Split(images, rng.integers(0, 10, 70).astype(np.int32))
    data = Dataset("small", split, split, tuple("0123456789"), Standardisation.of(images))
    dense, live = (make_trainer(kind, data) for kind in (Trainer, SparseTrainer))
    np.testing.assert_allclose(train(dense, 0)["loss"], train(live, 0)["loss"], rtol=1e-5)
    assert_same_state(dense, live)
    assert [each.shape for each in live.gradients(np.arange(70), (0, 0))] == [(6, 20), (20, 15), (15, 10)]


class Unfit(snt.Module):
    """A model of two dense layers with something between them."""

    def __init__(self, between: Callable[[tf.Tensor], tf.Tensor], trainable: bool = True) -> None:
        super().__init__()
        self.layers = [snt.Linear(10), snt.Linear(10)]
        self.between = between
        self.unused = tf.Variable(tf.zeros([2, 2]), trainable=not trainable)

    def __call__(self, images: tf.Tensor, is_training: bool, seed: Any = None) -> tf.Tensor:
        return self.layers[1](self.between(self.layers[0](snt.flatten(images))))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: Unfit(tf.nn.tanh), r"it computes Tanh \(.*\) after its bias"),
        (lambda: Unfit(lambda hidden: hidden), r"it computes MatMul \(.*\) after its bias"),
        (lambda: Unfit(lambda hidden: tf.nn.relu(hidden) + hidden), r"it computes AddV2"),
        (
            lambda: Unfit(tf.nn.relu, trainable=False),
            r"must have a model that trains all of its layers, and them alone",
        ),
        (lambda: models.MNIST_FC(features=(5,), dropout_rate=0.5), r"without dropout, and this one is not"),
    ],
)
def test_other_models_are_refused(model: Callable[[], Any], message: str, digits: Dataset) -> None:
    with pytest.raises(UsageError, match=message):
        make_trainer(SparseTrainer, digits, network=model())


class ClippedInUse(snt.Module):
    """A chain of dense layers whose last is left out of training, or of evaluation."""

    def __init__(self, clips: Callable[[tf.Tensor], tf.Tensor]) -> None:
        super().__init__()
        self.layers, self.clips = [snt.Linear(10), snt.Linear(10)], clips

    def __call__(self, images: tf.Tensor, is_training: bool, seed: Any = None) -> tf.Tensor:
        logits = self.layers[1](tf.nn.relu(self.layers[0](snt.flatten(images))))
        return logits if is_training else self.clips(logits)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (lambda found: found | {"loss": found["loss"] / 2}, r"^objective \(with loss, accuracy; loss .*Pass --exec"),
        (lambda found: found | {"other": found["loss"]}, r"^objective \(with loss, accuracy, other; loss "),
        (dict, None),
    ],
)
def test_other_objectives_are_refused(
    objective: Callable[[Any], Any], message: str | None, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = objectives.classifier

    def changed(*args: Any, **options: Any) -> Any:
        made = classifier(*args, **options)
        return lambda network: lambda *batch, **call: objective(dict(made(network)(*batch, **call)))

    monkeypatch.setattr(objectives, "classifier", changed)
    if message is None:
        make_trainer(SparseTrainer, digits)
        return
    with pytest.raises(UsageError, match=message):
        make_trainer(SparseTrainer, digits)


def test_models_that_compute_something_else_in_use_are_refused(digits: Dataset) -> None:
    with pytest.raises(UsageError, match=r"this one is not: it computes Tanh"):
        make_trainer(SparseTrainer, digits, network=ClippedInUse(tf.nn.tanh))
    make_trainer(SparseTrainer, digits, network=ClippedInUse(tf.identity))


def test_a_bias_for_all_units_at_once_is_refused(digits: Dataset) -> None:
    shared = tf.Variable(tf.zeros([1]))
    model = Unfit(lambda hidden: tf.nn.relu(hidden + shared))
    model.layers[0], model.unused = snt.Linear(10, with_bias=False), shared
    with pytest.raises(UsageError, match=r"it computes AddV2 \(.*\) after its weights"):
        make_trainer(SparseTrainer, digits, network=model)


def test_examples_that_kernels_would_misread_are_refused(digits: Dataset) -> None:
    trainer, split = make_trainer(SparseTrainer, digits), digits.train
    rates = np.zeros(trainer.steps_per_epoch)
    order = np.arange(len(split))
    for wrong in (order + 1, order - 1):
        with pytest.raises(ValueError, match=r"^order \(=.* must hold indices of the \d+ training examples\."):
            trainer.epoch(wrong, rates, (0, 0))
    with pytest.raises(ValueError, match=r"^learning_rates \(of length \d+\) must hold one for each batch of 30"):
        trainer.epoch(order[:BATCH], rates, (0, 0))
    for indices in (order[:0], order + 1):
        with pytest.raises(ValueError, match=r"^indices \(="):
            trainer.gradients(indices, (0, 0))
    images, labels = split.images, split.labels
    for data, message in (
        (Split(images[:, :-1], labels), r"^images \(uint8 \(27, 28, 1\)\) must be uint8 \(28, 28, 1\)"),
        (Examples(images.astype(np.float32), labels), r"^images \(float32 "),
        (Split(images, labels + np.int32(1)), r"^labels \(=1 to 10\) must be in \[0, 10\)"),
        (Split(images, labels - np.int32(1)), r"^labels \(=-1 to 8\)"),
    ):
        with pytest.raises(UsageError, match=message):
            trainer.evaluate(Resident(data))
    few = models.MNIST_FC(features=(20,), num_classes=9)
    with pytest.raises(UsageError, match=r"^labels \(=0 to 9\) must be in \[0, 9\), the outputs of the model"):
        make_trainer(SparseTrainer, digits, network=few)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "MNIST_CNN"}, r"execution \(=sparse\) is for .*, and not for model \(=MNIST_CNN\)"),
        ({"dropout_rate": 0.1}, r"not for dropout_rate \(=0.1\): pass --execution=auto"),
        ({"precision": "bfloat16"}, r"precision \(=bfloat16\) must be tf32 or highest with --execution=sparse"),
    ],
)
def test_other_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PruneConfig(execution="sparse", **options)


SHORT: dict[str, Any] = {"examples": 200, "validation_size": 100, "epochs": 3, "batch_size": 25, "features": (20,)}


def run(folder: pathlib.Path, backend: str = "auto", trials: int = 1, resume: bool = False, **settings: Any) -> Any:
    config = PruneConfig(**SHORT | settings, pruning_schedule="[(0, 0.85), (2, 0.95)]", execution="sparse")
    options = TrialOptions(
        experiment_dir=str(folder), num_trials=trials, trials_backend=backend, resume=resume, start_missing=True
    )
    return experiment.run("prune", config, options, prune.updater)


def records(folder: pathlib.Path) -> dict[int, Any]:
    found = {}
    for path in folder.glob("*/metrics.jsonl"):
        seed = json.loads((path.parent / "config.json").read_text())["random_seed"]
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        found[seed] = [{key: value for key, value in line.items() if key != "wallclock_time"} for line in lines]
    return found


@pytest.mark.slow
def test_a_resumed_run_and_trials_in_threads_have_the_records_of_one_that_ran_through(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "through")
    save = checkpoints.Checkpoints.save

    def die(own: checkpoints.Checkpoints, epoch: int) -> None:
        save(own, epoch)
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoints.Checkpoints, "save", die)
        run(tmp_path / "resumed")
    run(tmp_path / "resumed", resume=True)
    run(tmp_path / "threads", trials=2)
    through = records(tmp_path / "through")
    assert len(through[42]) == 3 and records(tmp_path / "resumed") == through
    threads = records(tmp_path / "threads")
    assert threads[42] == through[42] and threads[43] != through[42]
    configs = [json.loads(path.read_text()) for path in tmp_path.glob("*/*/config.json")]
    assert {config["execution"] for config in configs} == {"sparse"}


@pytest.mark.slow
def test_masks_that_change_within_epochs_are_those_of_dense_products(tmp_path: pathlib.Path) -> None:
    """RigL needs dense gradients, and the two must grow the same connections."""
    settings: dict[str, Any] = SHORT | {"updater": "rigl", "sparsity": 0.9, "update_interval": 3}
    for execution in ("sparse", "graph"):
        config = SparseTrainConfig(**settings, execution=execution)
        experiment.run(
            "sparse_train", config, TrialOptions(experiment_dir=str(tmp_path / execution)), sparse_train.updater
        )
    found, expected = (records(tmp_path / execution)[42] for execution in ("sparse", "graph"))
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert other[name] == (pytest.approx(value, rel=1e-4) if isinstance(value, float) else value), name


@pytest.mark.slow
def test_a_training_that_diverges_is_seen_to(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DivergenceError, match="lower --learning_rate"):
        run(tmp_path, learning_rate=1e30, optimizer="Momentum")


def test_trials_in_one_program_are_refused_before_anything_is_written(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError, match=r"trials_backend \(=batched\) must be threads with --execution=sparse"):
        run(tmp_path / "runs", backend="batched", trials=2)
    assert not (tmp_path / "runs").exists()


def test_a_missing_numba_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("engine", "kernels", "vectors"):
        monkeypatch.delitem(sys.modules, f"weight_symmetry.sparse.{name}")
        monkeypatch.delattr(sparse, name)
    for name in ("numba", "llvmlite"):
        monkeypatch.setitem(sys.modules, name, None)
    remedy = re.escape("numba is not installed, and --execution=sparse needs it: pip install weirdonetworks[sparse].")
    with pytest.raises(ImportError, match=remedy):
        importlib.import_module("weight_symmetry.sparse.engine")
