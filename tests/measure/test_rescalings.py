"""Rescalings and sign flips of units: those found leave the outputs as they are, others change them."""

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.unit_models import scaled
from weirdonetworks.measure.rescalings import _reduced, joint_dimensions, scalings
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_layout import places
from weirdonetworks.measure.unit_points import Points
from weirdonetworks.measure.unit_tracing.axes import Units, concatenation, product


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


def test_what_is_tried_follows_from_the_seed() -> None:
    graph = network(tf.nn.relu)
    points = [Points(graph.call, graph, {}, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    one, same, other = ([each.products(each.values(), each.inputs()) for _ in range(2)] for each in points)
    for first, again, else_ in zip(one, same, other, strict=True):
        assert all(map(np.array_equal, first, again))
        assert not all(map(np.array_equal, first, else_))


def test_a_dead_unit_says_nothing_of_its_signs() -> None:
    """With the first unit zero for all inputs, its weights may have any sign, those of the others may not."""
    graph = network(tf.nn.relu)
    bias = next(variable for variable in graph.variables if variable.shape == [6])
    bias.assign([-1e3, *[0.5] * 5])
    (found,) = scalings(graph)
    assert (len(found.exponents), len(found.flips)) == (1, 0)


@pytest.mark.parametrize(
    ("step", "exponents"),
    [
        (lambda h: tf.round(4 * h), []),
        (lambda h: tf.cast(h > 0.5, h.dtype), []),
        (tf.sign, [[1, 1, 0, -1]]),  # The control: sign(a h) = sign(h).
    ],
)
def test_rescalings_that_a_step_breaks_are_not_found(
    step: Callable[[tf.Tensor], tf.Tensor], exponents: list[Any]
) -> None:
    hidden, first, second = snt.Linear(6), snt.Linear(2), snt.Linear(2)

    def network(x: tf.Tensor) -> tf.Tensor:
        h = tf.nn.relu(hidden(x))
        return first(step(h)) + second(h)

    inputs = np.random.default_rng(0).normal(size=[4, 3]).astype(np.float32)
    (found,) = scalings(UnitGraph.trace(network, inputs), flips=False)
    assert np.array_equal(found.exponents, np.reshape(exponents, (-1, 4)))


def test_of_rescalings_that_a_step_breaks_the_difference_may_hold() -> None:
    """Through a norm and ReLU in front of a rounding, what is left is the norm's: weights times a, its scale over a."""
    hidden, scale, first, second = snt.Linear(6), tf.Variable(tf.ones([6])), snt.Linear(2), snt.Linear(2)

    def network(x: tf.Tensor) -> tf.Tensor:
        h = tf.nn.relu(hidden(x) * scale)
        return first(tf.round(4 * h)) + second(h)

    graph = UnitGraph.trace(network, np.random.default_rng(0).normal(size=[4, 3]).astype(np.float32))
    (found,) = scalings(graph, flips=False)
    names = [graph.names[group.variable] for group in found.groups]
    assert dict(zip(names, found.exponents[0], strict=True)) == {
        "linear/w": 1,
        "linear/b": 1,
        "Variable": -1,
        "linear/w (2)": 0,
        "linear/w (3)": 0,
    }
    assert len(found.exponents) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("blocks", "size"), [(6, 1), (3, 4)])
def test_deep_residual_network_has_all_its_rescalings(blocks: int, size: int) -> None:
    """In each block the first norm's output, and what each of both norms divides by; the stream once, as all add to it.

    Without those of the norms' moving statistics, which are fixed: the first norms' outputs, and the stream.
    """
    keras.utils.set_random_seed(1)
    layers = keras.layers
    inputs = keras.Input((3,))
    stream = layers.Dense(6, activation="relu")(inputs)
    for _ in range(blocks):
        hidden = layers.ReLU()(layers.BatchNormalization()(layers.Dense(6)(stream)))
        stream = layers.ReLU()(layers.Add()([stream, layers.BatchNormalization()(layers.Dense(6)(hidden))]))
    model = keras.Model(inputs, layers.Dense(2)(stream))
    for variable in model.trainable_variables:
        variable.assign(size * variable)
    graph = UnitGraph.trace(model, np.random.default_rng(0).normal(size=[2, 3]).astype(np.float32))
    found = scalings(graph, flips=False)
    assert [len(each.exponents) for each in found] == [1 + blocks] + [2] * blocks
    assert all(set(each.exponents.ravel()) <= {-1, 0, 1} for each in found)
    found = scalings(graph, flips=False, trainable=True)
    assert [(len(each.exponents), len(each.shared)) for each in found] == [(1, 1)] * (1 + blocks)


def test_random_outputs_are_judged_by_derivatives() -> None:
    """No two calls of a model with dropout agree, so that finite factors say nothing."""
    hidden, head = snt.Linear(6), snt.Linear(2)
    graph = UnitGraph.trace(lambda x: head(tf.nn.dropout(tf.nn.relu(hidden(x)), 0.5)), tf.ones([2, 3]))
    (found,) = scalings(graph, flips=False, trainable=True)
    assert found.exponents.tolist() == [[1, 1, -1]]


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_exponents_are_exact_where_images_are_resized(method: str) -> None:
    inputs = keras.Input((4, 4, 2))
    hidden = keras.layers.ReLU()(keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 1)(inputs)))
    deep = keras.layers.Conv2D(3, 1)(keras.layers.AveragePooling2D(2)(hidden))
    both = keras.layers.Concatenate()([keras.layers.UpSampling2D(interpolation=method)(deep), hidden])
    graph = UnitGraph.trace(keras.Model(inputs, keras.layers.Conv2D(2, 1)(both)), tf.ones([1, 4, 4, 2]))
    (found,) = (each for each in scalings(graph, flips=False) if each.space.size == 4)
    assert len(found.exponents) == 2
    assert set(found.exponents.ravel()) <= {-1, 0, 1}


