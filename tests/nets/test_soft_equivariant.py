"""Tests of the softly equivariant layer: equivariance at the start, deviation by data, and the free share."""

from collections.abc import Callable

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import cyclic_group
from weirdonetworks.measure.stability import equivariance_error
from weirdonetworks.nets.shared import EquivariantLinear
from weirdonetworks.nets.soft_equivariant import SoftEquivariant

GROUP = cyclic_group(6)


def soft_layer(strength: float) -> SoftEquivariant:
    return SoftEquivariant(EquivariantLinear(GROUP), strength)


def inputs_and_targets(breaking: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Inputs, and a circular convolution of them plus so much of a map that is none."""
    rng = np.random.default_rng(0)
    inputs, filters = rng.normal(size=(64, 6)), rng.normal(size=6)
    circular = filters[(np.arange(6) - np.arange(6)[:, None]) % 6]
    return tf.constant(inputs), tf.constant((inputs @ (circular + breaking * rng.normal(size=(6, 6))))[..., None])


def trained(strength: float, breaking: float) -> tuple[SoftEquivariant, tf.Tensor]:
    layer = soft_layer(strength)
    inputs, targets = inputs_and_targets(breaking)
    layer(inputs)
    variables = layer.trainable_variables

    @tf.function(autograph=False)
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(layer(inputs) - targets)) + layer.penalty()
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(0.04 * gradient)

    for _ in range(800):
        step()
    return layer, inputs


def broken(layer: SoftEquivariant, inputs: tf.Tensor) -> float:
    return equivariance_error(lambda x: layer(x)[..., 0], inputs.numpy(), GROUP, dtype=tf.float64).overall_relative


def lawful_part(weights: np.ndarray) -> float:
    """The share, in squares, of the circulant part of weights `[6, 6]`: their means along diagonals."""
    shifted = [np.roll(weights, (step, step), axis=(0, 1)) for step in range(6)]
    return float(np.square(np.mean(shifted, axis=0)).sum() / np.square(weights).sum())


def test_at_first_it_is_the_layer() -> None:
    layer, (inputs, _) = soft_layer(1.0), inputs_and_targets(0)
    np.testing.assert_array_equal(layer(inputs), layer.layer(inputs))
    assert broken(layer, inputs) < 1e-10
    assert layer.penalty() == 0 and layer.free_share(inputs) == 0


def test_a_free_part_breaks_the_law_and_is_counted() -> None:
    layer, (inputs, _) = soft_layer(0.5), inputs_and_targets(0)
    kept = layer(inputs)
    weights = np.random.default_rng(1).normal(size=(6, 6))
    layer.free.assign(weights)
    np.testing.assert_allclose(layer(inputs)[..., 0], kept[..., 0] + inputs @ weights, rtol=1e-12)
    assert broken(layer, inputs) > 1e-2
    np.testing.assert_allclose(layer.penalty(), 0.5 * (weights**2).sum())
    free, whole = ((inputs.numpy() @ weights) ** 2).sum(), (kept.numpy() ** 2).sum()
    np.testing.assert_allclose(layer.free_share(inputs), free / (free + whole))


def test_a_free_part_that_obeys_the_law_does_not_break_it() -> None:
    layer, (inputs, _) = soft_layer(0.5), inputs_and_targets(0)
    layer(inputs)
    layer.free.assign(np.eye(6))
    assert broken(layer, inputs) < 1e-10 and layer.free_share(inputs) > 0.01


@pytest.mark.slow
def test_training_departs_as_far_as_the_data_pay_for_it() -> None:
    shares, errors, lawful = {}, {}, {}
    for strength, breaking in ((0.1, 0.0), (0.1, 1.0), (10.0, 1.0), (0.0, 1.0)):
        layer, inputs = trained(strength, breaking)
        shares[strength, breaking], errors[strength, breaking] = layer.free_share(inputs), broken(layer, inputs)
        lawful[strength, breaking] = lawful_part(layer.free.numpy())
    assert shares[0.1, 0.0] < 0.02 and errors[0.1, 0.0] < 0.05
    assert shares[0.1, 1.0] > 0.1 and errors[0.1, 1.0] > 0.2
    assert shares[10.0, 1.0] < 0.01 and errors[10.0, 1.0] < 0.1
    assert lawful[0.1, 1.0] < 0.01 < lawful[0.0, 1.0]  # Training with a penalty leaves to the layer what it can do.
    assert errors[0.0, 1.0] > errors[0.1, 1.0] > errors[10.0, 1.0]


def test_layers_of_other_shapes_may_be_soft() -> None:
    layer = SoftEquivariant(snt.Conv2D(3, 3), strength=0.1)
    assert layer(tf.ones([2, 5, 4, 1])).shape.as_list() == [2, 5, 4, 3]
    assert layer.free.shape.as_list() == [20, 60]


def called(layer: SoftEquivariant, shape: list[int]) -> SoftEquivariant:
    layer(tf.zeros(shape))
    return layer


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: SoftEquivariant(3, 0.1), TypeError, "layer"),
        (lambda: soft_layer(-0.1), ValueError, "strength"),
        (lambda: soft_layer(float("nan")), ValueError, "strength"),
        (lambda: soft_layer("0.1"), TypeError, r"strength \(='0.1'\) must be a number"),
        (lambda: soft_layer(0.1).penalty(), ValueError, "called"),
        (lambda: called(SoftEquivariant(snt.Flatten(), 0.1), [2, 3])(tf.zeros([2, 4])), ValueError, "width"),
    ],
)
def test_what_cannot_be_is_refused(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_the_free_map_starts_as_its_initializer_says() -> None:
    soft = SoftEquivariant(EquivariantLinear(GROUP), 0.5, w_init=snt.initializers.Ones())
    inputs = tf.ones([1, 6])
    free = soft(inputs) - soft.layer(inputs)
    np.testing.assert_allclose(free.numpy().ravel(), np.full(6, 6.0), rtol=1e-6)
    assert float(soft.penalty()) == 0.5 * 36


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
def test_every_precision_gives_its_own_type_back(dtype: tf.DType) -> None:
    soft = SoftEquivariant(EquivariantLinear(GROUP), 1e-5, w_init=snt.initializers.Constant(200.0))
    inputs = tf.ones([4, 6], dtype)
    # 36 squares of 200, which float16 cannot hold before they are weighed.
    assert soft(inputs).dtype == soft.penalty().dtype == soft.free_share(inputs).dtype == dtype
    assert abs(float(soft.penalty()) - 36 * 200**2 * 1e-5) < 0.1
    assert 0.99 < float(soft.free_share(inputs)) <= 1
