"""Tests of symmetrised networks: which methods are exactly invariant, and which are not."""

import itertools
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import (
    PermutationGroup,
    alternating_group,
    cyclic_group,
    dihedral_group,
    items,
    points,
    symmetric_group,
    trivial_group,
)
from weirdonetworks.measure.stability import invariance_error
from weirdonetworks.nets.averaged import Symmetrized
from weirdonetworks.nets.frames import sorted_lexicographically
from weirdonetworks.nets.polynomial.polynomial_layers import PolynomialMLP

GROUPS = {
    "C4": lambda: cyclic_group(4),
    "D4": lambda: dihedral_group(4),
    "A4": lambda: alternating_group(4),
    "S4": lambda: symmetric_group(4),
    "trivial": lambda: trivial_group(4),
}


def network(outputs: int = 2) -> Any:
    return snt.Sequential([snt.Flatten(), snt.nets.MLP([8, outputs], activation=tf.tanh)])


def error(function: Any, group: PermutationGroup, features: int = 2) -> float:
    """The largest change of the outputs over the elements of a group on the items, over their size."""
    inputs = np.random.default_rng(0).normal(size=(5, group.degree, features))
    assert function(tf.constant(inputs)).numpy().std(axis=0).min() > 0
    return invariance_error(function, inputs, items(group), dtype=tf.float64).overall_relative


@pytest.mark.exhaustive
@pytest.mark.parametrize("combine", ["mean", "sum", "product"])
@pytest.mark.parametrize("number", [1, 2, 4])
def test_exact_method_is_invariant(number: int, combine: str) -> None:
    assert error(Symmetrized(network(), combine), symmetric_group(number)) < 1e-10


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", GROUPS)
def test_exact_method_is_invariant_under_a_group_and_not_more(name: str) -> None:
    function = Symmetrized(network(), action=GROUPS[name]())
    assert error(function, GROUPS[name]()) < 1e-10
    if name != "S4":
        assert error(function, symmetric_group(4)) > 1e-3


def test_any_network_will_do() -> None:
    assert error(Symmetrized(PolynomialMLP([6, 2], degree=2)), symmetric_group(3)) < 1e-10
    assert error(Symmetrized(lambda sets: sets[:, 0] * sets[:, 1] ** 2), symmetric_group(3)) < 1e-10
    pictures = Symmetrized(lambda sets: sets[:, :, :, None] * tf.constant([1.0, 2.0], tf.float64))
    assert pictures(tf.ones([3, 4, 2], tf.float64)).shape == (3, 4, 2, 2)


def test_canonical_method_is_invariant_and_jumps() -> None:
    function = Symmetrized(network(), method="canonical")
    assert error(function, symmetric_group(4)) < 1e-10
    near = np.array([[[0.0, 3.0], [1e-9, -3.0]], [[0.0, 3.0], [-1e-9, -3.0]]])
    one, other = function(tf.constant(np.concatenate([near, near[:, :1], near[:, :1] + 1], axis=1))).numpy()
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("method", ["sampled", "adjacent"])
def test_other_methods_are_not_invariant(method: str) -> None:
    assert error(Symmetrized(network(), method=method, samples=8), symmetric_group(4)) > 1e-3


def test_the_network_itself_is_not_invariant() -> None:
    assert error(network(), symmetric_group(4)) > 1e-3


def test_outputs_are_combined_over_all_orders() -> None:
    inner, inputs = network(), np.random.default_rng(1).normal(size=(3, 3, 2))
    values = np.stack([inner(tf.constant(inputs[:, list(s)])).numpy() for s in itertools.permutations(range(3))])
    for combine, expected in (("mean", values.mean(0)), ("sum", values.sum(0)), ("product", values.prod(0))):
        assert_close(Symmetrized(inner, combine)(tf.constant(inputs)), expected, 1e-12)
    orders = [[0, 1, 2], [1, 0, 2], [0, 2, 1]]
    adjacent = np.mean([inner(tf.constant(inputs[:, order])).numpy() for order in orders], axis=0)
    assert_close(Symmetrized(inner, method="adjacent")(tf.constant(inputs)), adjacent, 1e-12)


def test_a_cyclic_group_acts_by_cyclic_shifts() -> None:
    inner, inputs = network(), np.random.default_rng(1).normal(size=(3, 5, 2))
    shifted = np.mean([inner(tf.constant(np.roll(inputs, by, axis=1))).numpy() for by in range(5)], axis=0)
    assert_close(Symmetrized(inner, action=cyclic_group(5))(tf.constant(inputs)), shifted, 1e-12)