def test_what_single_precision_leaves_is_no_pivot() -> None:
    rows = np.array([[1e-5, 1, 1, -1], [0, 1, 2e-5, -1]]) / 2
    assert _reduced(rows).tolist() == [[0, 1, 0, -1], [0, 0, 1, 0]]


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
            after = scaled(graph, each, 2.0**exponents, unit)
            rows.append(np.concatenate([np.log2(np.abs(value)).ravel() for value in after]))
    start = np.concatenate([np.log2(np.abs(variable.numpy())).ravel() for variable in graph.variables])
    dimension, _ = joint_dimensions(found, sizes)
    assert dimension == np.linalg.matrix_rank(np.array(rows) - start) < naive


@pytest.mark.parametrize("part", [1e-8, 1e-4])
@pytest.mark.parametrize(("activation", "counts"), [(tf.nn.relu, (1, 0)), (tf.tanh, (0, 1)), (tf.sigmoid, (0, 0))])
def test_units_on_which_little_depends_have_theirs(
    activation: Callable[[tf.Tensor], tf.Tensor], counts: tuple[int, int], part: float
) -> None:
    loud, faint, first, second = (snt.Linear(size) for size in (6, 5, 2, 2))
    graph = UnitGraph.trace(lambda x: first(tf.nn.relu(loud(x))) + part * second(activation(faint(x))), tf.ones([2, 3]))
    found = {each.space.size: (len(each.exponents), len(each.flips)) for each in scalings(graph)}
    assert found == {6: (1, 0), 5: counts}


def test_units_between_frozen_weights_have_nothing_to_rescale() -> None:
    """With the head trainable alone, the first hidden units have no weights that vary; the last have the head's."""
    weights = [tf.Variable(tf.ones(shape), trainable=shape == [4, 2]) for shape in ([3, 6], [6, 4], [4, 2])]
    graph = UnitGraph.trace(lambda x: tf.nn.relu(tf.nn.relu(x @ weights[0]) @ weights[1]) @ weights[2], tf.ones([2, 3]))
    found = scalings(graph, trainable=True)
    assert [(each.space.size, len(each.groups), len(each.exponents)) for each in found] == [(4, 1, 0)]


def test_weights_are_drawn_for_their_longest_sum() -> None:
    """Of an autoencoder with tied weights, that of the encoder."""
    weight = tf.Variable(tf.ones([400, 3]))
    graph = UnitGraph.trace(lambda x: tf.matmul(tf.nn.relu(x @ weight), weight, transpose_b=True), tf.ones([1, 400]))
    (values,) = Points(graph.call, graph, {}, np.random.default_rng(0)).values()
    assert np.mean(np.square(values)) <= 1.001 / 400


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


def loop(hidden: tf.Tensor) -> tf.Tensor:
    return tf.while_loop(lambda step, _: step < 3, lambda step, h: (step + 1, tf.tanh(h)), [0, hidden])[1]


def condition(hidden: tf.Tensor) -> tf.Tensor:
    return tf.cond(tf.reduce_sum(hidden) > 0, lambda: tf.nn.relu(hidden), lambda: hidden)


@pytest.mark.parametrize(
    ("branching", "refusal"), [(loop, "While .* Unroll loops"), (condition, "If .* Branch in Python")]
)
def test_loops_and_conditions_are_refused(branching: Callable[[tf.Tensor], tf.Tensor], refusal: str) -> None:
    first, hidden, head = snt.Linear(4), snt.Linear(5), snt.Linear(2)
    graph = UnitGraph.trace(lambda x: head(tf.nn.relu(hidden(branching(first(x))))), tf.ones([2, 3]))
    with pytest.raises(ValueError, match=refusal):
        scalings(graph)


@pytest.mark.parametrize(
    "transformed",
    [
        lambda h: tf.abs(tf.signal.fft(tf.cast(h, tf.complex64))),
        lambda h: tf.signal.irfft(tf.signal.rfft(h)),
        lambda h: tf.signal.rfft(h)[..., :2],
    ],
)
def test_complex_numbers_are_evaluated_in_double_precision(transformed: Callable[[tf.Tensor], tf.Tensor]) -> None:
    """In the last model the outputs are complex themselves."""
    tf.random.set_seed(0)  # Of some weights the first unit is dead, and its factor changes nothing.
    hidden, head = snt.Linear(6), snt.Linear(4)
    graph = UnitGraph.trace(lambda x: transformed(head(tf.nn.relu(hidden(x)))), tf.ones([2, 3]))
    (found,) = scalings(graph)
    assert (found.exponents.tolist(), len(found.flips)) == ([[1, 1, -1]], 0)
    after = scaled(graph, found, 3.0 ** found.exponents[0])
    assert graph.difference(after) < 1e-12 < 1e-3 < graph.difference(scaled(graph, found, [3.0, 1.0, 1.0]))
