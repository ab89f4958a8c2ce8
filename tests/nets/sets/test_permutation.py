"""Tests of permutation layers: equivariance or invariance, and completeness of their polynomials."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import items, monomials
from weirdonetworks.measure.stability import equivariance_error, invariance_error
from weirdonetworks.nets.sets.permutation import (
    PermutationEquivariantLinear,
    PermutationEquivariantPolynomial,
    PermutationEquivariantQuadratic,
    PermutationInvariantLinear,
    PermutationInvariantPolynomial,
    PermutationInvariantQuadratic,
)
from weirdonetworks.nets.sets.permutation_moments import count_products
from weirdonetworks.testing import assert_equivariant, assert_invariant

Layer = Callable[..., Any]
EQUIVARIANT: dict[str, Callable[[], Layer]] = {
    "linear": lambda: PermutationEquivariantLinear(3),
    "quadratic": lambda: PermutationEquivariantQuadratic(3),
    "cubic": lambda: PermutationEquivariantPolynomial(3, 3),
    "quartic": lambda: PermutationEquivariantPolynomial(3, 4),
    "stack": lambda: snt.Sequential(
        [PermutationEquivariantQuadratic(4), tf.tanh, PermutationEquivariantPolynomial(3, 3), tf.nn.gelu]
    ),
}
INVARIANT: dict[str, Callable[[], Layer]] = {
    "linear": lambda: PermutationInvariantLinear(3),
    "quadratic": lambda: PermutationInvariantQuadratic(3),
    "quartic": lambda: PermutationInvariantPolynomial(3, 4),
    "stack": lambda: snt.Sequential(
        [PermutationEquivariantQuadratic(4), tf.sigmoid, PermutationInvariantPolynomial(3, 3)]
    ),
}


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def dense(outputs: int, items: int = 0) -> Layer:
    """A dense layer on the set as one vector, which knows the items' places; its outputs an item each, if there are."""
    linear = snt.Linear(outputs * max(items, 1))
    shape = [-1, items, outputs] if items else [-1, outputs]
    return lambda inputs: tf.reshape(linear(tf.reshape(inputs, [-1, math.prod(inputs.shape[1:])])), shape)


@pytest.mark.exhaustive
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EQUIVARIANT)
def test_layer_commutes_with_permutations(name: str, channels: int) -> None:
    layer, inputs = EQUIVARIANT[name](), draw(2, 4, channels)
    assert layer(tf.constant(inputs)).numpy().std(axis=1).min() > 0
    assert_equivariant(layer, inputs, items(4))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["linear", "quadratic", "quartic"])
