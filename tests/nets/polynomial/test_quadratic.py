"""Tests of quadratic layers: values, gradients, and shared and constrained weights in training."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import symmetric_group
from weirdonetworks.algebra.weights.constraints import (
    PolynomialLayer,
    PolynomialNetwork,
    constraints,
    equivariant_weight_orbits,
    quadratic_equations,
)
from weirdonetworks.measure.stability import equivariance_error
from weirdonetworks.nets.polynomial.quadratic import ConstrainedQuadratic, QuadraticLayer, tie

ORDERED = pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "redundant"])


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def built(layer: QuadraticLayer, n: int, dtype: tf.DType = tf.float64) -> Any:
    layer(tf.zeros([1, n], dtype))
    return layer


def square(weights: np.ndarray, n: int) -> np.ndarray:
    """Writes weights as `[outputs, n, n]`, those left out by the order as zeros."""
    if weights.ndim == 3:
        return weights
    full = np.zeros((len(weights), n, n))
    full[:, *np.triu_indices(n)] = weights
    return full


@ORDERED
def test_layer_is_the_form_written_out(ordered: bool) -> None:
    layer = built(QuadraticLayer(3, ordered), 4)
    assert layer.w.shape == ((3, 10) if ordered else (3, 4, 4))
    inputs = draw(5, 4)
    expected = np.einsum("kij,bi,bj->bk", square(layer.w.numpy(), 4), inputs, inputs)
    assert_close(layer(tf.constant(inputs)), expected, 1e-12)


def gradients(function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], *points: np.ndarray) -> list[np.ndarray]:
    """Differentiates the sum of sines of a function's values, weighed, by both arguments."""
    with tf.GradientTape() as tape:
        watched = [tf.constant(point) for point in points]
        tape.watch(watched)
        values = function(*watched)
        loss = tf.reduce_sum(tf.sin(values) * draw(*values.shape, seed=7))
    return [tf.convert_to_tensor(each).numpy() for each in tape.gradient(loss, watched)]


