"""Models of the user's own in the drivers: any Sonnet or Keras model by the name of a function."""

import importlib
import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from weight_symmetry import prune, shuffled_mask
from weight_symmetry.masks import Masks
from weight_symmetry.models import user_models
from weight_symmetry.run import experiment
from weight_symmetry.run.config import ModelConfig, TrialOptions
from weight_symmetry.run.mask_config import ShuffledMaskConfig
from weight_symmetry.run.model_trials import FIXED_CALL, MaskedModel
from weight_symmetry.run.prune_config import PruneConfig
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.measure.unit_graph import UnitGraph

SOURCE = """
import functools

import sonnet as snt
import tensorflow as tf


class Residual(snt.Module):
    def __init__(self, depth, width):
        super().__init__()
        self.stem = snt.Linear(width)
        self.blocks = [snt.Linear(width) for _ in range(depth)]
        self.head = snt.Linear(10)

    def __call__(self, images, is_training):
        hidden = self.stem(snt.flatten(images))
        for block in self.blocks:
            hidden = hidden + tf.nn.relu(block(hidden))
        return self.head(hidden)


def residual(depth=2, width=12):
    return Residual(depth, width)


def chain(classes=10):
    return snt.Sequential([snt.Flatten(), snt.nets.MLP([12, classes])])


def keras(softmax=False):
    layers = tf.keras.layers
    return tf.keras.Sequential([
        tf.keras.Input([28, 28, 1]), layers.Conv2D(4, 3, strides=2), layers.BatchNormalization(), layers.ReLU(),
        layers.Dropout(0.1), layers.GlobalAveragePooling2D(), layers.Dense(10, "softmax" if softmax else None),
    ])


def lone():
    weight = tf.Variable(tf.ones([784, 10]))
    return lambda images: tf.reshape(images, [-1, 784]) @ weight


@functools.cache
def cached():
    return snt.Sequential([snt.Flatten(), snt.Linear(10)])


class Normalised(snt.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = snt.Linear(6), snt.BatchNorm(True, True), snt.Linear(10)

    def __call__(self, images, is_training):
        return self.last(tf.nn.relu(self.norm(self.first(snt.flatten(images)), is_training)))


def normalised():
    return Normalised()


class Dense(snt.Module):
    def __init__(self, sort, features):
        super().__init__()
        self.sort, self.layers = sort, [snt.Linear(features) for _ in range(4)] + [snt.Linear(10)]

    def __call__(self, images):
        hidden = snt.flatten(images)
        for layer in self.layers[:-1]:
            hidden = tf.nn.relu(layer(hidden))
            hidden = tf.sort(hidden, axis=-1) if self.sort else hidden
        return self.layers[-1](hidden)


def dense(sort, features=6):
    return Dense(sort, features)


def number():
    return 3


def unlucky():
    raise RuntimeError("no luck\\nat all")
"""
pytestmark = pytest.mark.usefixtures("undrawn")
SHORT: dict[str, Any] = {"examples": 300, "validation_size": 100, "epochs": 2, "batch_size": 50, "execution": "graph"}


@pytest.fixture(scope="module", autouse=True)
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("mine")
    (folder / "my_own_nets.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder / "my_own_nets.py"


def images(count: int = 2) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=(count, 28, 28, 1)), tf.float32)


