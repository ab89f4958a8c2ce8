"""Rescalings and sign flips of units: those found leave the outputs as they are, others change them."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.unit_models import CASES, Case
from weirdonetworks.measure.rescalings import Scalings, joint_dimensions, places, scalings
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_tracing.axes import Units, concatenation, product

# For each space, in order: the dimension of the rescalings of a unit, and that of its sign flips.
EXPECTED = {
    "MLP": [(1, 0)] * 2,
    "MNIST_FC": [(1, 0)] * 2,
    "MNIST_CNN": [(2, 1)] * 3,  # In evaluation: before the norm, and after it.
    "CIFAR10_CNN": [(1, 0)] * 6,
    "residual": [(1, 0), (2, 1), (0, 1)],
    "mobile": [(1, 1), (2, 2)],  # ReLU6 has no scale.
    "transformer": [(2, 2), (2, 2), (1, 1), (1, 1), (0, 0)],
    "LSTM": [(0, 0)],
    "shared": [(1, 0)],
    "encoder": [(1, 0), (0, 1)],
    "embedding": [(1, 1)],
}
FAST = [case for case in CASES if case.name in EXPECTED]
PARAMETERS = pytest.mark.parametrize("case", FAST, ids=lambda case: case.name)


def moved(graph: UnitGraph, found: Scalings, factors: Any, unit: int = 0) -> list[np.ndarray]:
    """The variables with one unit's weights multiplied by a factor for each group."""
    values = [variable.numpy().astype(np.float64) for variable in graph.variables]
    for group, factor in zip(found.groups, factors, strict=True):
        each = np.where(np.arange(found.space.size) == unit, factor, 1.0)
        values[group.variable] = group.scaled(values[group.variable], each)
    return values


@pytest.mark.slow
@PARAMETERS
def test_what_is_found_leaves_the_outputs_and_no_single_factor_does(case: Case) -> None:
    graph = case.graph()
    found = scalings(graph)
    assert [(len(each.exponents), len(each.flips)) for each in found if each.space in graph.free] == EXPECTED[case.name]
    for each in found:
        for exponents, unit in itertools.product(each.exponents, (0, each.space.size - 1)):
            assert graph.difference(moved(graph, each, 1.7**exponents, unit)) < 1e-12
        for flips in each.flips:
            assert graph.difference(moved(graph, each, np.where(flips, -1.0, 1.0))) < 1e-12
        # The control: of what is found, no part does on its own, but for weights that nothing depends on.
        for exponents in each.exponents:
            for index in np.flatnonzero(exponents):
                factors = 1.7 ** np.where(np.arange(len(exponents)) == index, 0, exponents)
                assert (
                    graph.difference(moved(graph, each, factors)) > 1e-9
                    or "key/bias" in graph.names[each.groups[index].variable]
                )


def network(activation: Callable[[tf.Tensor], tf.Tensor]) -> UnitGraph:
    return UnitGraph.trace(snt.nets.MLP([6, 2], activation=activation), tf.ones([2, 3]))


@pytest.mark.parametrize(
    ("activation", "exponents", "flips"),
    [
        (tf.nn.relu, [[1, 1, -1]], []),
        (tf.nn.leaky_relu, [[1, 1, -1]], []),
        (tf.square, [[1, 1, -2]], [[1, 1, 0]]),
        (lambda x: x**3, [[1, 1, -3]], [[1, 1, 1]]),
        (tf.tanh, [], [[1, 1, 1]]),
        (tf.cos, [], [[1, 1, 0]]),
        (tf.sigmoid, [], []),
        (tf.nn.gelu, [], []),
        (tf.nn.relu6, [], []),
        (lambda x: tf.clip_by_value(x, -3.0, 3.0), [], [[1, 1, 1]]),
    ],
)
def test_degree_and_parity_of_activations(activation: Any, exponents: list[Any], flips: list[Any]) -> None:
    (found,) = scalings(network(activation))
    assert np.allclose(found.exponents, np.reshape(exponents, (-1, 3)))
    assert found.flips.astype(int).tolist() == flips


def test_what_heads_and_their_insides_have_in_common_counts_once() -> None:
    """Of q.k with q = x A, k = x B, both [heads, inside]: each pair has a scale, and the units span fewer."""
    first, second = tf.Variable(tf.ones([2, 2, 3])), tf.Variable(tf.ones([2, 2, 3]))
    head = tf.Variable(tf.ones([2, 4]))

    def attend(x: tf.Tensor) -> tf.Tensor:
        query, key = (tf.einsum("bs,shd->bhd", x, each) for each in (first, second))
        return tf.einsum("bhd,bhd->bh", query, key) @ head

    graph = UnitGraph.trace(attend, tf.ones([3, 2]))
    found = scalings(graph)
    sizes = {each.space: each.space.size for each in found}
    naive = sum(sizes[each.space] * len(each.exponents) for each in found)
    rows = []
    for each in found:
        for unit, exponents in itertools.product(range(each.space.size), each.exponents):
            after = moved(graph, each, 2.0**exponents, unit)
            rows.append(np.concatenate([np.log2(np.abs(value)).ravel() for value in after]))
    start = np.concatenate([np.log2(np.abs(variable.numpy())).ravel() for variable in graph.variables])
    dimension, _ = joint_dimensions(found, sizes)
    assert dimension == np.linalg.matrix_rank(np.array(rows) - start) < naive


def test_units_are_placed_along_terms() -> None:
    two, three = Units(2), Units(3)
    found = [(units.size, along.tolist()) for units, along in places(concatenation([product([two, three]), two]))]
    assert found == [
        (2, [0, 0, 0, 1, 1, 1, -1, -1]),
        (3, [0, 1, 2, 0, 1, 2, -1, -1]),
        (2, [-1, -1, -1, -1, -1, -1, 0, 1]),
    ]


def test_a_model_without_numbers_is_refused() -> None:
    linear, head = snt.Linear(4), snt.Linear(3)
    graph = UnitGraph.trace(lambda x: tf.argmax(head(linear(x)), axis=1), tf.ones([2, 3]))
    with pytest.raises(ValueError, match="model must have an output of floating-point numbers"):
        scalings(graph)
