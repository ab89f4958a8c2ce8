"""Tests of polynomial layers: values against explicit monomials, memory, and conversion to polynomials."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy
import tensorflow as tf
from sklearn.preprocessing import PolynomialFeatures

from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import monomials
from weirdonetworks.nets.polynomial import monomial_parts
from weirdonetworks.nets.polynomial.monomial_layout import Layout
from weirdonetworks.nets.polynomial.polynomial_layers import PolynomialLinear, PolynomialMLP, QuadraticMLP

# Variables, degree, outputs: fewer variables than the degree, few outputs and many, several blocks and one.
SIZES = [(1, 3, 2), (5, 1, 3), (7, 2, 1), (40, 2, 3), (9, 2, 20), (6, 3, 2), (12, 3, 50), (5, 4, 3), (3, 4, 1)]
OPTIONS = [(True, False), (False, False), (True, True), (False, True)]


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def built(layer: PolynomialLinear, n: int, dtype: tf.DType = tf.float64) -> PolynomialLinear:
    """Creates the weights, and draws the bias too."""
    layer(tf.zeros([1, n], dtype))
    layer.set_coefficients(draw(*layer.coefficients().shape, seed=1))
    return layer


def expanded(inputs: np.ndarray, degree: int, include_lower: bool = True, interaction_only: bool = False) -> np.ndarray:
    """Writes the monomials out, the constant first, by scikit-learn."""
    lowest = 0 if include_lower else degree
    return PolynomialFeatures((lowest, degree), interaction_only=interaction_only).fit_transform(inputs)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("include_lower", "interaction_only"), OPTIONS)
@pytest.mark.parametrize(("n", "degree", "outputs"), SIZES)
def test_layer_is_the_linear_map_of_all_monomials(
    n: int, degree: int, outputs: int, include_lower: bool, interaction_only: bool
) -> None:
    layer = PolynomialLinear(outputs, degree, include_lower, interaction_only)
    if interaction_only and not include_lower and degree > n:
        with pytest.raises(ValueError, match="no monomial"):
            layer(tf.zeros([1, n]))
        return
    inputs = draw(4, n)
    table = expanded(inputs, degree, include_lower, interaction_only)
    built(layer, n)
    assert layer.coefficients().shape == (table.shape[1], outputs)
    assert sum(weight.shape.num_elements() for weight in layer.variables) == table.shape[1] * outputs
    assert_close(layer(tf.constant(inputs)), table @ layer.coefficients(), 1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 30])
@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("interaction_only", [False, True])
def test_parts_hold_each_monomial_once(n: int, degree: int, interaction_only: bool) -> None:
    rows = [tuple(row) for part in monomial_parts.every(n, degree, interaction_only) for row in part.rows.tolist()]
    choose = itertools.combinations if interaction_only else itertools.combinations_with_replacement
    assert sorted(rows) == list(choose(range(n), degree))


def differences(function: Callable[[np.ndarray], float], point: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Differentiates by central differences."""
    slopes = np.empty(point.size)
    for index in range(point.size):
        moved = np.zeros(point.size)
        moved[index] = step
        moved = moved.reshape(point.shape)
        slopes[index] = (function(point + moved) - function(point - moved)) / (2 * step)
    return slopes.reshape(point.shape)


def check_gradients(layer: PolynomialLinear, n: int) -> None:
    inputs, upstream = draw(3, n), draw(3, layer.output_size, seed=2)

    def loss(values: Any) -> tf.Tensor:
        return tf.reduce_sum(tf.sin(layer(tf.convert_to_tensor(values))) * upstream)

    with tf.GradientTape() as tape:
        watched = tf.constant(inputs)
        tape.watch(watched)
        value = loss(watched)
    by_inputs, *by_weights = tape.gradient(value, [watched, *layer.trainable_variables])
    traced = tf.function(loss, autograph=False)  # There are hundreds of differences.
    assert_close(by_inputs, differences(lambda values: traced(values).numpy(), inputs), 1e-6)
    for weight, gradient in zip(layer.trainable_variables, by_weights, strict=True):
        before = weight.numpy()

        def moved(values: np.ndarray, weight: tf.Variable = weight) -> float:
            weight.assign(values)
            return float(traced(inputs))

        assert_close(gradient, differences(moved, before), 1e-6)
        weight.assign(before)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "degree", "outputs"), [(4, 1, 2), (6, 2, 2), (9, 2, 1), (5, 3, 2), (4, 3, 4), (4, 4, 2)])