def test_options_reach_the_function_and_flags_the_model() -> None:
    model = user_models.load("my_own_nets:residual", {"depth": 3})
    user_models.check("mine", model, images(), 10)
    assert len(model.trainable_variables) == 2 * 5
    keras = user_models.load("my_own_nets:keras", {})
    user_models.check("mine", keras, images(), 10)
    moving = [variable for variable in keras.variables if "moving_mean" in variable.name]
    before = moving[0].numpy()
    keras(images(), is_training=False)
    np.testing.assert_array_equal(moving[0].numpy(), before)
    keras(images(), is_training=True)
    assert (moving[0].numpy() != before).any()


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("my_own_missing:residual", {}, r"my_own_missing could not be imported: ModuleNotFoundError: No module named"),
        ("my_own_nets:gone", {}, "must name a function in its module; there is none of that name"),
        ("my_own_nets:number", {}, "must return a model that can be called, and returns int"),
        ("my_own_nets:unlucky", {}, r"could not be made with model_options \(=\{\}\): RuntimeError: no luck$"),
        ("my_own_nets:chain", {"deep": 3}, r"model_options \(=\{'deep': 3\}\): TypeError: .*deep"),
        ("my_own_nets:chain", {"classes": 7}, r"must give logits of shape \(2, 10\) .* and gives shape \(2, 7\)"),
        ("my_own_nets:keras", {"softmax": True}, "must give logits, and gives probabilities: leave out its softmax"),
        (
            "my_own_nets:lone",
            {},
            "must hold the variables that it trains, as .*; the function that it returns holds none",
        ),
    ],
)
def test_what_is_no_classifier_is_refused_in_one_line(spec: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        user_models.check(spec, user_models.load(spec, options), images(), 10)
    assert "\n" not in str(raised.value)


def test_images_of_another_shape_are_refused_in_one_line() -> None:
    wrong = tf.transpose(images(), [0, 3, 1, 2])
    with pytest.raises(UsageError, match=r"cannot be called on images 1x28x28, channels last: ") as raised:
        user_models.check("mine", user_models.load("my_own_nets:keras", {}), wrong, 10)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "LeNet"}, r"model \(=LeNet\) must be one of MNIST_FC, MNIST_CNN, CIFAR10_CNN, or package.module:"),
        ({"model": "a:b", "model_options": "[3]"}, r"model_options \(=\[3\]\) must be a JSON object"),
        ({"model": "a:b", "model_options": "{"}, r"model_options \(=\{\) must be a JSON object"),
        ({"model": "a:b", "features": (3,)}, r"features \(=\(3,\)\) is for MNIST_FC, .* in --model_options"),
        ({"model": "a:b", "dropout_rate": 0.5}, r"dropout_rate \(=0.5\) is for MNIST_FC"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ModelConfig(**settings)


def test_settings_of_the_three_models_are_recorded_as_ever() -> None:
    assert "model_options" not in ModelConfig().affecting("training") and ModelConfig().init == "he_normal"
    config = PruneConfig(model="a.b:c", model_options='{"depth": 3}', epochs=4)
    assert config.init == "own" and config.affecting("training")["model_options"] == '{"depth": 3}'
    assert config.schedules(2) == 0.9 and config.pruning_epochs == [2]


def read(directory: pathlib.Path, name: str) -> Any:
    return json.loads((directory / name).read_text())


@pytest.mark.slow
def test_a_residual_network_is_pruned_and_its_symmetries_counted(module: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = PruneConfig(**SHORT, model="my_own_nets:residual", model_options='{"depth": 1}', sparsity=0.8)
    (run,) = experiment.run("prune", config, TrialOptions(experiment_dir=str(tmp_path)), prune.updater)
    assert read(run.directory, "config.json")["model_source"] == user_models.source_hash("my_own_nets:residual")
    first, last = run.records
    assert first["mask/permutations"] == str(479001600)  # One space of 12 units, read and written by all blocks.
    assert last["mask/sparsity"] == pytest.approx(0.8, abs=1e-3) and int(last["mask/permutations"]) < 479001600
    stats = read(run.directory, "mask_stats.json")
    assert stats["weights"] == 784 * 12 + 12 * 12 + 12 * 10 and "automorphisms" in stats
    again = experiment.run("prune", config, TrialOptions(experiment_dir=str(tmp_path)), prune.updater)
    assert [run.id for run in again] == [run.id] and again[0].found_finished
    old = module.read_text()
    try:
        module.write_text(old + "\n# changed\n")
        (changed,) = experiment.run("prune", config, TrialOptions(experiment_dir=str(tmp_path)), prune.updater)
    finally:
        module.write_text(old)
    assert changed.id != run.id


@pytest.mark.slow
def test_units_are_moved_in_any_model(tmp_path: pathlib.Path) -> None:
    settings = SHORT | {"model": "my_own_nets:residual", "rewind_epoch": 0, "ablation": "asymmetric_shuffle"}
    options = TrialOptions(experiment_dir=str(tmp_path), num_trials=2, trials_backend="batched")
    for run in experiment.run("prune", PruneConfig(**settings), options, prune.updater):
        assert run.records[-1]["ablation/weights_changed"] > 50


@pytest.mark.slow
def test_a_keras_model_is_trained_by_threads_each_trial_from_values_of_its_own(tmp_path: pathlib.Path) -> None:
    config = ShuffledMaskConfig(**SHORT, model="my_own_nets:keras", mask_sparsity=0.5, masked_layer_indices=(0,))
    options = {"experiment_dir": str(tmp_path), "num_trials": 2}
    updater = shuffled_mask.driver.fixed_mask
    runs = experiment.run("shuffled_mask", config, TrialOptions(**options, trials_backend="threads"), updater)
    losses = [run.records[0]["train_avg_loss"] for run in runs]
    assert losses[0] != losses[1]
    alone = TrialOptions(experiment_dir=str(tmp_path / "alone"))
    for trial, loss in enumerate(losses):  # Its dropout, too, draws what it would draw alone.
        (same,) = experiment.run("shuffled_mask", config.trial(trial), alone, updater)
        assert same.records[0]["train_avg_loss"] == pytest.approx(loss, rel=1e-5)
    assert read(runs[0].directory, "mask_stats.json")["kept_weights"] == 18 + 40
    with pytest.raises(UsageError, match=r"trials_backend \(=batched\) must be threads for a Keras model"):
        experiment.run(
            "shuffled_mask", config, TrialOptions(**options, trials_backend="batched", overwrite=True), updater
        )
    bad = ShuffledMaskConfig(**SHORT, model="my_own_nets:keras", masked_layer_indices=(5,))
    with pytest.raises(
        UsageError, match=r"masked_layer_indices \(=\(5,\)\) must be in \[0, 2\), the weights of .*kernel"
    ):
        experiment.run("shuffled_mask", bad, alone, updater)


@pytest.mark.slow
def test_a_loaded_model_is_traced() -> None:
    """Under the name of its wrapper, which TensorFlow must take."""
    model = user_models.load("weight_symmetry.models.examples:mlp", {"features": (4,)})
    outputs = tf.function(lambda images: model(images, is_training=False))(tf.ones([2, 6, 6, 1]))
    assert outputs.shape == [2, 10]


def test_a_model_that_is_kept_for_the_next_trial_is_refused(tmp_path: pathlib.Path) -> None:
    kept = PruneConfig(**SHORT, model="my_own_nets:cached")
    options = {"experiment_dir": str(tmp_path), "num_trials": 2}
    for backend in ("threads", "batched"):
        importlib.import_module("my_own_nets").cached.cache_clear()
        with pytest.raises(
            UsageError, match=r"must return a new model at each call, .* earlier trial or seed"
        ) as raised:
            experiment.run("prune", kept, TrialOptions(**options, trials_backend=backend), prune.updater)
        assert "\n" not in str(raised.value)
    one, owner = user_models.load("my_own_nets:chain", {}), object()
    other = user_models.load("my_own_nets:chain", {})
    for model in (one, other):  # The controls: new models, and the same one for the same trial and seed.
        user_models.check("mine", model, images(), 10)
        user_models.claim("mine", model, (owner, 1))
    user_models.claim("mine", one, (owner, 1))
    with pytest.raises(UsageError, match="returns one with mlp/linear_0"):  # As a control with new weights would.
        user_models.claim("mine", one, (owner, 2))


def test_a_model_is_moved_with_the_sums_of_its_batch_norm() -> None:
    """As a driver moves it, traced out of training: hidden sums, which training alone reads, move too."""
    model = user_models.load("my_own_nets:normalised", {})
    for _ in range(3):
        model(images(8), is_training=True)
    units = UnitGraph.trace(model, images(), **FIXED_CALL)
    masked = MaskedModel(model, Masks(model), lambda seed: None, lambda: None, images(), units)
    before = [variable.numpy() for variable in model.variables]
    permutation = [1, 2, 3, 4, 5, 0]
    masked.move({units.free[0].name: permutation})
    of_units = [variable.name for variable in model.variables if "batch_norm" in variable.name]
    assert sum("hidden" in name for name in of_units) == 2
    for variable, old in zip(model.variables, before, strict=True):
        if variable.name in of_units and variable.shape.rank:
            np.testing.assert_array_equal(variable.numpy()[..., permutation], old)
            assert (variable.numpy() != old).any() or "scale" in variable.name or "offset" in variable.name


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["threads", "batched"])
def test_units_that_are_not_followed_are_told_once_and_recorded(
    backend: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = TrialOptions(experiment_dir=str(tmp_path), num_trials=2, trials_backend=backend)
    for sort in (True, False):  # The second is the control.
        config = PruneConfig(**SHORT, model="my_own_nets:dense", model_options=json.dumps({"sort": sort}))
        runs = experiment.run("prune", config, options, prune.updater)
        told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Counted as fixed: ")]
        statistics = read(runs[-1].directory, "mask_stats.json")
        if not sort:
            assert not told and "fixed_spaces" not in statistics and int(statistics["total_neurons"]) > 10
            continue
        (line,) = told
        assert line.count("6 units of dense/linear") == 3 and line.endswith(", and 1 more space, see mask_stats.json.")
        assert "TopKV2 (" in line and ") is not followed)" in line
        assert [each["units"] for each in statistics["fixed_spaces"]] == [6] * 4
        assert "fixed_spaces" not in (runs[-1].directory / "config.json").read_text()
