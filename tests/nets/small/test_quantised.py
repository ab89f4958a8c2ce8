"""Tests of quantised networks: the number of levels, and the gradient of each way of rounding."""

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.nets.small.quantised import QuantisedMLP

INPUTS = np.random.default_rng(0).normal(size=(200, 6))


def twins(rounding: str, levels: int = 4) -> tuple[QuantisedMLP, QuantisedMLP]:
    """A network, and one with the same weights that rounds nothing; large weights, to reach every level."""
    network, smooth = QuantisedMLP([9, 8, 3], levels, rounding), QuantisedMLP([9, 8, 3], levels, "none")
    for each in (network, smooth):
        each(tf.constant(INPUTS), is_training=False)
    for weight, same in zip(network.trainable_variables, smooth.trainable_variables, strict=True):
        weight.assign(6 * weight)
        same.assign(weight)
    return network, smooth


@pytest.mark.parametrize("levels", [2, 3, 8])
@pytest.mark.parametrize("rounding", ["softfloor", "straight_through"])
def test_hidden_units_take_so_many_values(rounding: str, levels: int) -> None:
    network, smooth = twins(rounding, levels)
    first, second = network.hidden(tf.constant(INPUTS), is_training=False)
    for values in (first, second):
        assert_close(np.unique(values.numpy().round(12)) * (levels - 1), np.arange(levels, dtype=float), 1e-10)
    exact = smooth.hidden(tf.constant(INPUTS), is_training=False)[0].numpy()
    assert np.abs(first - exact).max() <= 0.5 / (levels - 1) + 1e-12  # rounded to the nearest, never further
    assert len(np.unique(exact)) > 100


def test_soft_floor_leads_from_no_rounding_to_rounding() -> None:
    network, smooth = twins("softfloor")
    inputs = tf.constant(INPUTS)
    ends = {"smooth": smooth.hidden(inputs, is_training=True)[0], "hard": network.hidden(inputs, is_training=False)[0]}
    apart: dict[str, list[float]] = {"smooth": [], "hard": []}
    for factor in (1e6, 1.0, 1e-3, 1e-30, 1e-300):
        network.factor.assign(factor)
        soft = network.hidden(inputs, is_training=True)[0]
        for name, end in ends.items():
            apart[name].append(float(np.abs(soft - end).mean()))
        assert_close(network.hidden(inputs, is_training=False)[0], ends["hard"], 1e-12)
    assert apart["smooth"] == sorted(apart["smooth"]) and apart["smooth"][0] < 1e-9
    assert apart["hard"] == sorted(apart["hard"], reverse=True) and apart["hard"][-1] < 1e-3


def slopes(network: QuantisedMLP, is_training: bool = True) -> list[np.ndarray | None]:
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(network.hidden(tf.constant(INPUTS), is_training)[0]))
    return tape.gradient(loss, network.layers[0].trainable_variables)


def test_straight_through_passes_the_slope_of_what_is_rounded() -> None:
    network, smooth = twins("straight_through")
    # The slope of the sine is taken at the rounded value, that of the sigmoid as if nothing had been rounded.
    values, rounded = (each.hidden(tf.constant(INPUTS), is_training=True)[0].numpy() for each in (smooth, network))
    expected = (np.cos(rounded) * values * (1 - values)).sum(axis=0)
    by_bias = next(slope for slope in slopes(network) if slope.shape.rank == 1)
    assert_close(by_bias, expected, 1e-12)


def test_soft_floor_at_a_large_factor_has_the_slopes_of_no_rounding_and_at_a_small_one_has_not() -> None:
    network, smooth = twins("softfloor")
    for factor, is_same in ((1e6, True), (1e-6, False)):
        network.factor.assign(factor)
        for one, other in zip(slopes(network), slopes(smooth), strict=True):
            assert (np.abs(one - other).max() < 1e-8 * np.abs(other).max()) == is_same


def test_without_rounding_it_is_a_sigmoid_network() -> None:
    _, network = twins("none")
    plain = snt.nets.MLP([9, 8, 3], activation=tf.sigmoid)
    plain(tf.constant(INPUTS))
    for weight, value in zip(plain.trainable_variables, network.trainable_variables, strict=True):
        weight.assign(value)
    assert_close(network(tf.constant(INPUTS), is_training=True), plain(tf.constant(INPUTS)), 1e-12)


def test_factor_is_not_trained() -> None:
    network, _ = twins("softfloor")
    assert network.factor.numpy() == 1
    assert "factor:0" not in [variable.name.rpartition("/")[2] for variable in network.trainable_variables]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rounding \(='up'\) must be one of softfloor, straight_through, none"):
        QuantisedMLP([3], rounding="up")
    with pytest.raises(ValueError, match=r"levels \(=1\) must be at least 2"):
        QuantisedMLP([3], levels=1)
    with pytest.raises(ValueError, match="output_sizes must hold at least one"):
        QuantisedMLP([])