def test_gradient_equals_differences(n: int, degree: int, outputs: int) -> None:
    check_gradients(built(PolynomialLinear(outputs, degree), n), n)


def test_gradient_of_chosen_monomials_equals_differences() -> None:
    check_gradients(built(PolynomialLinear(2, 3, monomials=[(0, 0, 0), (0, 2), (1, 1, 3), (3,)]), 4), 4)


def test_second_derivatives_are_those_of_the_polynomial() -> None:
    layer = PolynomialLinear.from_polynomial([sympy.sympify("x0**3*x1 + 2*x1**2 - x0*x2")], 3, tf.float64)
    point = tf.Variable([[1.0, 2.0, 3.0]], dtype=tf.float64)
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            value = layer(point)
        slopes = inner.gradient(value, point)
    hessian = outer.jacobian(slopes, point, experimental_use_pfor=False)[0, :, 0]
    assert_close(hessian, np.array([[12.0, 3.0, -1.0], [3.0, 4.0, 0.0], [-1.0, 0.0, 0.0]]), 1e-12)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("n", "degree", "outputs"), [(200, 2, 10), (30, 3, 4), (16, 4, 4), (30, 3, 200)])
def test_no_tensor_of_a_training_step_is_as_large_as_the_monomials(n: int, degree: int, outputs: int) -> None:
    batch, layer = 64, PolynomialLinear(outputs, degree)
    built(layer, n, tf.float32)
    weights = layer.trainable_variables

    @tf.function(autograph=False)
    def step(inputs: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs) ** 2)
        return tape.gradient(loss, [inputs, *weights])

    graph = step.get_concrete_function(tf.TensorSpec([batch, n])).graph
    operations = [each for each in graph.get_operations() if each.type != "ReadVariableOp"]
    sizes = [each.shape.num_elements() for operation in operations for each in operation.outputs if each.shape.rank]
    largest = max(size for size in sizes if size)
    assert largest < 0.6 * batch * monomials.count(n + 1, degree), largest / batch


def test_coefficients_come_back() -> None:
    layer = PolynomialLinear(3, 3)
    layer(tf.zeros([1, 6]))
    table = draw(math.comb(9, 3), 3).astype(np.float32)
    layer.set_coefficients(table)
    np.testing.assert_array_equal(layer.coefficients(), table)
    with pytest.raises(ValueError, match=r"coefficients of shape \(2, 2\)"):
        layer.set_coefficients([[1, 2], [3, 4]])


def test_monomials_are_in_the_order_of_the_algebra() -> None:
    layer = built(PolynomialLinear(1, 3), 4)
    expected = [tuple(row) for degree in range(4) for row in monomials.monomials(4, degree).tolist()]
    assert layer.monomials() == expected


def test_polynomials_come_back() -> None:
    layer = built(PolynomialLinear(2, 3), 4)
    polynomials = layer.to_polynomial()
    inputs = draw(5, 4)
    symbols = sympy.symbols("x0:4")
    evaluate = sympy.lambdify(symbols, [each.as_expr() for each in polynomials])
    assert_close(layer(tf.constant(inputs)), np.array([evaluate(*row) for row in inputs]), 1e-12)
    before = layer.coefficients()
    layer.set_coefficients(np.zeros_like(before))
    layer.set_polynomial(polynomials)
    np.testing.assert_array_equal(layer.coefficients(), before)
    fresh = PolynomialLinear.from_polynomial(polynomials, 4, tf.float64)
    assert_close(fresh(tf.constant(inputs)), layer(tf.constant(inputs)), 1e-12)


