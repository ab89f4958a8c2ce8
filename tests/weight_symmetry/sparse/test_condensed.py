"""The condensed layer: the dense one of the masked weight, forward and backward, and its refusals."""

import functools
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from weight_symmetry.masks import create
from weight_symmetry.sparse.condensed import CondensedLinear


def draw(kind: str, size: int, units: int, seed: int = 0) -> npt.NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    if kind == "constant fan-in":
        return create("per-neuron", [(size, units)], 0.7, seed)[0]
    mask = rng.random((size, units)) < 0.3
    if kind == "empty":
        mask[:, 0] = mask[0] = False
    return np.ones_like(mask) if kind == "full" else np.zeros_like(mask) if kind == "nothing" else mask


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.tuples(*[st.integers(1, 70)] * 3),
    st.floats(0, 1),
    st.integers(0, 2**16),
    st.sampled_from(["float32", "float64"]),
)
def test_any_shape_and_density_is_that_in_float64(
    sizes: tuple[int, int, int], density: float, seed: int, dtype: str
) -> None:
    size, units, batch = sizes
    rng = np.random.default_rng(seed)
    mask, weight = rng.random((size, units)) < density, rng.normal(size=(size, units))
    inputs, factors = rng.normal(size=(batch, size)), rng.normal(size=(batch, units))
    layer = CondensedLinear.from_masked(tf.constant(weight, dtype), mask)
    x = tf.constant(inputs, dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x)
        loss = tf.reduce_sum(outputs * tf.constant(factors, dtype))
    by_inputs, by_weights = tape.gradient(loss, [x, layer.w], unconnected_gradients="zero")
    masked = np.where(mask, weight, 0.0)
    pairs = [(inputs @ masked, outputs), (factors @ masked.T, by_inputs)]
    pairs.append(((inputs.T @ factors).T[mask.T], np.ravel(by_weights)))
    for expected, found in pairs:
        scale = max(1.0, np.abs(expected).max(initial=0)) * np.finfo(dtype).eps
        np.testing.assert_allclose(found, expected, rtol=0, atol=64 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("by_kernels", [True, False])
@pytest.mark.parametrize(
    ("kind", "size", "units", "batch"),
    [
        ("constant fan-in", 40, 25, 2),
        ("constant fan-in", 40, 25, 50),
        ("random", 40, 25, 16),
        ("random", 41, 25, 1),
        ("random", 3, 2, 7),
        ("empty", 20, 40, 2),
        ("empty", 20, 40, 200),
        ("nothing", 5, 3, 6),
        ("full", 17, 1, 50),
    ],
)
def test_outputs_and_gradients_are_those_in_float64(
    kind: str, size: int, units: int, batch: int, by_kernels: bool
) -> None:
    rng = np.random.default_rng(1)
    mask, weight, bias = draw(kind, size, units), rng.normal(size=(size, units)), rng.normal(size=units)
    inputs, factors = rng.normal(size=(batch, size)), rng.normal(size=(batch, units))
    layer = CondensedLinear.from_masked(weight, mask, bias, kernels=by_kernels)
    assert layer.w.shape.rank == (2 if kind in ("constant fan-in", "full") else 1), layer.w.shape
    x = tf.constant(inputs, tf.float32)

    @tf.function
    def differentiated(x: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x)
            loss = tf.reduce_sum(outputs * tf.constant(factors, tf.float32))
        return outputs, tape.gradient(loss, [x, layer.w, layer.b], unconnected_gradients="zero")

    outputs, (by_inputs, by_weights, by_bias) = differentiated(x)
    masked = np.where(mask, weight, 0.0)
    pairs = [
        (inputs @ masked + bias, outputs),
        (factors @ masked.T, by_inputs),
        ((inputs.T @ factors).T[mask.T], np.ravel(by_weights)),
        (factors.sum(axis=0), by_bias),
    ]
    for expected, found in pairs:
        np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6 * max(1.0, np.abs(expected).max(initial=0)))
    # Of another mask of as many weights the outputs are told apart.
    if kind == "random":
        assert not np.allclose(inputs @ np.where(mask[::-1], weight, 0.0) + bias, outputs, atol=1e-3)
    np.testing.assert_array_equal(layer.dense(), masked.astype(np.float32))
    again = CondensedLinear.from_masked(layer.dense(), layer.mask, layer.b)
    np.testing.assert_array_equal(again.w, layer.w)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["constant fan-in", "random"])