def test_a_group_may_be_given_as_its_action_on_items() -> None:
    inner, inputs = network(), tf.constant(np.random.default_rng(1).normal(size=(3, 4, 2)))
    outputs = Symmetrized(inner, action=items(cyclic_group(4)))(inputs)
    np.testing.assert_array_equal(outputs, Symmetrized(inner, action=cyclic_group(4))(inputs))
    with pytest.raises(TypeError, match=r"must be items\(group\), a PermutationGroup, or None"):
        Symmetrized(inner, action=points(cyclic_group(4)))


def test_samples_estimate_the_mean() -> None:
    inner, inputs = network(), tf.constant(np.random.default_rng(1).normal(size=(3, 4, 2)))
    mean = Symmetrized(inner)(inputs).numpy()
    few, many, again = (
        Symmetrized(inner, method="sampled", samples=samples, seed=3)(inputs).numpy() for samples in (10, 5000, 5000)
    )
    np.testing.assert_array_equal(many, again)
    assert np.abs(many - mean).max() < 0.05 < np.abs(few - mean).max()


def test_sampling_needs_no_list_of_the_group() -> None:
    outputs = Symmetrized(network(), method="sampled", samples=5)(tf.zeros([2, 40, 1]))
    assert outputs.shape == (2, 2)


def test_network_is_called_once() -> None:
    shapes = []

    def inner(sets: tf.Tensor) -> tf.Tensor:
        shapes.append(sets.shape.as_list())
        return sets[:, 0]

    Symmetrized(inner)(tf.zeros([5, 4, 2]))
    assert shapes == [[5 * 24, 4, 2]]


@pytest.mark.exhaustive
@pytest.mark.parametrize("combine", ["mean", "product"])
@pytest.mark.parametrize("method", ["exact", "canonical"])
def test_gradients_compile_with_unknown_batch(method: str, combine: str) -> None:
    function = Symmetrized(network(), combine, method=method)
    inputs = tf.constant(np.random.default_rng(0).normal(size=(3, 4, 2)))

    def slopes(values: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = function(values)
        return tape.gradient(outputs, values)

    signature = [tf.TensorSpec([None, 4, 2], tf.float64)]
    compiled = tf.function(slopes, input_signature=signature, jit_compile=True, autograph=False)
    assert_close(compiled(inputs), slopes(inputs), 1e-10)


def test_items_are_sorted_as_rows() -> None:
    rows = np.random.default_rng(0).integers(0, 3, size=(20, 7, 3)).astype(float)
    expected = [sorted(map(tuple, each)) for each in rows.tolist()]
    np.testing.assert_array_equal(sorted_lexicographically(tf.constant(rows)).numpy(), expected)


def test_only_sets_are_sorted() -> None:
    with pytest.raises(ValueError, match=r"items of shape \(2, 3\) must be \[batch, items, features\]"):
        sorted_lexicographically(tf.zeros([2, 3]))


def test_bad_input_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"limit \(=5040\) must be at least the number of orders \(=40320\).*sampled.*"
    ):
        Symmetrized(network())(tf.zeros([1, 8, 1]))
    with pytest.raises(ValueError, match=r"canonical.*adjacent"):
        Symmetrized(network(), limit=5)(tf.zeros([1, 3, 1]))
    with pytest.raises(ValueError, match=r"limit \(=9\).*\(=10\): raise it, or use method='sampled' \(not exactly inv"):
        Symmetrized(network(), action=cyclic_group(10), limit=9)
    with pytest.raises(ValueError, match=r"shape \(5, 1\) must begin with \[4\] for items"):
        Symmetrized(network(), action=cyclic_group(4))(tf.zeros([1, 5, 1]))
    for method in ("canonical", "adjacent"):
        with pytest.raises(ValueError, match=f"method \\(='{method}'\\) is for all orders only"):
            Symmetrized(network(), action=cyclic_group(4), method=method)
    with pytest.raises(ValueError, match=r"pooling \(='median'\) must be one of mean, sum, product"):
        Symmetrized(network(), "median")
    with pytest.raises(ValueError, match=r"method \(='all'\) must be one of exact, sampled, canonical, adjacent"):
        Symmetrized(network(), method="all")
    with pytest.raises(TypeError, match=r"network .* must be a module or a function"):
        Symmetrized(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"must be items\(group\), a PermutationGroup"):
        Symmetrized(network(), action=[[1, 0]])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one item"):
        Symmetrized(network())(tf.zeros([1, 0, 1]))
    function = Symmetrized(network())
    function(tf.zeros([1, 3, 1]))
    with pytest.raises(ValueError, match="must have 3 items, as at the first call"):
        function(tf.zeros([1, 4, 1]))


def test_a_refused_call_leaves_no_trace() -> None:
    function = Symmetrized(network())
    with pytest.raises(ValueError, match="limit"):
        function(tf.zeros([1, 8, 1]))
    assert function(tf.zeros([1, 3, 1])).shape == (1, 2)