def test_chosen_monomials() -> None:
    chosen = [(2, 0), (1,), (0, 0), (3, 1, 3)]
    inputs = draw(6, 4)
    x = inputs.T
    table = np.stack([np.ones(6), x[1], x[0] ** 2, x[0] * x[2], x[1] * x[3] ** 2], axis=1)
    layer = built(PolynomialLinear(2, 3, monomials=chosen), 4)
    assert layer.monomials() == [(), (1,), (0, 0), (0, 2), (1, 3, 3)]
    assert_close(layer(tf.constant(inputs)), table @ layer.coefficients(), 1e-12)
    exponents = np.array([[1, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 1, 0, 2]])
    same = built(PolynomialLinear(2, 3, monomials=exponents), 4)
    same.set_coefficients(layer.coefficients())
    assert_close(same(tf.constant(inputs)), layer(tf.constant(inputs)), 1e-12)


@pytest.mark.exhaustive
@pytest.mark.parametrize("interaction_only", [False, True])
@pytest.mark.parametrize("include_lower", [False, True])
@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_variance_is_one_at_the_start(degree: int, include_lower: bool, interaction_only: bool) -> None:
    layer = PolynomialLinear(4000, degree, include_lower, interaction_only)
    outputs = layer(tf.constant(draw(400, 8), tf.float32)).numpy()
    assert abs(outputs.mean()) < 0.05
    assert abs((outputs**2).mean() - 1) < 0.2


def test_given_initializer_draws_the_weights_of_each_degree() -> None:
    def ranks(shape: tuple[int, int], dtype: tf.DType) -> tf.Tensor:
        return tf.reshape(tf.range(math.prod(shape), dtype=dtype), shape)

    layer = PolynomialLinear(2, 2, w_init=ranks)  # type: ignore[arg-type]
    layer(tf.zeros([1, 5]))
    packed = layer.coefficients()
    np.testing.assert_array_equal(packed[1:6], np.arange(10).reshape(5, 2))
    np.testing.assert_array_equal(packed[6:], np.arange(30).reshape(15, 2))


def test_gaussian_moments() -> None:
    rows = [[0, 0], [0, 1], [1, 1]]
    np.testing.assert_array_equal(monomial_parts.gaussian_moments(rows), [1, 0, 1])
    np.testing.assert_array_equal(monomial_parts.gaussian_moments([[0] * 6, [0, 1] * 3]), [15, 0])
    np.testing.assert_array_equal(monomial_parts.gaussian_moments(np.empty((2, 0), int)), [1, 1])


def test_networks_are_the_layer_and_dense_ones() -> None:
    network = PolynomialMLP([4, 3, 2], 3, activation=tf.tanh)
    inputs = tf.constant(draw(5, 2, 3, 1))
    first, second = network.layers
    outputs = network(inputs)
    flat = tf.reshape(inputs, [5, 6])
    assert_close(outputs, second(tf.tanh(first(tf.tanh(network.polynomial(flat))))), 1e-12)
    assert QuadraticMLP([4, 2]).polynomial.degree == 2