def by_definition(weights: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
    return tf.einsum("kij,bi,bj->bk", weights, inputs, inputs)


@tf.custom_gradient
def one_term_dropped(weights: tf.Tensor, inputs: tf.Tensor) -> tuple[tf.Tensor, object]:
    """Passes back sum_k delta_k sum_j W[k, i, j] x_j, without the terms of W[k, j, i]."""

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        by_weights = tf.einsum("bk,bi,bj->kij", upstream, inputs, inputs)
        return by_weights, tf.einsum("bk,kij,bj->bi", upstream, weights, inputs)

    return by_definition(weights, inputs), gradient


def layer_gradients(layer: QuadraticLayer, inputs: np.ndarray) -> list[np.ndarray]:
    """Differentiates by the layer's one variable and by its inputs."""
    (variable,) = layer.trainable_variables
    with tf.GradientTape() as tape:
        watched = tf.constant(inputs)
        tape.watch(watched)
        values = layer(watched)
        loss = tf.reduce_sum(tf.sin(values) * draw(*values.shape, seed=7))
    return [each.numpy() for each in tape.gradient(loss, [variable, watched])]


@ORDERED
def test_gradient_is_that_of_automatic_differentiation(ordered: bool) -> None:
    layer, inputs = built(QuadraticLayer(3, ordered), 4), draw(5, 4)
    by_weights, by_inputs = gradients(by_definition, square(layer.w.numpy(), 4), inputs)
    found = layer_gradients(layer, inputs)
    assert_close(found[0], by_weights[:, *np.triu_indices(4)] if ordered else by_weights, 1e-12)
    assert_close(found[1], by_inputs, 1e-12)


def test_a_formula_with_a_term_dropped_is_not() -> None:
    weights, inputs = draw(3, 4, 4), draw(5, 4)
    expected, found = gradients(by_definition, weights, inputs), gradients(one_term_dropped, weights, inputs)
    assert_close(found[0], expected[0], 1e-12)
    with pytest.raises(AssertionError, match="scaled error"):
        assert_close(found[1], expected[1], 1e-2)


@ORDERED
def test_gradient_equals_differences(ordered: bool) -> None:
    layer, inputs, step = built(QuadraticLayer(2, ordered), 3), draw(4, 3), 1e-5
    by_weights, by_inputs = layer_gradients(layer, inputs)
    weights = layer.w.numpy()

    def loss(weights: np.ndarray, inputs: np.ndarray) -> float:
        values = np.einsum("kij,bi,bj->bk", square(weights, 3), inputs, inputs)
        return float(np.sum(np.sin(values) * draw(*values.shape, seed=7)))

    def differences(function: Callable[[np.ndarray], float], point: np.ndarray) -> np.ndarray:
        units = step * np.eye(point.size).reshape(point.size, *point.shape)
        slopes = [function(point + unit) - function(point - unit) for unit in units]
        return np.reshape(slopes, point.shape) / (2 * step)

    assert_close(by_weights, differences(lambda values: loss(values, inputs), weights), 1e-6)
    assert_close(by_inputs, differences(lambda values: loss(weights, values), inputs), 1e-6)


@ORDERED
def test_second_derivatives(ordered: bool) -> None:
    layer = built(QuadraticLayer(1, ordered), 3)
    point = tf.Variable(draw(1, 3))
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            value = layer(point)
        slopes = inner.gradient(value, point)
    hessian = outer.jacobian(slopes, point, experimental_use_pfor=False)[0, :, 0]
    form = square(layer.w.numpy(), 3)[0]
    assert_close(hessian, form + form.T, 1e-12)


def test_tied_weights_have_the_gradient_of_a_gather() -> None:
    values, labels = draw(3), [[0, 1, 1], [2, 1, 0]]

    def gather(distinct: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
        return tf.gather(distinct, labels) * factor

    def tied(distinct: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
        return tie(distinct, labels) * factor

    for found, expected in zip(gradients(tied, values, draw(2, 3)), gradients(gather, values, draw(2, 3)), strict=True):
        assert_close(found, expected, 1e-12)


def order_error(layer: QuadraticLayer, n: int) -> float:
    """The largest departure from equivariance under all orders of n numbers, over the outputs' size."""
    return equivariance_error(layer, draw(6, n), symmetric_group(n), dtype=tf.float64).overall_relative


@ORDERED
def test_weights_shared_along_orbits_are_equivariant(ordered: bool) -> None:
    n = 4
    labels = equivariant_weight_orbits(symmetric_group(n), symmetric_group(n), 2, ordered).orbits.labels
    layer, free = built(QuadraticLayer(n, ordered, labels), n), built(QuadraticLayer(n, ordered), n)
    assert layer.values.shape == labels.max() + 1
    assert order_error(layer, n) < 1e-12
    assert order_error(free, n) > 1e-2
    free.w.assign(layer.weights())
    shared, by_inputs = layer_gradients(layer, draw(5, n))
    each, same = layer_gradients(free, draw(5, n))
    assert_close(shared, np.bincount(labels.ravel(), each.ravel()), 1e-12)
    assert_close(by_inputs, same, 1e-12)


def equivariance_equations(n: int) -> np.ndarray:
    """Writes `W[s(k), s(i), s(j)] + W[s(k), s(j), s(i)] = W[k, i, j] + W[k, j, i]` for neighbours' exchanges s."""
    unit = np.eye(n**3, dtype=int).reshape(n, n, n, n**3)
    sums = unit + unit.swapaxes(1, 2)
    rows = []
    for first in range(n - 1):
        order = np.arange(n)
        order[[first, first + 1]] = first + 1, first
        rows.append((sums[np.ix_(order, order, order)] - sums).reshape(-1, n**3))
    return np.concatenate([np.zeros((1, n**3), int), *rows])


@pytest.mark.parametrize(("n", "functions"), [(1, 1), (2, 3), (3, 4), (4, 4)])
def test_additive_constraints_leave_the_weights_of_equivariant_functions(n: int, functions: int) -> None:
    layer = built(ConstrainedQuadratic(n, equivariance_equations(n), ordered=False), n)
    assert layer.dimension == functions + n**2 * (n - 1) // 2
    assert order_error(layer, n) < 1e-12
    if n > 2:
        weights = layer.weights().numpy()
        assert np.abs(weights - weights.swapaxes(1, 2)).max() > 1e-2  # The sums are constrained, not each weight.


def trained(layer: ConstrainedQuadratic, n: int) -> ConstrainedQuadratic:
    """Trains a layer for a few steps on targets that are not equivariant."""
    inputs, targets, optimizer = tf.constant(draw(20, n)), tf.constant(draw(20, n, seed=1)), snt.optimizers.Adam(0.1)
    start = built(layer, n).coordinates.numpy()
    for _ in range(10):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(inputs) - targets) ** 2)
        optimizer.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)
    assert np.abs(layer.coordinates.numpy() - start).max() > 0.1
    return layer