def test_xla_computes_by_gathers_what_kernels_compute(kind: str) -> None:
    rng = np.random.default_rng(2)
    layer = CondensedLinear.from_masked(rng.normal(size=(12, 9)), draw(kind, 12, 9), rng.normal(size=9))
    x = tf.random.stateless_normal([4, 3, 12], [1, 2])

    def differentiated(x: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x)
            loss = tf.reduce_sum(outputs**2)
        return outputs, *tape.gradient(loss, [x, layer.w, layer.b])

    found, expected = tf.function(differentiated, jit_compile=True)(x), differentiated(x)
    np.testing.assert_allclose(expected[0], x @ layer.dense() + layer.b, atol=1e-5)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())


@pytest.mark.slow
def test_other_types_are_gathered() -> None:
    mask, x = draw("random", 12, 9), tf.random.stateless_normal([4, 12], [1, 2], dtype=tf.float64)
    layer = CondensedLinear(mask)
    assert layer(x).dtype == tf.float64
    np.testing.assert_allclose(layer(x), x @ layer.dense(), atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("in_graph", [True, False])
@pytest.mark.parametrize("kind", ["constant fan-in", "random"])
def test_a_penalty_of_gradients_trains_by_kernels_as_by_gathers(kind: str, in_graph: bool) -> None:
    rng = np.random.default_rng(3)
    mask, weight, bias, inputs = (
        draw(kind, 12, 9),
        rng.normal(size=(12, 9)),
        rng.normal(size=9),
        rng.normal(size=(5, 12)),
    )

    def penalised(layer: CondensedLinear, x: tf.Tensor) -> Any:
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(tf.tanh(layer(x)) ** 2)
            penalty = tf.add_n([tf.reduce_sum(each**2) for each in inner.gradient(loss, [x, layer.w, layer.b])])
        return outer.gradient(penalty, [x, layer.w, layer.b])

    exact = penalised(CondensedLinear.from_masked(tf.constant(weight), mask, bias), tf.constant(inputs))
    layer = CondensedLinear.from_masked(weight, mask, bias, kernels=True)
    call = tf.function(penalised) if in_graph else penalised
    found = call(layer, tf.constant(inputs, tf.float32))
    for one, other in zip(found, exact, strict=True):
        assert np.abs(other).max() > 0.1
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "way"),
    [("constant fan-in", "eager"), ("random", "of a function"), ("constant fan-in", "in a function")],
)
def test_forward_mode_derivatives_are_those_in_float64(kind: str, way: str) -> None:
    rng = np.random.default_rng(4)
    mask, weight, bias = draw(kind, 12, 9), rng.normal(size=(12, 9)), rng.normal(size=9)
    inputs, tangent = rng.normal(size=(2, 5, 12))

    def forward(layer: CondensedLinear, function: Any, watches_layer: bool) -> Any:
        x, by, factor = (tf.constant(each, layer.w.dtype) for each in (inputs, tangent, 2.0))
        primals, tangents = ([x, layer.w], [by, tf.cos(layer.w)]) if watches_layer else ([factor], [factor])
        with tf.autodiff.ForwardAccumulator(primals, tangents) as watching:
            outputs = function(x, factor)
        return watching.jvp(outputs)

    def reverse(layer: CondensedLinear, x: tf.Tensor, factor: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(factor * tf.tanh(layer(x)) ** 2)
        return tape.gradient(loss, [x, layer.w])

    exact = CondensedLinear.from_masked(tf.constant(weight), mask, bias)
    layer = CondensedLinear.from_masked(weight, mask, bias, kernels=True)
    cases: list[tuple[Any, bool]] = [(lambda layer, x, factor: layer(x), True), (reverse, True), (reverse, False)]
    for call, watches_layer in cases[: 2 if way == "of a function" else 3]:  # That is slow to trace.
        expected = tf.nest.flatten(forward(exact, functools.partial(call, exact), watches_layer))
        function = functools.partial(call, layer)
        if way == "in a function":
            found = tf.function(forward)(layer, function, watches_layer)
        else:
            found = forward(layer, tf.function(function) if way == "of a function" else function, watches_layer)
        for one, other in zip(tf.nest.flatten(found), expected, strict=True):
            assert np.abs(other).max() > 0.1
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())


@pytest.mark.slow
def test_derivatives_of_each_output_are_the_weights() -> None:
    layer, x = CondensedLinear(draw("random", 12, 9)), tf.ones([2, 12])
    layer(x)

    @tf.function
    def jacobian(x: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x)
        return tape.batch_jacobian(outputs, x)

    for found in jacobian(x).numpy():
        np.testing.assert_array_equal(found, layer.dense().T)