BAD = {
    "degree 0": ({"degree": 0}, r"degree \(=0\) must be at least 1"),
    "no outputs": ({"output_size": 0}, r"output_size \(=0\) must be at least 1"),
    "no monomials": ({"monomials": []}, "at least one"),
    "constant": ({"monomials": [()]}, r"degree \(=0\) of \(\) must be in \[1, 2\]"),
    "high degree": ({"monomials": [(0, 0, 1)]}, r"degree \(=3\) of \(0, 0, 1\) must be in \[1, 2\]"),
    "low degree": ({"monomials": [(0,)], "include_lower": False}, r"must be in \[2, 2\]"),
    "square": ({"monomials": [(1, 1)], "interaction_only": True}, "no square"),
    "twice": ({"monomials": [(0, 1), (1, 0)]}, r"\(0, 1\) occurs twice"),
    "negative exponent": ({"monomials": np.array([[-1, 2]])}, "exponents >= 0"),
    "floats": ({"monomials": np.array([[0.5, 2]])}, "integer exponents"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PolynomialLinear(**{"output_size": 1, "degree": 2, **options})


@pytest.mark.parametrize("chosen", [[(1.7, 1.2), (0.0,)], [3, 4], ["ab"], [(0,), None], 3, [np.array([0.0, 1.0])]])
def test_monomials_that_are_no_integers_are_refused(chosen: Any) -> None:
    with pytest.raises(TypeError, match=r"monomials must be tuples of integers such as \(0, 0, 2\)") as caught:
        PolynomialLinear(1, 2, monomials=chosen)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("index", [int, np.int64, np.uint8])
def test_integers_of_every_kind_are_indices(index: Any) -> None:
    layer = PolynomialLinear(1, 2, monomials=[(index(2), index(0)), [index(1)]], with_bias=False)
    layer(tf.zeros([1, 3]))
    assert layer.monomials() == [(1,), (0, 2)]


@pytest.mark.parametrize("chosen", [[(0, 4)], [(-1, 2)], np.eye(5, dtype=int)], ids=["index", "negative", "table"])
def test_monomials_in_other_variables_are_refused(chosen: Any) -> None:
    layer = PolynomialLinear(1, 2, monomials=chosen)
    with pytest.raises(ValueError, match="width 4"):
        layer(tf.zeros([1, 4]))


@pytest.mark.parametrize("interaction_only", [False, True])
@pytest.mark.parametrize("lowest", [1, 2, 4])
@pytest.mark.parametrize("n", [1, 3, 5])
def test_monomials_are_counted_as_they_are_listed(n: int, lowest: int, interaction_only: bool) -> None:
    layout = Layout(range(lowest, 5), interaction_only)
    number = layout.count(n)
    if number:
        layout.cut(n)
        assert number == sum(map(layout.size, layout.parts))
    else:
        assert interaction_only and n < lowest


@pytest.mark.parametrize(
    ("outputs", "degree", "options", "count"),
    [
        (1, 4, {}, "gives 15943435564 monomials in 784 variables"),
        (1, 6, {"interaction_only": True}, "gives 318851718533740 monomials in"),
        (1, 12, {"include_lower": False}, "gives about 1.22e26 monomials in"),
        (100, 3, {}, "with 32372457600 bytes of weights, and must give at most"),
    ],
)
def test_more_monomials_than_fit_in_memory_are_refused_at_once(
    outputs: int, degree: int, options: dict[str, Any], count: str
) -> None:
    layer = PolynomialLinear(outputs, degree, **options)
    with pytest.raises(ValueError, match=count) as caught:
        layer(tf.zeros([1, 784]))
    assert "Take a lower degree, chosen monomials, or smaller inputs." in str(caught.value)
    if not layer.interaction_only:  # The refused call has left no trace.
        assert layer(tf.zeros([1, 2])).shape == (1, outputs)


def test_inputs_need_not_be_tensors() -> None:
    inputs = np.random.default_rng(0).normal(size=(2, 2, 2, 1)).astype(np.float32)
    network = PolynomialMLP([3, 2], 2)
    expected = network(tf.constant(inputs))
    np.testing.assert_array_equal(network(inputs), expected)
    np.testing.assert_array_equal(network(inputs.tolist()), expected)


def test_bad_use_is_refused() -> None:
    layer = PolynomialLinear(1, 2)
    with pytest.raises(ValueError, match="called once"):
        layer.coefficients()
    layer(tf.zeros([1, 4]))
    with pytest.raises(ValueError, match=r"shape \(1, 5\) must have width 4"):
        layer(tf.zeros([1, 5]))
    with pytest.raises(ValueError, match="floating point"):
        layer(tf.zeros([1, 4], tf.int32))
    with pytest.raises(ValueError, match=r"variables x0, \.\.\., x3"):
        layer.set_polynomial([sympy.Symbol("x4")])
    with pytest.raises(ValueError, match=r"\(0, 0, 0\) is not one"):
        layer.set_polynomial([sympy.Symbol("x0") ** 3])
    with pytest.raises(ValueError, match="as many as outputs"):
        layer.set_polynomial([])
    with pytest.raises(ValueError, match="not constant"):
        PolynomialLinear.from_polynomial([sympy.Integer(3)], 2)
    with pytest.raises(ValueError, match="output_sizes must hold"):
        PolynomialMLP([], 2)
    with pytest.raises(TypeError, match=r"output_sizes \(=8\) must be a list of integers"):
        PolynomialMLP(8, 2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"output_sizes \(=1.5\) must be an integer"):
        PolynomialMLP([1.5], 2)  # type: ignore[list-item]
