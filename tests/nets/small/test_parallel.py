"""Tests of Parallel, against its formula, and of the symmetries of GroupedSoftmax and UnitConvolution."""

import numpy as np
import numpy.typing as npt
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import PermutationGroup
from weirdonetworks.measure.stability import equivariance_error
from weirdonetworks.nets.small.activation_mlp import ACTIVATIONS, AllActivations
from weirdonetworks.nets.small.activations import GroupedSoftmax, UnitConvolution, unit_order
from weirdonetworks.nets.small.parallel import Parallel

Floats = npt.NDArray[np.float64]
SEEDS = [None, 3]
ORDERS = pytest.mark.parametrize("seed", SEEDS, ids=["neighbours", "drawn"])


def numbers(*shape: int) -> Floats:
    return np.random.default_rng(0).normal(size=shape)


def relative_error(layer: snt.Module, before: npt.NDArray[np.intp]) -> float:
    """How far the layer is from equivariant under the permutation that takes unit i to place `before[i]`."""
    return equivariance_error(layer, numbers(5, 24), PermutationGroup([before]), dtype=tf.float64).overall_relative


def along(order: npt.NDArray[np.intp], by: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The permutation of the units that is `by` when they are written in an order."""
    before = np.empty_like(order)
    before[order] = order[by]
    return before


@ORDERS
def test_softmax_is_that_of_each_group(seed: int | None) -> None:
    inputs, order = numbers(5, 24), unit_order(24, seed)
    outputs = GroupedSoftmax(4, seed)(tf.constant(inputs)).numpy()
    expected = np.empty_like(inputs)
    for start in range(0, 24, 4):
        group = order[start : start + 4]
        expected[:, group] = np.exp(inputs[:, group]) / np.exp(inputs[:, group]).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs, expected, rtol=1e-12)


@ORDERS
def test_softmax_is_equivariant_as_long_as_groups_stay_together(seed: int | None) -> None:
    layer, order, rng = GroupedSoftmax(4, seed), unit_order(24, seed), np.random.default_rng(1)
    by = rng.permuted(np.arange(24).reshape(6, 4)[rng.permutation(6)], axis=1).ravel()
    assert relative_error(layer, along(order, by)) < 1e-12
    assert relative_error(layer, along(order, np.roll(np.arange(24), 1))) > 1e-2


@ORDERS
def test_convolution_is_a_circulant_in_its_order(seed: int | None) -> None:
    layer, inputs, order = UnitConvolution(5, seed), numbers(5, 24), unit_order(24, seed)
    outputs = layer(tf.constant(inputs)).numpy()
    expected = np.zeros_like(inputs)
    for place in range(24):
        for offset, weight in enumerate(layer.w.numpy()):
            expected[:, order[place]] += weight * inputs[:, order[(place + offset) % 24]]
    np.testing.assert_allclose(outputs, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@ORDERS
def test_convolution_is_equivariant_under_shifts_along_its_order(seed: int | None) -> None:
    layer, order = UnitConvolution(5, seed), unit_order(24, seed)
    assert relative_error(layer, along(order, np.roll(np.arange(24), 7))) < 1e-12
    assert relative_error(layer, along(order, np.arange(24)[::-1])) > 1e-2


def test_convolution_is_not_equivariant_under_shifts_along_another_order() -> None:
    assert relative_error(UnitConvolution(5, seed=3), np.roll(np.arange(24), 7)) > 1e-2


def test_convolution_starts_with_outputs_of_variance_one() -> None:
    inputs = tf.constant(numbers(100, 24))
    squares = [np.mean(UnitConvolution(8)(inputs).numpy() ** 2) for _ in range(50)]
    assert np.mean(squares) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("layer", [GroupedSoftmax(4, 3), UnitConvolution(5, 3)], ids=["softmax", "convolution"])
def test_gradients_are_those_of_differences(layer: snt.Module) -> None:
    inputs, towards, weights = tf.constant(numbers(2, 8)), numbers(3, 2, 8)[1], numbers(4, 2, 8)[2]
    with tf.GradientTape() as outer:
        outer.watch(inputs)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = tf.reduce_sum(layer(inputs) ** 2 * weights)
        gradient = tape.gradient(value, inputs)
        slope = tf.reduce_sum(gradient * towards)

    def shifted(by: float) -> tuple[float, Floats]:
        moved = tf.Variable(inputs + by * towards)
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(layer(moved) ** 2 * weights)
        return value.numpy(), tape.gradient(value, moved).numpy()

    (above, gradient_above), (below, gradient_below) = shifted(1e-5), shifted(-1e-5)
    assert slope.numpy() == pytest.approx((above - below) / 2e-5, rel=1e-7)
    np.testing.assert_allclose(
        outer.gradient(slope, inputs).numpy(), (gradient_above - gradient_below) / 2e-5, rtol=1e-6, atol=1e-8
    )


BRANCHES = {"same": tf.identity, "square": tf.square, "sine": tf.sin}


def test_concatenation_holds_each_branch_in_turn() -> None:
    inputs = tf.constant(numbers(5, 4))
    outputs = Parallel(BRANCHES)(inputs).numpy()
    np.testing.assert_array_equal(outputs, np.concatenate([branch(inputs) for branch in BRANCHES.values()], axis=1))


def test_sum_starts_as_the_mean_and_obeys_its_gates() -> None:
    inputs, layer = tf.constant(numbers(5, 4)), Parallel(BRANCHES, "sum")
    parts = np.array([branch(inputs) for branch in BRANCHES.values()])
    np.testing.assert_allclose(layer(inputs).numpy(), parts.mean(axis=0), rtol=1e-12)
    layer.gates.assign([2.0, 0.0, -1.0])
    np.testing.assert_allclose(layer(inputs).numpy(), 2 * parts[0] - parts[2], rtol=1e-12)


def test_branches_may_be_modules_of_other_widths_when_joined_only() -> None:
    branches = {"wide": snt.Linear(3), "narrow": snt.Linear(2)}
    assert Parallel(branches)(tf.zeros([4, 5])).shape == (4, 5)
    with pytest.raises(ValueError, match=r"outputs of one shape, and have wide \(4, 3\), narrow \(4, 2\)"):
        Parallel(branches, "sum")(tf.zeros([4, 5]))


def network(reduce: str, names: tuple[str, ...] = tuple(ACTIVATIONS)) -> AllActivations:
    made = AllActivations([8, 16], 3, names, reduce, seed=1)
    made(tf.constant(numbers(2, 6)))
    return made


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_one_activation_makes_a_plain_perceptron(name: str) -> None:
    made, inputs = network("concat", (name,)), tf.constant(numbers(5, 6))
    first, second, last = made.layers
    one, other = (activation.branches[name] for activation in made.activations)
    np.testing.assert_array_equal(made(inputs).numpy(), last(other(second(one(first(inputs))))).numpy())


def test_random_orders_differ_between_layers_and_seeds() -> None:
    seeds = {
        tuple(activation.branches[name].seed)
        for seed in (1, 2)
        for activation in AllActivations([8, 8], seed=seed).activations
        for name in ("softmax_8", "convolution_4", "convolution_8")
    }
    assert len(seeds) == 12


def test_weights_given_are_norms_of_blocks() -> None:
    made = network("concat", ("relu", "sigmoid"))
    weights = made.layers[1].w.numpy()
    weights[:8], weights[8:] = 0.5, 2.0
    made.layers[1].w.assign(weights)
    given = made.given_weights()
    assert list(given) == ["layer_0/relu", "layer_0/sigmoid", "layer_1/relu", "layer_1/sigmoid"]
    # Each unit has 16 weights of 0.5, or of 2.
    assert (given["layer_0/relu"], given["layer_0/sigmoid"]) == pytest.approx((2.0, 8.0))


def test_weights_given_are_sizes_of_gates() -> None:
    made = network("sum", ("relu", "sigmoid"))
    made.activations[1].gates.assign([-3.0, 0.25])
    assert list(made.given_weights().values()) == [0.5, 0.5, 3.0, 0.25]


@pytest.mark.parametrize("reduce", ["concat", "sum"])
def test_silencing_leaves_the_means_of_what_it_takes_away(reduce: str) -> None:
    names = ("relu", "sigmoid", "convolution_4")
    made, inputs = network(reduce, names), tf.constant(numbers(50, 6))
    for activation in made.activations if reduce == "sum" else ():
        activation.gates.assign([1.0, 2.0, 3.0])
    hidden, means = inputs, []
    for layer, activation in zip(made.layers, made.activations, strict=False):
        units = layer(hidden)
        means.append(tf.reduce_mean(tf.sigmoid(units), axis=0))
        hidden = activation(units)
    before = made(inputs).numpy()
    hidden = inputs
    for layer, activation, mean in zip(made.layers, made.activations, means, strict=False):
        units = layer(hidden)
        parts = [activation.branches["relu"](units), mean + 0 * units, activation.branches["convolution_4"](units)]
        hidden = tf.concat(parts, 1) if reduce == "concat" else parts[0] + 2 * parts[1] + 3 * parts[2]
    expected = made.layers[-1](hidden).numpy()
    made.silence("sigmoid", inputs)
    np.testing.assert_allclose(made(inputs).numpy(), expected, rtol=1e-10, atol=1e-12)
    assert np.abs(expected - before).max() > 1e-3
    assert {size for key, size in made.given_weights().items() if key.endswith("sigmoid")} == {0.0}


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="branches must hold at least one"):
        Parallel({})
    with pytest.raises(ValueError, match=r"reduce \(='mean'\) must be one of concat, sum"):
        Parallel(BRANCHES, "mean")
    with pytest.raises(ValueError, match=r"group_size \(=0\) must be at least 1"):
        GroupedSoftmax(0)
    with pytest.raises(ValueError, match=r"shape \(2, 10\) must have units divisible by 4"):
        GroupedSoftmax(4)(tf.zeros([2, 10]))
    with pytest.raises(ValueError, match=r"shape \(2, 3\) must have at least 4 units"):
        UnitConvolution(4)(tf.zeros([2, 3]))
    with pytest.raises(ValueError, match="floating point"):
        GroupedSoftmax(2)(tf.zeros([2, 4], tf.int32))
    with pytest.raises(ValueError, match=r"activations \(='tanh'\) must be among identity, relu"):
        AllActivations([8], activations=["tanh"])
    with pytest.raises(ValueError, match="activations must hold at least one"):
        AllActivations([8], activations=[])
    with pytest.raises(ValueError, match=r"name \(='relu'\) must be among sigmoid"):
        AllActivations([8], activations=["sigmoid"]).silence("relu", tf.zeros([1, 4]))
    with pytest.raises(ValueError, match=r"activations \(=.*\) must name each once, and name 'relu' 2 times"):
        AllActivations([8], activations=["relu", "sigmoid", "relu"])


@pytest.mark.parametrize("reduce", ["concat", "sum"])
def test_a_network_without_weights_has_none_to_measure_or_silence(reduce: str) -> None:
    made = AllActivations([8], activations=["relu", "sigmoid"], reduce=reduce)
    with pytest.raises(ValueError, match="no weights yet: call it on inputs first"):
        made.given_weights()
    with pytest.raises(ValueError, match="no weights yet: call it on inputs first"):
        made.silence("relu", tf.zeros([1, 4]))


@pytest.mark.parametrize("layer", [GroupedSoftmax(4, 3), UnitConvolution(5, 3)], ids=["softmax", "convolution"])
def test_arrays_will_do_for_tensors(layer: snt.Module) -> None:
    inputs = numbers(2, 8)
    np.testing.assert_array_equal(layer(inputs), layer(tf.constant(inputs)))
    with pytest.raises(ValueError, match=r"must be \[batch, units\]"):
        layer(inputs[0])
