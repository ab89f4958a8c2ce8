"""Sonnet modules as Keras layers: trained by `fit`, saved, and the same as in a loop of Sonnet's."""

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry
from weirdonetworks.algebra import image_rotations
from weirdonetworks.keras import Layer
from weirdonetworks.nets.sets.pooled_sets import DeepSets
from weirdonetworks.nets.synchronous import SynchronousMLP

RNG = np.random.default_rng(0)
SETS = RNG.normal(size=[32, 5, 2]).astype(np.float32)
IMAGES = RNG.normal(size=[32, 3, 3, 1]).astype(np.float32)


def deep_sets() -> snt.Module:
    return DeepSets([8, 8], [8, 1])


def synchronous() -> snt.Module:
    return SynchronousMLP(image_rotations(3, 3), shared_sizes=[8, 8], head_sizes=[8, 1])


CASES = {"DeepSets": (deep_sets, SETS), "SynchronousMLP": (synchronous, IMAGES)}


def targets(inputs: np.ndarray) -> np.ndarray:
    return np.sum(inputs.reshape(len(inputs), -1) ** 2, axis=1, keepdims=True).astype(np.float32) / 10


def fitted(layer: Any, inputs: np.ndarray, epochs: int = 20) -> tuple[keras.Model, list[float]]:
    model = keras.Sequential([keras.Input(inputs.shape[1:]), layer])
    model.compile(keras.optimizers.SGD(0.02), "mse")
    return model, model.fit(inputs, targets(inputs), batch_size=32, epochs=epochs, verbose=0).history["loss"]


