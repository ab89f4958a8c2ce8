"""What the drivers are told, and what they refuse."""

import pathlib
import types
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from weight_symmetry.masks import Masks
from weight_symmetry.run import driver, experiment, model_trials
from weight_symmetry.run.config import ModelConfig, TrialOptions
from weight_symmetry.run.mask_config import FixedParamConfig, RandomMaskConfig, ShuffledMaskConfig
from weight_symmetry.run.prune_config import PruneConfig
from weight_symmetry.updaters import CubicSparsity, SteppedSparsity
from weirdonetworks.lab import machine
from weirdonetworks.lab.data import datasets
from weirdonetworks.lab.errors import UsageError


@pytest.mark.parametrize(
    ("options", "depth", "arguments"),
    [
        ({}, 3, {"features": (300, 100)}),
        ({"features": ()}, 1, {"features": ()}),
        ({"model": "MNIST_CNN"}, 4, {}),
        ({"model": "MNIST_CNN", "filters": (8, 8, 8)}, 5, {"filters": (8, 8, 8)}),
        ({"model": "CIFAR10_CNN"}, 7, {}),
        ({"model": "CIFAR10_CNN", "filters": (8,)}, 2, {"filters": (8,)}),
    ],
)
def test_a_model_is_described(options: dict[str, Any], depth: int, arguments: dict[str, Any]) -> None:
    config = ModelConfig(dropout_rate=0.25, **options)
    assert config.num_layers == depth
    assert config.masked_layers == tuple(range(depth))
    assert config.keywords() == {"dropout_rate": 0.25, **arguments}


def test_the_depth_is_that_of_the_model_itself() -> None:
    from weight_symmetry.models import MODELS

    for name in MODELS:
        config = ModelConfig(model=name)
        model = MODELS[name](**config.keywords())
        assert len(model.layers) == config.num_layers
        model(np.zeros((1, 28, 28, 1), np.float32), is_training=False)
        assert [layer.w.shape.num_elements() for layer in model.layers] == config.layer_sizes()


@pytest.mark.parametrize("standardise", [True, False])
def test_pixels_are_standardised_or_in_the_unit_interval(standardise: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 2, 2, 3), dtype=np.uint8)
    split = datasets.Split(images, np.zeros(6, np.int32))
    data = datasets.Dataset("invented", split, split, ("a",), datasets.Standardisation.of(images))
    monkeypatch.setattr(datasets, "load", lambda *_: data)
    config = ModelConfig(standardise=standardise, validation_size=0)
    inputs = datasets.configured(config).standardisation(images).numpy()
    assert np.allclose(inputs, images / 255, atol=1e-6) != standardise
    assert np.allclose(inputs.mean(axis=(0, 1, 2)), 0, atol=1e-6) == standardise
    assert ("standardise" in config.affecting("training")) != standardise


def test_some_layers_can_be_chosen() -> None:
    config = PruneConfig(masked_layer_indices=(2, 0))
    assert config.masked_layers == (0, 2)
    assert set(config.schedules) == {0, 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model": "VGG"},
            "model (=VGG) must be one of MNIST_FC, MNIST_CNN, CIFAR10_CNN, or package.module:function, a function that "
            "returns a model.",
        ),
        ({"features": (3, 0)}, "features (=0) must be at least 1."),
        ({"features": (10**9,)}, "features (=(1000000000,)) must give layers of at most 2147483648 weights each."),
        (
            {"model": "MNIST_CNN", "filters": (10**5, 10**5)},
            "filters (=(100000, 100000)) must give layers of at most 2147483648 weights each.",
        ),
        (
            {"model_options": '{"features": [10000000000]}'},
            'model_options (={"features": [10000000000]}) must give layers of at most 2147483648 weights each.',
        ),
        (
            {"model": "MNIST_CNN", "model_options": '{"dense_size": 1000000000}'},
            'model_options (={"dense_size": 1000000000}) must give layers of at most 2147483648 weights each.',
        ),
        (
            {"model": "CIFAR10_CNN", "model_options": '{"kernel_size": 100000}'},
            'model_options (={"kernel_size": 100000}) must give layers of at most 2147483648 weights each.',
        ),
        (
            {"model_options": '{"features": [1.5]}'},
            "model_options: features (=[1.5]) must be a list of whole numbers of at least 1.",
        ),
        (
            {"model": "MNIST_CNN", "model_options": '{"dense_size": [64]}'},
            "model_options: dense_size (=[64]) must be a whole number of at least 1.",
        ),
        (
            {"model_options": 3000 * "["},
            f"model_options (={3000 * '['}) must be a JSON object of keyword arguments, such as '{{\"depth\": 3}}'.",
        ),
        ({"filters": (3,)}, "filters (=(3,)) are for a convolutional model; MNIST_FC has --features."),
        ({"model": "MNIST_CNN", "filters": (3, 0)}, "filters (=0) must be at least 1."),
        ({"dropout_rate": 1.0}, "dropout_rate (=1.0) must be in [0, 0.99]."),
        (
            {"masked_layer_indices": (0, 3)},
            "masked_layer_indices: layer 3 must be in [0, 3), the layers of MNIST_FC.",
        ),
        ({"masked_layer_indices": (-1,)}, "masked_layer_indices (=-1) must be at least 0."),
        ({"epochs": 0}, "epochs (=0) must be at least 1."),
    ],
)
def test_an_impossible_model_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ModelConfig(**options)
    assert str(caught.value) == message


