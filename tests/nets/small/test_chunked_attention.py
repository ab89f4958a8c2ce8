"""Tests of chunked attention: equal to attention with the whole map, with less memory."""

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from weirdonetworks.nets.small.chunked_attention import attend, attention_map

HEIGHT, WIDTH = 6, 5
SHAPE = (2, 3, HEIGHT, WIDTH, 4)
WINDOWS = [None, 0, 1, 2, 4, 9]


def drawn(count: int = 4, shape: tuple[int, ...] = SHAPE) -> list[tf.Tensor]:
    rng = np.random.default_rng(0)
    return [tf.constant(rng.normal(size=shape)) for _ in range(count)]


def near(window: int | None) -> np.ndarray:
    """Which pixels see each other."""
    if window is None:
        return np.ones((HEIGHT * WIDTH, HEIGHT * WIDTH), bool)
    places = np.stack(np.divmod(np.arange(HEIGHT * WIDTH), WIDTH))
    return np.abs(places[:, :, None] - places[:, None]).max(axis=0) <= window


def whole_map(queries: tf.Tensor, keys: tf.Tensor, window: int | None) -> tf.Tensor:
    flat = [tf.reshape(each, [2, 3, HEIGHT * WIDTH, 4]) for each in (queries, keys)]
    logits = tf.matmul(flat[0], flat[1], transpose_b=True) / 2
    exponentials = tf.exp(logits) * near(window)
    return exponentials / tf.reduce_sum(exponentials, axis=-1, keepdims=True)


def whole(queries: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, window: int | None) -> tf.Tensor:
    attended = tf.matmul(whole_map(queries, keys, window), tf.reshape(values, [2, 3, HEIGHT * WIDTH, 4]))
    return tf.reshape(attended, SHAPE)


def results(function: Any, **options: Any) -> list[tf.Tensor]:
    """What attention gives, and its gradients by queries, keys and values."""
    *inputs, upstream = drawn()
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = function(*inputs, **options)
    return [outputs, *tape.gradient(outputs, inputs, upstream)]


def error(found: list[tf.Tensor], expected: list[tf.Tensor]) -> float:
    size = max(np.abs(each).max() for each in expected)
    return max(np.abs(one - other).max() for one, other in zip(found, expected, strict=True)) / size


@pytest.mark.exhaustive
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("window", WINDOWS)
def test_chunks_and_their_gradients_are_those_of_the_whole(window: int | None, rows: int) -> None:
    assert error(results(attend, window=window, rows=rows), results(whole, window=window)) < 1e-12


@pytest.mark.parametrize(("window", "other"), [(None, 3), (0, 1), (1, 2), (4, 3)])
def test_another_window_is_another_attention(window: int | None, other: int | None) -> None:
    assert error(results(attend, window=window), results(whole, window=other)) > 1e-3


def test_a_window_of_0_sees_itself_alone() -> None:
    queries, keys, values, _ = drawn()
    np.testing.assert_allclose(attend(queries, keys, values, window=0), values, rtol=1e-12)


@pytest.mark.parametrize("window", WINDOWS)
def test_the_map_of_a_pixel_is_its_row_of_the_whole(window: int | None) -> None:
    queries, keys, *_ = drawn()
    maps = tf.reshape(whole_map(queries, keys, window), [2, 3, HEIGHT, WIDTH, HEIGHT, WIDTH])
    for pixel in ((0, 0), (3, 4), (5, 1)):
        found = attention_map(queries, keys, pixel, window)
        np.testing.assert_allclose(found, maps[:, :, pixel[0], pixel[1]], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(tf.reduce_sum(found, axis=(2, 3)), 1, rtol=1e-12)


def test_large_logits_stay_finite() -> None:
    queries, keys, values, upstream = (tf.cast(1000 * each, tf.float32) for each in drawn())
    with tf.GradientTape() as tape:
        tape.watch(queries)
        outputs = attend(queries, keys, values, window=1)
    gradient = tape.gradient(outputs, queries, upstream)
    assert np.isfinite(outputs).all() and np.isfinite(gradient).all()


def largest(function: Any, **options: Any) -> int:
    """The most numbers of a tensor in the graph of `results`, loops and all."""
    traced = tf.function(lambda: results(function, **options), autograph=False).get_concrete_function()
    definition = traced.graph.as_graph_def(add_shapes=True)
    nodes = [*definition.node, *(node for each in definition.library.function for node in each.node_def)]
    shapes = [shape for node in nodes for shape in node.attr["_output_shapes"].list.shape]
    return max(math.prod(size.size for size in shape.dim) for shape in shapes)


@pytest.mark.parametrize(("window", "seen_rows"), [(None, HEIGHT), (1, 4)])
def test_no_tensor_is_a_whole_map(window: int | None, seen_rows: int) -> None:
    assert largest(whole, window=window) == 2 * 3 * (HEIGHT * WIDTH) ** 2
    assert largest(attend, window=window, rows=2) == 2 * 3 * (2 * WIDTH) * (seen_rows * WIDTH)


@pytest.mark.parametrize(
    ("options", "error_type", "message"),
    [
        ({"rows": 0}, ValueError, r"rows \(=0\) must be at least 1"),
        ({"window": -1}, ValueError, r"window \(=-1\) must be at least 0"),
        ({"window": 1.5}, TypeError, r"window \(=1.5\) must be an integer"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], error_type: type[Exception], message: str) -> None:
    queries, keys, values, _ = drawn()
    with pytest.raises(error_type, match=message):
        attend(queries, keys, values, **options)
    options.pop("rows", None)
    if options:
        with pytest.raises(error_type, match=message):
            attention_map(queries, keys, (0, 0), **options)


def test_bad_types_are_refused() -> None:
    queries, keys, values, _ = drawn()
    whole_numbers, single = tf.cast(queries, tf.int32), tf.cast(keys, tf.float32)
    for call in (lambda *two: attend(*two, values), lambda *two: attention_map(*two, (0, 0))):
        with pytest.raises(ValueError, match="queries of type int32 must be floating point"):
            call(whole_numbers, keys)
        with pytest.raises(ValueError, match=r"\(of type float32\) must have the queries' type float64"):
            call(queries, single)


def test_bad_shapes_are_refused() -> None:
    queries, keys, values, _ = drawn()
    with pytest.raises(
        ValueError, match=r"queries of shape \(3, 6, 5, 4\) must be \[batch, heads, height, width, size\]"
    ):
        attend(queries[0], keys, values)
    with pytest.raises(
        ValueError, match=r"\(of shape \(2, 3, 6, 4, 4\)\) must have the queries' shape \(2, 3, 6, 5, 4\)"
    ):
        attend(queries, keys, values[:, :, :, :4])
    with pytest.raises(ValueError, match="must have the queries' shape"):
        attention_map(queries, keys[:, :2], (0, 0))
    for pixel in ((6, 0), (0, 5), (-1, 0)):
        with pytest.raises(ValueError, match=r"pixel \(=.*\) must be a row and a column of images of 6 x 5 pixels"):
            attention_map(queries, keys, pixel)