@pytest.mark.slow
@pytest.mark.parametrize(("make", "inputs"), CASES.values(), ids=CASES)
def test_fit_trains_the_module_as_a_loop_of_sonnets_does(make: Callable[[], snt.Module], inputs: np.ndarray) -> None:
    module, other = make(), make()
    other(inputs)
    layer = Layer(module)
    layer.build(inputs.shape)
    for own, theirs in zip(module.variables, other.variables, strict=True):
        own.assign(theirs)
    before = [variable.numpy() for variable in module.trainable_variables]
    _, losses = fitted(layer, inputs)
    assert losses[-1] < 0.7 * losses[0]
    for variable, was in zip(module.trainable_variables, before, strict=True):
        assert np.abs(variable - was).max() > 1e-4
    optimizer, found = snt.optimizers.SGD(0.02), []
    for _ in range(20):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((other(inputs) - targets(inputs)) ** 2)
        optimizer.apply(tape.gradient(loss, other.trainable_variables), other.trainable_variables)
        found.append(float(loss))
    np.testing.assert_allclose(losses, found, rtol=1e-5)
    for own, theirs in zip(module.variables, other.variables, strict=True):
        np.testing.assert_allclose(own, theirs, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # Keras says that there is nothing to train.
def test_without_the_layer_nothing_is_trained() -> None:
    module = deep_sets()
    module(SETS)

    class Plain(keras.layers.Layer):
        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return module(inputs)

    _, losses = fitted(Plain(), SETS, epochs=3)
    assert losses[0] == pytest.approx(losses[-1], rel=1e-6)


@pytest.mark.parametrize("entry", registry.NETWORKS, ids=registry.name)
def test_every_module_can_be_a_layer(entry: registry.Network) -> None:
    module = entry.construct()
    layer = Layer(module, entry.takes, seed=1)
    inputs = keras.Input(entry.shape[1:], dtype=entry.dtype.name)
    model = keras.Model(inputs, layer(inputs))
    outputs = entry.call(module, entry.inputs())
    assert model.output_shape[1:] == tuple(outputs.shape[1:])
    np.testing.assert_allclose(model(entry.inputs().numpy()), outputs, rtol=1e-5, atol=1e-6)
    variables = tf.Module.variables.fget(module)
    assert {id(weight.value) for weight in layer.weights} == {id(variable) for variable in variables}
    assert {weight.value.trainable for weight in layer.trainable_weights} <= {True}
    assert not any(weight.value.trainable for weight in layer.non_trainable_weights)


class Norm(snt.Module):
    """A linear layer and batch norm, with dropout in training."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = snt.Linear(4), snt.BatchNorm(True, True)
        self.seeds: list[Any] = []

    def __call__(self, inputs: tf.Tensor, is_training: bool, seed: tf.Tensor | None = None) -> tf.Tensor:
        outputs = self.norm(self.linear(inputs), is_training=is_training)
        if not is_training:
            return outputs
        return outputs * tf.cast(tf.random.stateless_uniform(tf.shape(outputs), seed) < 0.5, outputs.dtype)


def test_training_flag_seeds_and_moving_averages() -> None:
    layer = Layer(Norm(), seed=1)
    inputs = SETS[:, 0]
    layer(inputs)
    assert (len(layer.trainable_weights), len(layer.non_trainable_weights)) == (4, 6)
    averages = [weight.numpy().copy() for weight in layer.non_trainable_weights]
    assert np.array_equal(layer(inputs), layer(inputs))
    assert all(np.array_equal(weight, was) for weight, was in zip(layer.non_trainable_weights, averages, strict=True))
    first, second = layer(inputs, training=True), layer(inputs, training=True)
    assert not np.array_equal(first, second)
    assert not all(
        np.array_equal(weight, was) for weight, was in zip(layer.non_trainable_weights, averages, strict=True)
    )
    again, other = Layer(Norm(), seed=1), Layer(Norm(), seed=2)
    masks = [np.asarray(each(inputs, training=True)) == 0 for each in (again, other)]
    assert np.array_equal(masks[0], np.asarray(first) == 0) and not np.array_equal(*masks)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own.
def test_weights_are_saved_and_loaded(tmp_path: pathlib.Path) -> None:
    def made() -> keras.Model:
        return keras.Sequential([keras.Input([5, 2]), Layer(deep_sets()), Layer(Norm())])

    model = made()
    for name in ("saved.weights.h5", "saved.keras"):
        (model.save_weights if name.endswith("h5") else model.save)(tmp_path / name)
        other = made()
        assert not np.allclose(other(SETS), model(SETS))
        other.load_weights(tmp_path / name)
        np.testing.assert_array_equal(other(SETS), model(SETS))


def test_an_exported_model_computes_the_same(tmp_path: pathlib.Path) -> None:
    model, _ = fitted(Layer(deep_sets()), SETS, epochs=1)
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(loaded.serve(SETS), model(SETS), rtol=1e-6)
    assert len(loaded.trainable_variables) == 8


def test_a_summary_counts_the_weights(capsys: pytest.CaptureFixture[str]) -> None:
    model = keras.Sequential([keras.Input([5, 2]), Layer(deep_sets())])
    model.summary()
    assert model.count_params() == sum(np.size(variable) for variable in model.layers[0].module.variables) == 177
    assert "177" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own.
def test_loading_from_a_configuration_is_refused_with_the_remedy(tmp_path: pathlib.Path) -> None:
    model = keras.Sequential([keras.Input([5, 2]), Layer(deep_sets(), name="sets")])
    model.save(tmp_path / "saved.keras")
    with pytest.raises((ValueError, TypeError), match=r"sets holds the Sonnet module DeepSets, .* its load_weights"):
        keras.models.load_model(tmp_path / "saved.keras", custom_objects={"Layer": Layer})
    with pytest.raises(ValueError, match="sets holds the Sonnet module DeepSets"):
        keras.models.clone_model(model)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match=r"module .* must be a Sonnet module"):
        Layer(tf.nn.relu)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"takes \(=\['mask'\]\) must hold is_training and seed only"):
        Layer(deep_sets(), ["mask"])


def test_an_optional_training_flag_is_passed_on_if_asked_for() -> None:
    inputs = np.ones([4, 3], np.float32)
    assert Layer(snt.nets.MLP([4, 2]))(inputs, training=True).shape == [4, 2]  # It takes no flag without dropout.
    dropping = Layer(snt.nets.MLP([4, 2], dropout_rate=0.5), ["is_training"])
    assert np.array_equal(dropping(inputs), dropping(inputs))
    assert not np.array_equal(dropping(inputs, training=True), dropping(inputs))


def test_mixed_precision_computes_in_half_with_float32_weights() -> None:
    layer = Layer(snt.nets.MLP([4, 2]), dtype="mixed_bfloat16")
    assert layer(SETS[:, 0]).dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {"float32"}


def test_a_layer_takes_several_tensors_and_integers() -> None:
    class Scores(snt.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = snt.Embed(7, 3)

        def __call__(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
            return tf.reduce_sum(self.table(inputs["words"]) * inputs["scale"][:, None], axis=1)

    inputs = {"words": keras.Input([4], dtype="int32", name="words"), "scale": keras.Input([1], name="scale")}
    model = keras.Model(inputs, Layer(Scores())(inputs))
    given = {"words": np.array([[0, 1, 2, 3]]), "scale": np.array([[2.0]])}
    assert model(given).shape == [1, 3] and len(model.trainable_weights) == 1