def test_all_weights_are_cut_by_a_schedule_alone() -> None:
    for options in ({}, {"pruning_schedule": "cubic(1, 3)"}):
        with pytest.raises(UsageError, match=r"sparsity \(=1\.0\) must be below 1.*pruning_schedule='\[\(2, 1\.0\)\]'"):
            PruneConfig(epochs=4, sparsity=1.0, **options)
    config = PruneConfig(epochs=4, pruning_schedule="[(2, 1.0)]")
    assert config.sparsity == 1
    assert config.trial(1).sparsity == 1


@pytest.mark.parametrize("mask_type", ["symmetric", "random", "per-neuron"])
def test_a_mask_drawn_before_training_leaves_some_weight(mask_type: str) -> None:
    rule = "must be below 1, since 1 leaves no weight to train: lower it, or pass --mask_type=per-neuron-no-input-"
    for config in (ShuffledMaskConfig, FixedParamConfig):
        with pytest.raises(UsageError, match=rf"^mask_sparsity \(=1\.0\) {rule}"):
            config(mask_type=mask_type, mask_sparsity=1.0)
        assert config(mask_type=mask_type, mask_sparsity=0.999).drawn_sparsity == 0.999
    with pytest.raises(UsageError, match=rf"^sparsity_range \(=\(0\.5, 1\.0\)\) {rule}"):
        RandomMaskConfig(mask_type=mask_type, sparsity_range=(0.5, 1.0))
    assert RandomMaskConfig(mask_type=mask_type, sparsity_range=(0.5, 0.999)).drawn_sparsity < 0.999


def test_the_size_of_groups_is_for_groups_and_leaves_other_runs_their_ids() -> None:
    with pytest.raises(UsageError, match=r"^group_size \(=2\) is for --mask_type=grouped: leave it out\."):
        ShuffledMaskConfig(mask_type="random", group_size=2)
    assert ShuffledMaskConfig(mask_type="grouped", group_size=2).affecting("training")["group_size"] == 2
    assert "group_size" not in ShuffledMaskConfig(mask_type="grouped").affecting("training")
    assert ShuffledMaskConfig(mask_type="grouped").affecting("nothing")["group_size"] == 0  # Recorded all the same.


def test_asymmetric_masks_need_a_cut() -> None:
    with pytest.raises(UsageError, match=r"^mask_sparsity \(=0\.0\) must be above 0 for --mask_type=asymmetric"):
        ShuffledMaskConfig(mask_type="asymmetric", mask_sparsity=0.0)
    with pytest.raises(UsageError, match=r"^sparsity_range \(=\(0\.0, 0\.0\)\) must be above 0 for"):
        RandomMaskConfig(mask_type="asymmetric", sparsity_range=(0.0, 0.0))


