"""Memory-efficient attention among the pixels of images, computed in chunks of rows."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.nets.gradients import custom_gradient
from weirdonetworks.nets.inputs import checked_floats, is_known


def attend(
    queries: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, window: int | None = None, rows: int = 2
) -> tf.Tensor:
    """Computes attention among all pixels of an image, or those in a window: softmax(Q K^T / sqrt(size)) V per head.

    The queries are processed in chunks of rows, each with the keys in its window; the gradient recomputes each chunk's
    attention map. So of the map of `(height * width)^2` entries only a part `rows / height` exists at a time, in the
    forward and the backward pass.

    >>> queries = keys = tf.zeros([1, 1, 2, 2, 1])
    >>> values = tf.reshape([1.0, 2.0, 3.0, 6.0], [1, 1, 2, 2, 1])
    >>> attend(queries, keys, values).numpy().ravel().tolist()
    [3.0, 3.0, 3.0, 3.0]

    Args:
      queries: `[batch, heads, height, width, size]`, floating point, all sizes but the batch known.
      keys: The keys, of the same shape and type.
      values: The values, of the same shape and type.
      window: The largest distance in rows and in columns of pixels attended to, which also reduces the cost; None for
        all pixels.
      rows: The maximum number of rows per chunk; the largest divisor of the height up to it is used. It changes memory
        and speed, and the result by rounding only.

    Returns:
      The attention outputs, of the same shape.
    """
    window = _check(window, queries, keys, values)
    _, heads, height, width, size = queries.shape
    chunks = _Chunks(height, width, window, rows)

    @custom_gradient
    def attended(queries: tf.Tensor, keys: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def step(chunk: tf.Tensor) -> tuple[tf.Tensor]:
            weights = chunks.weights(chunks.own(queries, chunk), chunks.seen(keys, chunk), chunk)
            return (tf.matmul(weights, chunks.seen(values, chunk)),)

        (outputs,) = chunks.each(step, queries.dtype)
        return outputs, lambda upstream: _gradients(chunks, queries, keys, values, outputs, upstream)

    scaled = queries / math.sqrt(size)
    flat = (tf.reshape(each, [-1, heads, height * width, size]) for each in (scaled, keys, values))
    return tf.reshape(attended(*flat), [-1, heads, height, width, size])


def attention_map(queries: tf.Tensor, keys: tf.Tensor, pixel: tuple[int, int], window: int | None = None) -> tf.Tensor:
    """Computes the attention weights of one pixel over its image, which sum to 1.

    Args:
      queries, keys, window: As in `attend`.
      pixel: The row and the column of the pixel.

    Returns:
      The weights, `[batch, heads, height, width]`.
    """
    window = _check(window, queries, keys)
    heads, height, width, size = queries.shape[1:]
    row, column = pixel
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"pixel (={pixel}) must be a row and a column of images of {height} x {width} pixels.")
    logits = tf.einsum("bhd,bhrcd->bhrc", queries[:, :, row, column], keys) / math.sqrt(size)
    if window is not None:
        rows, columns = np.ogrid[:height, :width]
        logits = _hidden_unless((abs(rows - row) <= window) & (abs(columns - column) <= window), logits)
    weights = tf.nn.softmax(tf.reshape(logits, [-1, heads, height * width]))
    return tf.reshape(weights, [-1, heads, height, width])


class _Chunks:
    """The partition of an image's pixels into chunks of queries, and the keys in each chunk's window.

    Tensors are `[batch, heads, pixels, size]`, the pixels row by row.
    """

    def __init__(self, height: int, width: int, window: int | None, rows: int):
        most = min(at_least("rows", rows, 1), height)
        self.window = window
        self.height, self.width = height, width
        self.rows = max(number for number in range(1, most + 1) if height % number == 0)
        self.seen_rows = height if self.window is None else min(height, self.rows + 2 * self.window)

    def own(self, tensor: tf.Tensor, chunk: tf.Tensor) -> tf.Tensor:
        """Slices a chunk's own pixels."""
        return self._cut(tensor, chunk * self.rows, self.rows)

    def seen(self, tensor: tf.Tensor, chunk: tf.Tensor) -> tf.Tensor:
        """Slices the rows in a chunk's window; at the image's border a few more, for a fixed size."""
        return self._cut(tensor, self._first_seen(chunk), self.seen_rows)

    def put_back(self, seen: tf.Tensor, chunk: tf.Tensor) -> tf.Tensor:
        """Pads what `seen` sliced with zeros to the whole image: the adjoint of `seen`."""
        missing = (self.height - self.seen_rows) * self.width
        if missing == 0:
            return seen
        padded = tf.pad(seen, [[0, 0], [0, 0], [0, missing], [0, 0]])
        return tf.roll(padded, self._first_seen(chunk) * self.width, axis=2)

    def weights(self, queries: tf.Tensor, keys: tf.Tensor, chunk: tf.Tensor) -> tf.Tensor:
        """Computes a chunk's attention map, `[batch, heads, own pixels, seen pixels]`, from `own` and `seen` slices."""
        logits = tf.matmul(queries, keys, transpose_b=True)
        return tf.nn.softmax(logits if self.window is None else _hidden_unless(self._near(chunk), logits))

    def each(self, step: Callable[..., Any], dtype: tf.DType, *start: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Iterates `own, *state = step(chunk, *state)` over the chunks; returns the `own` pixels of all, and the state.

        `dtype` is the type of `own`.
        """

        def body(chunk: tf.Tensor, pieces: tf.TensorArray, *state: tf.Tensor) -> tuple[Any, ...]:
            own, *after = step(chunk, *state)
            return chunk + 1, pieces.write(chunk, own), *after

        count = self.height // self.rows
        begin = (tf.constant(0), tf.TensorArray(dtype, size=count), *start)
        _, pieces, *state = tf.while_loop(lambda chunk, *_: chunk < count, body, begin, parallel_iterations=1)
        stacked = tf.transpose(pieces.stack(), [1, 2, 0, 3, 4])
        return tf.reshape(stacked, [-1, stacked.shape[1], self.height * self.width, stacked.shape[-1]]), *state

    def _cut(self, tensor: tf.Tensor, first: tf.Tensor, rows: int) -> tf.Tensor:
        sizes = [-1, tensor.shape[1], rows * self.width, tensor.shape[3]]
        return tf.ensure_shape(tf.slice(tensor, [0, 0, first * self.width, 0], sizes), [tensor.shape[0], *sizes[1:]])

    def _first_seen(self, chunk: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(chunk * self.rows - (self.window or 0), 0, self.height - self.seen_rows)

    def _near(self, chunk: tf.Tensor) -> tf.Tensor:
        """Computes the mask of seen pixels in the window of each own pixel."""
        own_rows = chunk * self.rows + tf.range(self.rows)
        seen_rows = self._first_seen(chunk) + tf.range(self.seen_rows)
        columns = tf.range(self.width)
        by_row = tf.abs(own_rows[:, None] - seen_rows) <= self.window
        by_column = tf.abs(columns[:, None] - columns) <= self.window
        near = by_row[:, None, :, None] & by_column[None, :, None, :]
        return tf.reshape(near, [self.rows * self.width, self.seen_rows * self.width])


def _gradients(
    chunks: _Chunks, queries: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, outputs: tf.Tensor, upstream: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """Computes the gradients with respect to queries, keys and values from that of the outputs."""
    # The gradient of a logit is its weight times (the gradient of the weight - the row's sum of weight times gradient).
    # That sum is upstream.outputs, without a map; as one more column it is subtracted within the matrix product.
    sums = tf.reduce_sum(upstream * outputs, axis=-1, keepdims=True)
    extended_upstream = tf.concat([upstream, -sums], axis=-1)
    extended_values = tf.concat([values, tf.ones_like(values[..., :1])], axis=-1)

    def step(chunk: tf.Tensor, by_keys: tf.Tensor, by_values: tf.Tensor) -> tuple[tf.Tensor, ...]:
        own_queries, own_upstream = chunks.own(queries, chunk), chunks.own(upstream, chunk)
        seen_keys = chunks.seen(keys, chunk)
        weights = chunks.weights(own_queries, seen_keys, chunk)
        by_logits = weights * tf.matmul(
            chunks.own(extended_upstream, chunk), chunks.seen(extended_values, chunk), transpose_b=True
        )
        return (
            tf.matmul(by_logits, seen_keys),
            by_keys + chunks.put_back(tf.matmul(by_logits, own_queries, transpose_a=True), chunk),
            by_values + chunks.put_back(tf.matmul(weights, own_upstream, transpose_a=True), chunk),
        )

    zeros = tf.zeros_like(keys)
    return chunks.each(step, queries.dtype, zeros, zeros)


def _check(window: int | None, queries: tf.Tensor, *others: tf.Tensor) -> int | None:
    """Checks tensors and a window, and returns the window."""
    if queries.shape.rank != 5 or not is_known(queries.shape):
        raise ValueError(
            f"queries of shape {queries.shape} must be [batch, heads, height, width, size], all but the batch known."
        )
    checked_floats(queries, "queries")
    for other in others:
        if other.dtype != queries.dtype:
            raise ValueError(
                f"keys and values (of type {other.dtype.name}) must have the queries' type {queries.dtype.name}."
            )
        if not other.shape.is_compatible_with(queries.shape):
            raise ValueError(f"keys and values (of shape {other.shape}) must have the queries' shape {queries.shape}.")
    return None if window is None else at_least("window", window, 0)


def _hidden_unless(seen: Any, logits: tf.Tensor) -> tf.Tensor:
    # The lowest finite number has the exponential 0; each pixel sees itself, so no row is fully masked.
    return tf.where(seen, logits, tf.constant(logits.dtype.min, logits.dtype))