def test_layer_commutes_with_permutations_of_items_and_mask(name: str) -> None:
    layer, mask = EQUIVARIANT[name](), np.array([[True, False, True, True], [False, True, True, False]])
    # As a last feature, the mask moves along.
    assert_equivariant(
        lambda x: layer(x[..., :2], x[..., 2] > 0), np.concatenate([draw(2, 4, 2), mask[..., None]], 2), items(4)
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", INVARIANT)
def test_layer_ignores_permutations(name: str, channels: int) -> None:
    assert_invariant(INVARIANT[name](), draw(2, 4, channels), items(4))


def test_a_dense_layer_does_neither() -> None:
    inputs = draw(2, 4, 2)
    assert equivariance_error(dense(3, items=4), inputs, items(4), dtype=tf.float64).overall_relative > 1e-2
    assert invariance_error(dense(3), inputs, items(4), dtype=tf.float64).overall_relative > 1e-2


def unit_functions(make: Callable[[int], Any], inputs: np.ndarray) -> np.ndarray:
    """Evaluates the function of each weight, the others 0, `[samples, weights]`; of the first item if it has items."""

    def number() -> int:
        layer = make(1)
        layer(tf.constant(inputs[:1]))
        return sum(math.prod(each.shape) for each in layer.trainable_variables)

    count, start = number(), 0
    layer = make(count)
    layer(tf.constant(inputs[:1]))
    for weight in layer.trainable_variables:
        own = math.prod(weight.shape) // count
        weight.assign(np.eye(count)[start : start + own].reshape(weight.shape))
        start += own
    outputs = layer(tf.constant(inputs)).numpy()
    return outputs[:, 0] if outputs.ndim == 3 else outputs


def orbit_sums(inputs: np.ndarray, degree: int, fixed: int) -> np.ndarray:
    """Sums monomials over orbits of the permutations of items that leave the first `fixed` alone, `[samples, orbits]`.

    An equivariant map is its first output, a polynomial that the permutations of the other items leave as it is.
    """
    samples, items, channels = inputs.shape
    places = np.arange(items * channels).reshape(items, channels)
    generators = [places.ravel()]
    for first in range(fixed, items - 1):
        order = np.arange(items)
        order[[first, first + 1]] = first + 1, first
        generators.append(places[order].ravel())
    flat, columns = inputs.reshape(samples, -1), [np.ones((samples, 1))]
    for each in range(1, degree + 1):
        orbits = monomials.orbits(generators, each)
        values = flat[:, monomials.monomials(items * channels, each)].prod(axis=2)
        columns.append(values @ np.eye(len(orbits))[orbits.labels])
    return np.concatenate(columns, axis=1)


def rank(columns: np.ndarray) -> int:
    return int(np.linalg.matrix_rank(columns / np.linalg.norm(columns, axis=0), tol=1e-9))


def up_to(degree: int, sizes_of_factors: list[int]) -> int:
    """Sums the coefficients up to a degree of the product of 1 / (1 - t^size)."""
    series = np.eye(1, degree + 1, dtype=int)[0]
    for size in sizes_of_factors:
        for total in range(size, degree + 1):
            series[total] += series[total - size]
    return int(series.sum())


@pytest.mark.exhaustive
@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("items", [1, 2, 3, 4, 5, 6])
def test_space_of_one_channel_is_as_large_as_its_generating_function_says(items: int, degree: int) -> None:
    inputs = draw(100, items, 1)
    equivariant = unit_functions(lambda outputs: PermutationEquivariantPolynomial(outputs, degree), inputs)
    assert rank(equivariant) == up_to(degree, [1, *range(1, items)])
    assert (rank(equivariant) == equivariant.shape[1]) == (items > degree)
    invariant = unit_functions(lambda outputs: PermutationInvariantPolynomial(outputs, degree), inputs)
    assert rank(invariant) == up_to(degree, list(range(1, items + 1)))
    assert (rank(invariant) == invariant.shape[1]) == (items >= degree)


SPACES = [(1, 3, 4), (2, 1, 3), (2, 2, 3), (2, 3, 3), (3, 4, 2)]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("channels", "items", "degree"), SPACES)
def test_space_is_that_of_all_orbit_sums(channels: int, items: int, degree: int) -> None:
    inputs = draw(120, items, channels)
    for fixed, make in ((1, PermutationEquivariantPolynomial), (0, PermutationInvariantPolynomial)):
        found = unit_functions(lambda outputs, make=make: make(outputs, degree), inputs)
        all_of_them = orbit_sums(inputs, degree, fixed)
        assert all_of_them.shape[1] == rank(all_of_them) < len(inputs)
        assert rank(found) == rank(all_of_them) == rank(np.concatenate([found, all_of_them], axis=1))


def test_a_space_that_lacks_a_map_is_seen_to_lack_it() -> None:
    inputs = draw(100, 4, 1)
    found = unit_functions(lambda outputs: PermutationEquivariantPolynomial(outputs, 3), inputs)
    lacking = np.delete(found, 3, axis=1)
    assert rank(lacking) < up_to(3, [1, 1, 2, 3])