def test_masks_that_the_model_cannot_have_are_refused_by_their_setting_and_layer() -> None:
    model: Any = types.SimpleNamespace(masks=Masks([tf.Variable(tf.ones([2, 9]))]))
    config = ShuffledMaskConfig(mask_type="asymmetric", mask_sparsity=0.5, masked_layer_indices=(0,))
    with pytest.raises(UsageError, match=r"^mask_sparsity \(=0\.5\) does not fit MNIST_FC: .* in a layer of 2x9"):
        driver.fixed_mask(config, model)


def test_whole_neurons_are_cut_of_hidden_layers_alone_unless_layers_are_named() -> None:
    assert ShuffledMaskConfig(mask_type="whole_neurons").affecting("training")["masked_layer_indices"] == (0, 1)
    assert FixedParamConfig(mask_type="whole-neurons", depth=3).trial(1).masked_layers == (0, 1, 2)
    assert ShuffledMaskConfig(mask_type="whole-neurons", masked_layer_indices=(1, 2)).masked_layers == (1, 2)
    assert ShuffledMaskConfig(mask_type="random").masked_layers == (0, 1, 2)
    with pytest.raises(UsageError, match=r"^mask_type \(=whole-neurons\) .* pass --masked_layer_indices with those of"):
        ShuffledMaskConfig(mask_type="whole-neurons", model="mine:model")
    with pytest.raises(UsageError, match=r"^mask_type \(=whole-neurons\) .* only outputs: choose another --mask_type"):
        ShuffledMaskConfig(mask_type="whole-neurons", features=())


def test_a_mask_that_keeps_every_input_is_never_empty() -> None:
    kept = "per-neuron-no-input-ablation"
    assert ShuffledMaskConfig(mask_type=kept, mask_sparsity=1.0).drawn_sparsity == 1
    assert RandomMaskConfig(mask_type=kept, sparsity_range=(1.0, 1.0)).drawn_sparsity == 1


def test_one_epoch_has_no_half_to_train_in() -> None:
    assert PruneConfig(epochs=1).warning
    assert not PruneConfig(epochs=2).warning
    assert not PruneConfig(epochs=1, pruning_schedule="[(0, 0.9)]").warning
    assert not PruneConfig(epochs=1, sparsity=0.0).warning


def test_the_layers_of_a_given_depth_are_known_before_their_widths() -> None:
    config = FixedParamConfig(depth=5, masked_layer_indices=(4,))
    assert config.masked_layers == (4,)
    assert len(config.fitted(784, 10).features) == 5
    with pytest.raises(UsageError, match=r"layer 6 must be in \[0, 6\)"):
        FixedParamConfig(depth=5, masked_layer_indices=(6,))


def test_widths_are_chosen_or_given_but_not_both() -> None:
    fitted = FixedParamConfig(param_count=20_000).fitted(784, 10)
    assert fitted.fitted(784, 10) == fitted
    assert fitted.trial(1).features == fitted.features
    with pytest.raises(UsageError, match=r"features \(=\(50,\)\) must not be given.* leave --features out"):
        FixedParamConfig(param_count=20_000, features=(50,)).fitted(784, 10)


def test_sparsity_alone_prunes_once_after_half_of_the_epochs() -> None:
    for epochs, half in ((20, 10), (5, 2), (1, 0)):
        assert PruneConfig(epochs=epochs, sparsity=0.7).schedules == dict.fromkeys(
            range(3), SteppedSparsity((half,), (0.7,))
        )