def test_the_families_of_the_note_with_the_additive_one() -> None:
    n, equations = 3, quadratic_equations(3)
    layer = trained(ConstrainedQuadratic(n, equations.matrix(), ordered=False), n)
    assert layer.dimension == equations.dimension() == 7
    assert order_error(layer, n) < 1e-12
    # The control: the seven families without the additive one.
    equalities = equations.matrix()[: -len(equations.additive)]
    without = trained(ConstrainedQuadratic(n, equalities, ordered=False), n)
    assert without.dimension == len(equations.classes) == 9
    assert order_error(without, n) > 1e-3


@ORDERED
def test_symbolic_constraints_are_those_of_the_layer(ordered: bool) -> None:
    network = PolynomialNetwork([PolynomialLayer(3, 3, degree=2, ordered=ordered)])
    matrix = constraints(network, symmetric_group(3)).matrix()
    layer = trained(ConstrainedQuadratic(3, matrix, ordered=ordered), 3)
    assert layer.dimension == (4 if ordered else 13)
    assert order_error(layer, 3) < 1e-12


def test_constraints_hold_after_training() -> None:
    equations, right = np.array([[1, 1, 0, 0, 0, 0], [0, 2, 0, -3, 0, 1]]), np.array([2, Fraction(1, 3)])
    layer = ConstrainedQuadratic(1, equations, right)
    inputs, targets = tf.constant(draw(20, 3)), tf.constant(draw(20, 1, seed=1))
    optimizer, losses = snt.optimizers.Adam(0.1), []

    def error() -> float:
        return float(np.abs(equations @ layer.weights().numpy().ravel() - right.astype(float)).max())

    for _ in range(100):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(inputs) - targets) ** 2)
        assert error() < 1e-12
        optimizer.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)
        losses.append(float(loss))
    # The least squares under the constraints, by elimination with a heavy weight on the equations.
    table = inputs.numpy()[:, np.triu_indices(3)[0]] * inputs.numpy()[:, np.triu_indices(3)[1]]
    heavy = 1e6
    stacked = np.concatenate([table / 20**0.5, heavy * equations])
    best = np.linalg.lstsq(stacked, np.concatenate([targets.numpy()[:, 0] / 20**0.5, heavy * right.astype(float)]))[0]
    least = np.mean((table @ best - targets.numpy()[:, 0]) ** 2)
    assert losses[-1] < losses[0] and abs(losses[-1] - least) < 0.05 * least