@pytest.mark.exhaustive
@pytest.mark.parametrize(("items", "of_one", "of_two"), [(2, 3, 4), (3, 4, 5), (5, 4, 5)])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_quadratic_maps_are_as_many_as_counted(channels: int, items: int, of_one: int, of_two: int) -> None:
    found = unit_functions(PermutationEquivariantQuadratic, draw(200, items, channels))
    assert rank(found) == 1 + 2 * channels + of_one * channels + of_two * math.comb(channels, 2)


def test_products_of_moments_are_counted_without_them() -> None:
    for channels, degree in ((1, 6), (3, 4), (5, 2)):
        layer = PermutationInvariantPolynomial(1, degree)
        layer(tf.zeros([1, 2, channels]))
        (weight,) = layer.weights
        assert weight.shape[0] == sum(count_products(channels, degree)[1:])


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["linear", "quadratic", "quartic"])
def test_masked_and_ragged_sets_are_those_without_the_absent_items(name: str) -> None:
    inputs, mask = draw(3, 5, 2), np.zeros((3, 5), bool)
    mask[0, [0, 2, 4]] = mask[1, 1:3] = mask[2] = True
    inputs[~mask] = np.nan
    ragged = tf.RaggedTensor.from_row_lengths(inputs[mask], mask.sum(axis=1))
    equivariant, invariant = EQUIVARIANT[name](), INVARIANT[name]()
    outputs, whole = equivariant(tf.constant(inputs), mask).numpy(), invariant(tf.constant(inputs), mask).numpy()
    for index, present in enumerate(mask):
        alone = tf.constant(inputs[index : index + 1, present])
        assert_close(outputs[index : index + 1, present], equivariant(alone).numpy(), 1e-12)
        assert_close(whole[index : index + 1], invariant(alone).numpy(), 1e-12)
    assert not outputs[~mask].any()
    again = equivariant(ragged)
    assert isinstance(again, tf.RaggedTensor)
    assert_close(again.values.numpy(), outputs[mask], 1e-12)
    assert_close(invariant(ragged), whole, 1e-12)


def test_what_absent_items_hold_reaches_no_gradient() -> None:
    inputs, mask = draw(2, 4, 2), np.array([[True, True, False, True], [False, True, False, False]])
    inputs[~mask] = np.inf
    layer = PermutationEquivariantPolynomial(3, 3)
    with tf.GradientTape() as tape:
        watched = tf.constant(inputs)
        tape.watch(watched)
        loss = tf.reduce_sum(layer(watched, mask) ** 2)
    by_inputs, *by_weights = tape.gradient(loss, [watched, *layer.trainable_variables])
    assert not by_inputs.numpy()[~mask].any() and by_inputs.numpy()[mask].all()
    assert all(np.isfinite(each).all() for each in by_weights)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", EQUIVARIANT)
def test_one_set_of_weights_serves_every_number_of_items(name: str) -> None:
    layer = EQUIVARIANT[name]()
    inputs = draw(2, 3, 2)
    outputs = layer(tf.constant(inputs)).numpy()
    # Means do not change when each item is there many times, so neither do the outputs.
    many = layer(tf.constant(np.tile(inputs, (1, 1000, 1)))).numpy()
    assert_close(many, np.tile(outputs, (1, 1000, 1)), 1e-10)


