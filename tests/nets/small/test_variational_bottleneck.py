"""Tests of the variational bottleneck: the distribution of its codes, and its rate as a divergence."""

import numpy as np
import pytest
import tensorflow as tf

from weirdonetworks import VariationalBottleneck


def built(inputs: np.ndarray, output_size: int = 3) -> VariationalBottleneck:
    """A bottleneck on such inputs, its weights drawn."""
    layer = VariationalBottleneck(output_size)
    layer(inputs, is_training=False)
    rng = np.random.default_rng(2)
    for variable in layer.trainable_variables:
        variable.assign(0.5 * rng.normal(size=variable.shape))
    return layer


def drawn_inputs(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape)


def test_codes_are_drawn_with_the_moments() -> None:
    inputs = drawn_inputs(1, 4)
    layer = built(inputs)
    means, log_variances = (moment.numpy()[0] for moment in layer.moments(inputs))
    count = 200_000
    codes = layer(np.repeat(inputs, count, axis=0), is_training=True, seed=(3, 4)).numpy()
    deviations = np.exp(log_variances / 2)
    standard = (codes - means) / deviations
    # Five standard deviations of each estimate.
    assert np.abs(standard.mean(axis=0)).max() < 5 / np.sqrt(count)
    assert np.abs(np.cov(standard.T) - np.eye(3)).max() < 5 * np.sqrt(2 / count)
    assert np.abs(deviations - 1).max() > 0.1 and np.abs(means).max() > 0.1  # Or others would have passed.


def test_outside_training_and_without_noise_codes_are_means() -> None:
    inputs = drawn_inputs(5, 2, 2)
    layer = built(inputs)
    means, _ = layer.moments(inputs)
    np.testing.assert_array_equal(layer(inputs, is_training=False), means)
    assert not np.allclose(layer(inputs, is_training=True, seed=(1, 2)), means)
    layer.with_noise = False
    np.testing.assert_array_equal(layer(inputs, is_training=True), means)


def test_the_rate_is_the_divergence_from_the_standard_normal() -> None:
    inputs = drawn_inputs(6, 4)
    layer = built(inputs)
    means, log_variances = (moment.numpy() for moment in layer.moments(inputs))
    # The integral of q log(q / p) on a fine grid, each coordinate by itself.
    grid = np.linspace(-40, 40, 40_001)[:, None, None]
    variances = np.exp(log_variances)
    log_q = -0.5 * (np.log(2 * np.pi * variances) + (grid - means) ** 2 / variances)
    log_p = -0.5 * (np.log(2 * np.pi) + grid**2)
    expected = np.trapezoid(np.exp(log_q) * (log_q - log_p), grid, axis=0).sum(axis=1)
    np.testing.assert_allclose(layer.rate(inputs), expected, rtol=1e-9)
    assert expected.min() > 0.1


@pytest.mark.parametrize("size", [1e-3, 1e-6])
def test_a_small_rate_keeps_its_digits(size: float) -> None:
    layer = built(np.ones([1, 1], np.float32), output_size=1)
    layer.linear.w.assign([[0.0, 0.0]])
    layer.linear.b.assign([size, size])
    rate = float(layer.rate(np.ones([1, 1], np.float32))[0])
    assert rate == pytest.approx(0.5 * (size**2 + size**2 / 2), rel=2e-4)


def test_training_for_the_rate_alone_ends_at_the_standard_normal() -> None:
    inputs = tf.constant(drawn_inputs(20, 3))
    layer = built(inputs)
    variables = layer.trainable_variables

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            rate = tf.reduce_mean(layer.rate(inputs))
        for variable, gradient in zip(variables, tape.gradient(rate, variables), strict=True):
            variable.assign_sub(0.5 * gradient)
        return rate

    first, *_, last = (float(step()) for _ in range(200))
    assert last < 1e-6 < 0.1 < first


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"seed \(=None\) must be given in training with noise"):
        VariationalBottleneck(2)(tf.ones([1, 3]), is_training=True)
    with pytest.raises(ValueError, match=r"output_size \(=0\) must be at least 1"):
        VariationalBottleneck(0)
    with pytest.raises(TypeError, match=r"output_size \(=1.5\) must be an integer"):
        VariationalBottleneck(1.5)
    with pytest.raises(ValueError, match="must be floating point"):
        VariationalBottleneck(2).rate(tf.ones([1, 3], tf.int32))
