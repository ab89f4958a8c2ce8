"""Metrics on the line between two models, statistics of norms measured anew, and models in their normal form."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.unit_models import values
from weight_symmetry import alignment, symmetry
from weirdonetworks.measure.rescalings import scalings
from weirdonetworks.measure.unit_graph import UnitGraph


def built(make: Callable[[], Any], inputs: Any, seed: int) -> Any:
    model, rng = make(), np.random.default_rng(seed)
    for variable in UnitGraph.trace(model, inputs).variables:
        variable.assign(values(variable, rng))
    return model


def mlp(activation: Callable[[tf.Tensor], tf.Tensor] = tf.nn.relu) -> Callable[[], Any]:
    return lambda: snt.nets.MLP([6, 5, 2], activation=activation)


X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


def outputs(model: Any) -> dict[str, float]:
    return {"size": float(tf.reduce_mean(tf.square(model(X))))}


def test_a_path_ends_at_its_models_and_leaves_them() -> None:
    one, other = built(mlp(), X, 1), built(mlp(), X, 2)
    before = [variable.numpy() for variable in one.variables]
    path = alignment.linear_path(one, other, outputs, points=5)
    assert path.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert path.metrics["size"][[0, -1]] == pytest.approx([outputs(one)["size"], outputs(other)["size"]])
    assert path.barrier("size") > 0.1 and path.barrier("-size") == 0
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, one.variables, strict=True))
    with pytest.raises(ValueError, match=r"^metric \(='-loss'\) must be one of size"):
        path.barrier("-loss")
    with pytest.raises(ValueError, match=r"^points \(=1\) must be at least 2"):
        alignment.linear_path(one, other, outputs, points=1)
    with pytest.raises(ValueError, match=r"must have those of model_a"):
        alignment.linear_path(one, built(lambda: snt.Linear(2), X, 1), outputs)
    with pytest.raises(ValueError, match=r"^model_b \(=Linear\(.*\)\) has no variables yet: call it once on inputs"):
        alignment.linear_path(one, snt.Linear(2), outputs)
    with pytest.raises(TypeError, match=r"^model_a \(=None\) must be a Sonnet or Keras model"):
        alignment.linear_path(None, other, outputs)
    with pytest.raises(TypeError, match=r"^metric \(=None\) must be a str"):
        path.barrier(None)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"^metric \(='loss'\) must be one that `measure` returns, which has returned none"
    ):
        alignment.linear_path(one, other, lambda model: {}, 2).barrier()
    with pytest.raises(TypeError, match=r"^measure\(model\) \(a float\) must be metrics by name"):
        alignment.linear_path(one, other, lambda model: 1.0)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match=r"^measure\(model\)\['loss'\] \(=.*\) must be an array of real numbers"):
        alignment.linear_path(one, other, lambda model: {"loss": "x"}, 2)  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"^measure\(model\) \(of .*\) must give the same metrics at each point"):
        alignment.linear_path(one, other, lambda model: {str(outputs(model)): 1.0}, 2)
    with pytest.raises(TypeError, match=r"^measure \(=None\) must be a module or a function"):
        alignment.linear_path(one, other, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^correct \(='x'\) must be a module or a function"):
        alignment.linear_path(one, other, outputs, correct="x")  # type: ignore[arg-type]


def test_alignment_takes_the_barrier_away_between_permuted_copies() -> None:
    one = built(mlp(), X, 1)
    other = symmetry.apply({0: [1, 2, 3, 4, 5, 0], 1: [4, 3, 2, 1, 0]}, one, X)
    aligned = alignment.match(one, other, X).apply(other)
    assert alignment.linear_path(one, aligned, outputs, points=3).barrier("size") == pytest.approx(0, abs=1e-6)
    assert alignment.linear_path(one, other, outputs, points=3).barrier("size") > 0.1


class Normalised(snt.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = snt.Linear(6), snt.BatchNorm(True, True), snt.Linear(2)

    def __call__(self, x: tf.Tensor, is_training: bool = False) -> tf.Tensor:
        return self.last(tf.nn.relu(self.norm(self.first(x), is_training)))


def keras_normalised() -> Any:
    layers = keras.layers
    return keras.Sequential(
        [keras.Input([3]), layers.Dense(6), layers.BatchNormalization(), layers.ReLU(), layers.Dense(2)]
    )


@pytest.mark.parametrize(("make", "flag"), [(Normalised, "is_training"), (keras_normalised, "training")])
def test_statistics_are_those_of_the_batch(make: Callable[[], Any], flag: str) -> None:
    model = built(make, X, 3)
    before = model(X, **{flag: False}).numpy()
    alignment.repair(model, X, **{flag: True})
    after = model(X, **{flag: False}).numpy()
    np.testing.assert_allclose(after, model(X, **{flag: True}), rtol=0.1, atol=0.02)  # Up to the variance's bias.
    assert np.abs(after - before).max() > 0.1
    with pytest.raises(ValueError, match=r"^model \(a MLP\) must have batch norms"):
        alignment.repair(built(mlp(), X, 1), X)
    after = model(X, **{flag: False}).numpy()
    with pytest.raises(ValueError, match=r"^options \(=\{.*False\}\) must make it a call in training"):
        alignment.repair(model, X, **{flag: False})
    np.testing.assert_array_equal(model(X, **{flag: False}).numpy(), after)


class OwnNorm(tf.Module):
    """A norm of plain variables, with a decay that nothing outside knows."""

    def __init__(self, size: int, decay: float) -> None:
        super().__init__(name="own_norm")
        self.moving_mean, self.moving_variance = tf.Variable(tf.zeros(size)), tf.Variable(tf.ones(size))
        self.decay_rate = decay

    def __call__(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        if training:
            for average, value in zip((self.moving_mean, self.moving_variance), tf.nn.moments(x, [0]), strict=True):
                average.assign(self.decay_rate * average + (1 - self.decay_rate) * value)
        return (x - self.moving_mean) / tf.sqrt(self.moving_variance + 1e-3)


class Traced(tf.Module):
    """A model whose function is traced at its first call, with the momentum that the norm then has."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.norm = norm

    @tf.function
    def __call__(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.norm(x, training=training)


@pytest.mark.parametrize("size", [1.0, 30.0])  # A variance of 900 times 1 - decay outweighs a mark of -1.
@pytest.mark.parametrize("name", ["own_norm", "traced_norm"])
def test_a_decay_that_stays_is_refused_and_leaves_the_statistics(name: str, size: float) -> None:
    norm: Any = OwnNorm(3, 0.9) if name == "own_norm" else keras.layers.BatchNormalization(name=name, momentum=0.9)
    model = Traced(norm) if name == "traced_norm" else snt.Sequential([norm])
    model(size * X, training=True)
    before = [norm.moving_mean.numpy(), norm.moving_variance.numpy()]
    with pytest.raises(ValueError, match=rf"^model \(with the batch norms {name}\) must replace its statistics in one"):
        alignment.repair(model, size * X, training=True)
    np.testing.assert_array_equal([norm.moving_mean.numpy(), norm.moving_variance.numpy()], before)


def test_a_norm_of_ones_own_without_decay_is_repaired() -> None:
    norm = OwnNorm(3, 0.0)
    alignment.repair(snt.Sequential([norm]), X, training=True)
    np.testing.assert_allclose(norm.moving_variance, X.var(axis=0), rtol=1e-5)


def test_repair_is_applied_between_the_ends() -> None:
    one, other = built(Normalised, X, 1), built(Normalised, X, 2)
    plain = alignment.linear_path(one, other, outputs, points=3)
    corrected = alignment.linear_path(
        one, other, outputs, points=3, correct=lambda model: alignment.repair(model, X, is_training=True)
    )
    differs = plain.metrics["size"] != corrected.metrics["size"]
    assert differs.tolist() == [False, True, False]


@pytest.mark.slow
@pytest.mark.parametrize("activation", [tf.nn.relu, tf.tanh])
def test_rescaled_and_flipped_models_have_one_normal_form(activation: Callable[[tf.Tensor], tf.Tensor]) -> None:
    one = built(mlp(activation), X, 1)
    other = symmetry.apply({0: [1, 2, 3, 4, 5, 0], 1: [4, 3, 2, 1, 0]}, one, X)
    graph, rng = UnitGraph.trace(other, X), np.random.default_rng(5)
    changed = [np.asarray(variable.numpy(), np.float64) for variable in graph.variables]
    for each in scalings(graph):
        for row, factors in (
            *((row, np.exp(rng.normal(size=each.space.size))) for row in each.exponents),
            *((row, rng.choice([-1.0, 1.0], each.space.size)) for row in each.flips.astype(float)),
        ):
            for group, exponent in zip(each.groups, row, strict=True):
                if exponent:
                    changed[group.variable] = group.scaled(changed[group.variable], factors**exponent)
    for variable, value in zip(graph.variables, changed, strict=True):
        variable.assign(value)
    before = other(X).numpy()
    assert alignment.match(one, other, X).similarity < 0.99
    for model in (one, other):
        alignment.normalise(model, X)
    np.testing.assert_allclose(other(X), before, rtol=1e-4, atol=1e-5)
    assert alignment.match(one, other, X).similarity == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_not_finite_have_no_normal_form(number: float) -> None:
    model = built(mlp(), X, 1)
    model.trainable_variables[1][0, 0].assign(number)
    before = [variable.numpy() for variable in model.variables]
    with pytest.raises(ValueError, match=r"^model must have finite weights; mlp/linear_0/w holds NaN or infinity"):
        alignment.normalise(model, X)
    assert all(np.array_equal(a, b.numpy(), equal_nan=True) for a, b in zip(before, model.variables, strict=True))