def test_a_step_is_the_projection_of_the_free_one() -> None:
    equations = equivariance_equations(3)
    layer, free = built(ConstrainedQuadratic(3, equations, ordered=False), 3), built(QuadraticLayer(3, False), 3)
    free.w.assign(layer.weights())
    by_coordinates, _ = layer_gradients(layer, draw(5, 3))
    by_weights, _ = layer_gradients(free, draw(5, 3))
    before = layer.weights().numpy()
    layer.coordinates.assign_sub(by_coordinates)
    off = np.linalg.pinv(equations.astype(float)) @ equations @ by_weights.ravel()
    assert_close(before - layer.weights().numpy(), by_weights - off.reshape(3, 3, 3), 1e-10)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: QuadraticLayer(3000),
        lambda: QuadraticLayer(3000, ordered=False),
        lambda: QuadraticLayer(3000, labels=np.tile([0, 0, 1, 2, 3, 0], (3000, 1)) + 4 * np.arange(3000)[:, None]),
    ],
    ids=["ordered", "redundant", "tied"],
)
def test_mean_square_is_one_at_the_start(layer: Callable[[], QuadraticLayer]) -> None:
    outputs = layer()(tf.constant(draw(2000, 3), tf.float32)).numpy()
    assert abs((outputs**2).mean() - 1) < 0.15


def test_mean_square_under_constraints_is_one_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.random, "normal", lambda shape, dtype: tf.ones(shape, dtype))
    layer = built(ConstrainedQuadratic(3, equivariance_equations(3), ordered=False), 3)
    inputs, deviations, total = tf.constant(draw(20_000, 3)), layer.coordinates.numpy(), 0.0
    for unit in np.diag(deviations):
        layer.coordinates.assign(unit)
        total += float(tf.reduce_mean(layer(inputs) ** 2))
    assert abs(total - 1) < 0.05


def test_bad_labels_and_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"output_size \(=0\) must be at least 1"):
        QuadraticLayer(0)
    with pytest.raises(TypeError, match="labels of type float64 must be integers"):
        QuadraticLayer(1, labels=[0.5])
    with pytest.raises(
        ValueError, match="labels of 3 weights must be of 4, for 1 outputs of inputs of width 2, redundant"
    ):
        QuadraticLayer(1, ordered=False, labels=[0, 1, 2])(tf.zeros([1, 2]))
    with pytest.raises(TypeError, match="labels of type float64 must be integers"):
        tie(tf.zeros([2]), [0.0, 1.0])
    with pytest.raises(ValueError, match=r"labels \(=\[0, 2\]\) must be in \[0, 2\)"):
        tie(tf.zeros([2]), [0, 2])
    layer = built(QuadraticLayer(1), 3)
    with pytest.raises(ValueError, match="width 3, as at the first call"):
        layer(tf.zeros([1, 4], tf.float64))


BAD = {
    "shape": ([1, 2, 3], None, ValueError, r"shape \(3,\) must be \[equations, weights\]"),
    "right sides": ([[1, 2, 3]], [1, 2], ValueError, r"right_sides of shape \(2,\) must have shape \(1,\)"),
    "float": ([[1, 0.5, 3]], None, TypeError, "integers or fractions, which are exact, and not"),
    "no solution": ([[1, 0, 0], [2, 0, 0]], [1, 1], ValueError, "must have a solution"),
    "one solution": (np.eye(3, dtype=int), None, ValueError, "leave a weight free"),
}


@pytest.mark.parametrize(("constraints", "right", "error", "message"), BAD.values(), ids=BAD)
def test_bad_constraints_are_refused(constraints: Any, right: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ConstrainedQuadratic(1, constraints, right)


def test_constraints_that_leave_no_function_are_refused() -> None:
    layer = ConstrainedQuadratic(1, [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], ordered=False)
    with pytest.raises(ValueError, match="a function other than 0"):
        layer(tf.zeros([1, 2]))


def test_constraints_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="constraints of 3 weights must be of 6"):
        ConstrainedQuadratic(1, [[1, 1, 0]])(tf.zeros([1, 3]))
