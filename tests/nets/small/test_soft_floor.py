"""Tests of the soft floor: values and gradients against fifty-digit arithmetic, at every factor, in both types."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.nets.small.soft_floor import SoftFloor, softfloor

FACTORS = [1e-12, 1e-9, 1e-6, 1e-3, 0.03, 0.3, 1.0, 1.16, 1.17, 3.0, 30.0, 1e3, 1e6]
# Integers, half-integers and their neighbours, and what lies between.
PLACES = [-0.5, -0.4999, -0.45, -0.3, -0.1, -1e-3, -1e-6, 0.0, 1e-6, 1e-3, 0.1, 0.25, 0.3, 0.45, 0.4999, 0.5]
TYPES = [("float32", 4e-6), ("float64", 2e-14)]
Values = dict[str, np.ndarray]


def points(dtype: str) -> np.ndarray:
    return np.array([n + place for n in (-3, 0, 1, 7) for place in PLACES], dtype)


def exact(x: np.ndarray, factor: float) -> Values:
    """The function and its derivatives by x and by the factor, from the definition, in fifty digits."""
    found: dict[str, list[float]] = {"value": [], "by_x": [], "by_factor": []}
    with mpmath.workdps(50):
        f = mpmath.mpf(float(factor))
        a, width = mpmath.log(1 + 2 / f), 1 + f
        for each in x.tolist():
            n = mpmath.floor(mpmath.mpf(each) + 0.5)
            r = each - n
            bend = mpmath.sech(a * r) ** 2
            found["value"].append(float(n - 0.5 + width / 2 * mpmath.tanh(a * r)))
            found["by_x"].append(float(width * a / 2 * bend))
            found["by_factor"].append(float(mpmath.tanh(a * r) / 2 - width * r * bend / (f * (f + 2))))
    return {name: np.array(values) for name, values in found.items()}


def computed(function: Callable[..., tf.Tensor], x: np.ndarray, factor: float) -> Values:
    """The same by a TensorFlow function, its derivatives by differentiation."""
    inputs, factors = tf.constant(x), tf.constant(np.full(x.shape, factor, x.dtype))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([inputs, factors])
        outputs = function(inputs, factors)
    by_x, by_factor = tape.gradient(outputs, inputs), tape.gradient(outputs, factors)
    return {"value": outputs.numpy(), "by_x": by_x.numpy(), "by_factor": by_factor.numpy()}


def worst(function: Callable[..., tf.Tensor], dtype: str) -> dict[str, float]:
    """The largest errors over all points and factors.

    That of the value is over its size or 1, whichever is larger; those of the slopes are relative, point by point. The
    slope by the factor is 0 at integers and half-integers.
    """
    errors = {"value": 0.0, "by_x": 0.0, "by_factor": 0.0}
    x = points(dtype)
    for factor in FACTORS:
        found, expected = computed(function, x, factor), exact(x, np.dtype(dtype).type(factor))
        sizes = {
            "value": np.maximum(np.abs(expected["value"]), 1),
            "by_x": expected["by_x"],
            "by_factor": np.maximum(np.abs(expected["by_factor"]), 1e-36),
        }
        for name, values in found.items():
            error = np.abs(values - expected[name]) / sizes[name]
            errors[name] = max(errors[name], float(error.max()) if np.isfinite(error).all() else np.inf)
    return errors


def plain(x: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """The definition as it stands, differentiated by TensorFlow."""
    n = tf.floor(x + 0.5)
    return n - 0.5 + (1 + factor) / 2 * tf.tanh(tf.math.log(1 + 2 / factor) * (x - n))


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
def test_value_and_slopes_equal_those_of_fifty_digits(dtype: str, tolerance: float) -> None:
    for name, error in worst(softfloor, dtype).items():
        assert error < tolerance, f"the error of {name} is {error:.3g}"


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
def test_the_plain_formula_is_not_stable(dtype: str, tolerance: float) -> None:
    errors = worst(plain, dtype)
    assert all(error > 100 * tolerance for error in errors.values()), errors


@pytest.mark.parametrize("factor", FACTORS)
def test_half_integers_and_integers_are_where_they_are_said_to_be(factor: float) -> None:
    n = np.arange(-4.0, 5.0)
    assert_close(softfloor(tf.constant(n + 0.5), factor), n, 1e-15)
    assert_close(softfloor(tf.constant(n), factor), n - 0.5, 1e-15)


@pytest.mark.exhaustive
@pytest.mark.parametrize("factor", FACTORS)
def test_function_and_slope_are_continuous_at_half_integers(factor: float) -> None:
    centre = np.arange(-4.0, 5.0) + 0.5
    below, above = (computed(softfloor, np.nextafter(centre, end), factor) for end in (-np.inf, np.inf))
    assert np.abs(below["value"] - above["value"]).max() < 4e-15
    assert_close(below["by_x"], above["by_x"], 1e-12)


@pytest.mark.parametrize("factor", FACTORS)
def test_function_rises_and_steps_by_one(factor: float) -> None:
    x = np.linspace(-2, 2, 4001)
    values = softfloor(tf.constant(x), factor).numpy()
    assert np.diff(values).min() >= -1e-15
    assert_close(softfloor(tf.constant(x + 1), factor), values + 1, 1e-11 if factor < 1e-3 else 1e-13)


def test_function_tends_to_the_floor_and_to_a_line() -> None:
    x = np.setdiff1d(np.linspace(-3, 3, 61).round(9), np.arange(-3, 4))
    apart = [np.abs(softfloor(tf.constant(x), 10.0**-k).numpy() - np.floor(x)).max() for k in (2, 6, 12, 300)]
    assert apart == sorted(apart, reverse=True) and apart[0] > 0.1 and apart[-1] < 1e-15
    off = [np.abs(softfloor(tf.constant(x), 10.0**k).numpy() - (x - 0.5)).max() for k in (0, 2, 4, 6)]
    assert off == sorted(off, reverse=True) and off[0] > 0.01 and off[-1] < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_overflows(dtype: str) -> None:
    generator = np.random.default_rng(0)
    x = np.concatenate([points(dtype), generator.normal(size=50) * 1e3, [0.0, 1e9, -1e9, 2.0**23 + 1]]).astype(dtype)
    for factor in (0.0, 1e-45, 1e-38, 1e-30, *FACTORS, 1e12, 1e30):
        for name, values in computed(softfloor, x, factor).items():
            assert np.isfinite(values).all(), (name, factor)


@pytest.mark.slow
def test_second_derivatives_equal_differences_of_the_first() -> None:
    for factor in (1e-2, 0.5, 3.0, 40.0):
        with tf.GradientTape(persistent=True) as outer:
            x, f = tf.constant([0.3, 0.9, 1.7, 2.2], tf.float64), tf.fill([4], tf.constant(factor, tf.float64))
            outer.watch([x, f])
            with tf.GradientTape(persistent=True) as inner:
                inner.watch([x, f])
                y = softfloor(x, f)
            by_x, by_factor = inner.gradient(y, x), inner.gradient(y, f)
        step = 1e-5
        up, down = (computed(softfloor, x.numpy() + sign * step, factor) for sign in (1, -1))
        assert_close(outer.gradient(by_x, x), (up["by_x"] - down["by_x"]) / (2 * step), 1e-6)
        assert_close(outer.gradient(by_factor, x), (up["by_factor"] - down["by_factor"]) / (2 * step), 1e-6)
        up, down = (computed(softfloor, x.numpy(), factor * (1 + sign * step)) for sign in (1, -1))
        assert_close(outer.gradient(by_factor, f), (up["by_factor"] - down["by_factor"]) / (2 * step * factor), 1e-6)


@pytest.mark.exhaustive
@pytest.mark.parametrize("shape", [(), (1,), (5,), (4, 1), (3, 4, 5), (1, 1, 1, 1)])
@pytest.mark.parametrize("is_graph", [False, True])
def test_gradients_have_the_shapes_of_what_is_broadcast(shape: tuple[int, ...], is_graph: bool) -> None:
    generator = np.random.default_rng(1)
    x, factor = generator.normal(size=(4, 5)), generator.uniform(0.1, 2, shape)

    def gradients(x: tf.Tensor, factor: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([x, factor])
            loss = tf.reduce_sum(tf.square(softfloor(x, factor)))
        return tape.gradient(loss, [x, factor])

    unknown = [tf.TensorSpec([None] * len(each), tf.float64) for each in ((4, 5), shape)]
    found = (tf.function(gradients, input_signature=unknown) if is_graph else gradients)(
        tf.constant(x), tf.constant(factor)
    )
    whole = computed(softfloor, *np.broadcast_arrays(x, factor))
    for name, gradient, like in (("by_x", found[0], x), ("by_factor", found[1], factor)):
        slopes = 2 * whole["value"] * whole[name]
        slopes = slopes.sum(axis=tuple(range(slopes.ndim - like.ndim)))
        axes = tuple(axis for axis, size in enumerate(like.shape) if size == 1)
        assert_close(gradient, slopes.sum(axis=axes, keepdims=True), 1e-12)


@pytest.mark.parametrize("start", [1e-12, 1.0, 1e6])
def test_learned_factor_stays_positive(start: float) -> None:
    activation = SoftFloor(factor=start)
    inputs = tf.constant([[0.2, 0.7], [1.1, 2.9]])
    activation(inputs)
    assert float(activation.factor) == pytest.approx(start, rel=1e-5)
    for upstream in (100.0, -100.0):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(upstream * activation(inputs) * inputs)
        (gradient,) = tape.gradient(loss, activation.trainable_variables)
        activation.log_factor.assign_sub(gradient)
        assert np.isfinite(float(gradient)) and 0 < float(activation.factor) < np.inf


def test_learned_factor_finds_the_one_that_made_the_targets() -> None:
    inputs = tf.constant(np.linspace(0, 2, 101))
    targets, activation = softfloor(inputs, 0.05), SoftFloor()
    activation(inputs)

    @tf.function(autograph=False)
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(activation(inputs) - targets))
        (gradient,) = tape.gradient(loss, activation.trainable_variables)
        activation.log_factor.assign_sub(20.0 * gradient)

    for _ in range(300):
        step()
    assert float(activation.factor) == pytest.approx(0.05, rel=1e-3)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="x of type int32 must be floating point"):
        softfloor(tf.constant([1]), 0.5)
    for factor in (0, 0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"factor \(=.*\) must be above 0 and finite"):
            SoftFloor(factor)
        with pytest.raises(ValueError, match=r"factor \(=.*\) must be above 0 and finite"):
            softfloor(tf.constant([0.5]), factor)


@pytest.mark.parametrize("factor", [np.float32(-1), np.float16(0), np.int64(-2), 1e39, np.float64(1e39), 1e-60])
def test_a_number_is_checked_in_the_type_of_the_input(factor: float) -> None:
    x = tf.constant([0.3, 0.5])
    with pytest.raises(ValueError, match=r"factor \(=.*\) must be above 0 and finite in float32\.$"):
        softfloor(x, factor)
    if factor > 0:
        assert np.isfinite(softfloor(tf.cast(x, tf.float64), factor)).all()
        with pytest.raises(ValueError, match=r"factor \(=.*\) must be above 0 and finite in float32\.$"):
            SoftFloor(factor)(x)


def test_types_that_numpy_lacks_are_refused() -> None:
    x = tf.constant([0.5], tf.bfloat16)
    for function in (SoftFloor(), lambda values: softfloor(values, 0.5)):
        with pytest.raises(ValueError, match=r"x of type bfloat16 must be .* float16, float32 or float64"):
            function(x)