@pytest.mark.slow
def test_a_batch_of_unknown_size_and_weights_drawn_by_the_number_of_inputs() -> None:
    mask = np.zeros((500, 200), bool)
    mask[:4, :100] = mask[:, 100:] = True
    layer = CondensedLinear(mask, with_bias=False)
    function = tf.function(layer, input_signature=[tf.TensorSpec([None, 500])])
    assert function(tf.ones([3, 500])).shape == (3, 200) and layer.b is None
    dense = layer.dense()
    assert np.std(dense[:4, :100]) == pytest.approx(0.88 / 2, rel=0.15)
    assert np.std(dense[:, 100:]) == pytest.approx(0.88 / 500**0.5, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "compressed rows"])
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_summed_in_float32(kind: str, dtype: tf.DType) -> None:
    mask = np.ones((4096, 2), bool)
    mask[2048:, 1] = kind == "full"
    layer = CondensedLinear.from_masked(np.ones((4096, 2)), mask)
    outputs = layer(tf.ones([1, 4096], dtype) / 64)
    assert outputs.dtype == dtype and outputs.numpy().tolist() == [(mask.sum(axis=0) / 64).tolist()]


@pytest.mark.slow
def test_threads_compute_the_same_bits_as_one() -> None:
    layers = [CondensedLinear.from_masked(np.ones((size, 9)), draw("random", size, 9)) for size in (30, 70)]
    batches = [tf.random.stateless_normal([40, len(layer.mask)], [1, 2]) for layer in layers]

    def compute(place: int) -> list[Any]:
        with tf.GradientTape() as tape:
            outputs = layers[place](batches[place])
        return [outputs.numpy(), tape.gradient(outputs, layers[place].w, outputs).numpy()]

    expected = [compute(place) for place in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for place, found in enumerate(pool.map(compute, [0, 1] * 20)):
            for one, other in zip(expected[place % 2], found, strict=True):
                np.testing.assert_array_equal(one, other)
    assert expected[0][0].shape == expected[1][0].shape and (expected[0][0] != expected[1][0]).any()


@pytest.mark.slow
def test_an_empty_batch_has_gradients_of_zero() -> None:
    layer, inputs = CondensedLinear(draw("random", 20, 6)), tf.zeros([0, 20])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(inputs))
    by_inputs, by_weights = tape.gradient(loss, [inputs, layer.w])
    assert by_inputs.shape == (0, 20) and not by_weights.numpy().any()


def test_weights_of_integers_are_those_of_floats() -> None:
    layer = CondensedLinear.from_masked(tf.constant([[1], [2]]), [[1], [1]], kernels=False)
    assert layer.w.dtype == tf.float32 and layer(tf.constant([[0.5, 0.25]])).numpy().tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CondensedLinear(np.ones(3)), "mask (shape (3,)) must be shaped [..., in, out], with no size zero"),
        (lambda: CondensedLinear(np.ones((2, 1, 3))), "mask (of shape (2, 1, 3)) must be [inputs, units]"),
        (lambda: CondensedLinear(np.array([[2, 0]])), "mask"),
        (
            lambda: CondensedLinear.from_masked(np.ones((2, 2)), np.ones((2, 3))),
            "weight (of shape (2, 2)) must have the shape of mask, (2, 3)",
        ),
        (
            lambda: CondensedLinear.from_masked(np.ones((2, 3)), np.ones((2, 3)), np.ones(2)),
            "bias (of shape (2,)) must have a number for each of 3 units",
        ),
        (
            lambda: CondensedLinear(np.ones((2, 3)))(tf.ones([4, 3])),
            "inputs (of shape (4, 3)) must be [..., 2], as the mask has inputs",
        ),
        (lambda: CondensedLinear(np.ones((2, 3)))([[1, 2]]), "inputs of type int32 must be floating point"),
        (lambda: CondensedLinear("abc"), "mask (='abc') must be an array of zeros and ones, of one shape"),
        (lambda: CondensedLinear(None), "mask (=None) must be an array of zeros and ones, of one shape"),
        (lambda: CondensedLinear([[1, 0], [1]]), "mask (=[[1, 0], [1]]) must be an array of zeros and ones, of one"),
        (lambda: CondensedLinear(np.ones((2, 3)), kernels="no"), "kernels (='no') must be True, False, or None"),
        (lambda: CondensedLinear(np.ones((2, 3)), w_init="x"), "w_init (='x') must be an initializer"),
        (lambda: CondensedLinear(np.ones((2, 3)), b_init="x"), "b_init (='x') must be an initializer"),
        (
            lambda: CondensedLinear.from_masked([[1j]], [[1]]),
            "weight (=[[1j]]) must be an array of real numbers",
        ),
        (
            lambda: CondensedLinear.from_masked([["a"]], [[1]]),
            "weight (=[['a']]) must be an array of real numbers",
        ),
        (
            lambda: CondensedLinear.from_masked([[1.0]], [[1]], ["a"]),
            "bias (=['a']) must be an array of real numbers",
        ),
    ],
)
def test_other_arguments_are_refused(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)) as refused:
        make()
    assert "\n" not in str(refused.value)