@pytest.mark.exhaustive
@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_variance_at_the_start(degree: int) -> None:
    def mean_square(layer: Layer, items: int) -> float:
        outputs = layer(tf.constant(draw(2000 // items, items, 3), tf.float32)).numpy()
        return float((outputs**2).mean())

    layer, invariant = PermutationEquivariantPolynomial(1000, degree), PermutationInvariantPolynomial(1000, degree)
    assert abs(mean_square(invariant, 1) - 1) < 0.2
    assert abs(mean_square(layer, 1) - 2) < 0.4
    assert abs(mean_square(layer, 200) - 1) < 0.2


def largest_tensor(layer: Layer, items: int, channels: int) -> int:
    """The size of the largest tensor of a training step."""
    layer(tf.zeros([1, 2, channels]))
    weights = layer.trainable_variables

    @tf.function(autograph=False)
    def step(inputs: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs) ** 2)
        return tape.gradient(loss, [inputs, *weights])

    graph = step.get_concrete_function(tf.TensorSpec([1, items, channels])).graph
    shapes = [each.shape for operation in graph.get_operations() for each in operation.outputs]
    return max(shape.num_elements() for shape in shapes if shape.rank and shape.is_fully_defined())


@pytest.mark.exhaustive
@pytest.mark.parametrize(("degree", "table"), [(1, 3), (2, 3), (3, 6), (4, 10)])
def test_no_tensor_grows_faster_than_the_items(degree: int, table: int) -> None:
    layer = PermutationEquivariantPolynomial(3, degree)
    assert largest_tensor(layer, 10_000, 3) <= 4 * 10_000 * table


def test_ten_thousand_items_run() -> None:
    layer = PermutationEquivariantQuadratic(16)
    outputs = layer(tf.constant(draw(1, 10_000, 16), tf.float32))
    assert outputs.shape == (1, 10_000, 16) and np.isfinite(outputs).all()


def test_bad_sets_are_refused() -> None:
    layer = PermutationEquivariantQuadratic(2)
    with pytest.raises(ValueError, match="at least one item"):
        layer(tf.zeros([2, 0, 3]))
    with pytest.raises(ValueError, match=r"mask .*set 1"):
        layer(tf.zeros([2, 2, 3]), [[True, False], [False, False]])
    with pytest.raises(ValueError, match=r"mask of shape \(2, 3\)"):
        layer(tf.zeros([2, 2, 3]), np.ones((2, 3), bool))
    with pytest.raises(TypeError, match="boolean"):
        layer(tf.zeros([2, 2, 3]), np.ones((2, 2)))
    layer(tf.zeros([2, 2, 3]))
    with pytest.raises(ValueError, match="must have 3 features"):
        layer(tf.zeros([2, 2, 4]))
    ragged = tf.RaggedTensor.from_row_lengths(np.ones((3, 3), np.float32), [3, 0])
    with pytest.raises(ValueError, match=r"mask .*set 1"):
        layer(ragged)
    with pytest.raises(ValueError, match="mask must be None"):
        layer(ragged, np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="ragged in the items alone"):
        layer(tf.ragged.constant([[[1.0], [1.0, 2.0]]]))


def test_a_set_found_empty_once_the_graph_runs_is_refused() -> None:
    layer = PermutationInvariantQuadratic(2)
    forward = tf.function(layer, autograph=False)
    inputs, mask = tf.ones([2, 2, 3]), tf.constant([[True, False], [False, False]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least one item"):
        forward(inputs, mask)
    compiled = tf.function(layer, autograph=False, jit_compile=True)
    outputs = compiled(inputs, mask).numpy()
    assert outputs[0].any() and not outputs[1].any()  # As of means 0; the bias is 0.


def test_a_refused_call_leaves_no_trace() -> None:
    for cls in (PermutationEquivariantPolynomial, PermutationInvariantPolynomial):
        layer = cls(1, 4)
        with pytest.raises(ValueError, match="Take a lower degree, or fewer channels"):
            layer(tf.zeros([1, 2, 64]))
        layer(tf.zeros([1, 2, 3], tf.float64))
        assert layer.input_size == 3


def test_bad_options_are_refused() -> None:
    for cls in (PermutationEquivariantPolynomial, PermutationInvariantPolynomial):
        with pytest.raises(ValueError, match=r"degree \(=0\) must be at least 1"):
            cls(1, 0)
        with pytest.raises(ValueError, match=r"output_size \(=0\) must be at least 1"):
            cls(0, 1)
        with pytest.raises(TypeError, match="must be an integer"):
            cls(1, 1.5)
        with pytest.raises(ValueError, match="Take a lower degree, or fewer channels"):
            cls(1, 4)(tf.zeros([1, 2, 64]))