@pytest.mark.parametrize(
    ("text", "schedules"),
    [
        ("[(2, 0.3), (5, 0.6)]", dict.fromkeys(range(3), SteppedSparsity((2, 5), (0.3, 0.6)))),
        (" [[0, 1]] ", dict.fromkeys(range(3), SteppedSparsity((0,), (1,)))),
        ("{'1': [(2, 0.3)]}", {1: SteppedSparsity((2,), (0.3,))}),
        ("{0: [(2, 0.3)], '2': [(3, 0.5)]}", {0: SteppedSparsity((2,), (0.3,)), 2: SteppedSparsity((3,), (0.5,))}),
        ("cubic(2, 8)", dict.fromkeys(range(3), CubicSparsity(0.8, 2, 8))),
        ("cubic (0,9)", dict.fromkeys(range(3), CubicSparsity(0.8, 0, 9))),
    ],
)
def test_schedules_are_read(text: str, schedules: dict[int, Any]) -> None:
    assert PruneConfig(epochs=10, sparsity=0.8, pruning_schedule=text).schedules == schedules


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1.2}, "sparsity (=1.2) must be in [0, 1]."),
        ({"sparsity": float("nan")}, "sparsity (=nan) must be finite."),
        ({"pruning_scope": "neuron"}, "pruning_scope (=neuron) must be one of layer, global."),
        ({"pruning_schedule": "[(3, 0.5"}, "pruning_schedule (=[(3, 0.5) must be a list such as [(2, 0.3), (5, 0.6)]."),
        ({"pruning_schedule": "[3, 0.5]"}, "pruning_schedule (=[3, 0.5]) must be a list of pairs"),
        ({"pruning_schedule": "[]"}, "a pruning schedule must have at least one (epoch, sparsity)."),
        ({"pruning_schedule": "{}"}, "pruning_schedule (={}) must name at least one layer."),
        ({"pruning_schedule": "[(1, 1.5)]"}, "sparsity 1.5 must be in [0, 1]."),
        ({"pruning_schedule": "[(-1, 0.5)]"}, "epoch -1 must be at least 0."),
        ({"pruning_schedule": "[(1.5, 0.5)]"}, "must name whole epochs."),
        ({"pruning_schedule": "[(3, 0.5), (2, 0.6)]"}, "must rise: (2, 0.6) follows (3, 0.5)."),
        ({"pruning_schedule": "[(2, 0.6), (3, 0.5)]"}, "must rise: (3, 0.5) follows (2, 0.6)."),
        ({"pruning_schedule": "[(10, 0.5)]"}, "pruning_schedule: epoch 10 must be below epochs (=10)"),
        ({"pruning_schedule": "{'3': [(2, 0.3)]}"}, "pruning_schedule: layer 3 must be in [0, 3)"),
        ({"pruning_schedule": "{'one': [(2, 0.3)]}"}, "pruning_schedule: layer 'one' must be a number."),
        ({"pruning_schedule": "cubic(2)"}, "must be cubic(begin, end) with two epochs."),
        ({"pruning_schedule": "cubic(2, 8.5)"}, "must be cubic(begin, end) with two epochs."),
        ({"pruning_schedule": "cubic(8, 2)"}, "cubic pruning schedule: begin (=8) must be in [0, end (=2))."),
        ({"pruning_schedule": "cubic(2, 10)"}, "pruning_schedule: epoch 10 must be below epochs (=10)"),
        ({"pruning_schedule": "cubic"}, "pruning_schedule (=cubic) must be cubic(begin, end) with two epochs."),
        (
            {"masked_layer_indices": (0,), "pruning_schedule": "{'1': [(2, 0.3)]}"},
            "pruning_schedule: layer 1 must be in masked_layer_indices (0,).",
        ),
        (
            {"pruning_scope": "global", "pruning_schedule": "{'1': [(2, 0.3)], '2': [(2, 0.4)]}"},
            "pruning_scope (=global) must have one schedule for all layers.",
        ),
    ],
)
def test_an_impossible_schedule_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        PruneConfig(epochs=10, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_global_scope_takes_some_layers_with_one_schedule() -> None:
    config = PruneConfig(pruning_scope="global", pruning_schedule="{'1': [(2, 0.3)], '2': [(2, 0.3)]}")
    assert set(config.schedules) == {1, 2}


def test_a_model_that_exceeds_the_memory_is_refused_before_it_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(machine, "free_memory", lambda device: 5 * 4 * 266_200 - 1)
    monkeypatch.setattr(model_trials.ModelTrial, "_built", lambda *_: pytest.fail("made"))
    options = TrialOptions(experiment_dir=str(tmp_path))
    with pytest.raises(UsageError, match=r"^model \(=MNIST_FC\) must fit into the memory, .* its 266,200 weights take"):
        experiment.run("train", ModelConfig(examples=200), options, lambda *_: pytest.fail("made"))
    assert not list(tmp_path.iterdir())
