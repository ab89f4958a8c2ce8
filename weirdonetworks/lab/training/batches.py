"""Batches of an epoch: their sizes, the examples and the seed of each, and the loop over them in one graph."""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf


def gather_of_bytes(rows: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns what gathers rows by their indices, as `tf.gather(rows, indices)`, on a GPU too.

    TensorFlow has no kernel that gathers bytes on a GPU: all rows would be copied to the processor at each call. So
    four bytes are taken for a float32, here once, before the loop over batches.

    >>> gather = gather_of_bytes(tf.constant([[1, 2, 3], [250, 251, 252]], tf.uint8))
    >>> gather(tf.constant([1, 0])).numpy().tolist()
    [[250, 251, 252], [1, 2, 3]]
    """
    if rows.dtype != tf.uint8:
        return functools.partial(tf.gather, rows)
    shape, size = rows.shape[1:], math.prod(rows.shape[1:])
    filled = tf.pad(tf.reshape(rows, [-1, size]), [[0, 0], [0, -size % 4]])
    words = tf.bitcast(tf.reshape(filled, [-1, filled.shape[1] // 4, 4]), tf.float32)

    def gather(indices: tf.Tensor) -> tf.Tensor:
        gathered = tf.reshape(tf.bitcast(tf.gather(words, indices), tf.uint8), [*indices.shape, filled.shape[1]])
        return tf.reshape(gathered[..., :size], [*indices.shape, *shape])

    return gather


def step_seeds(seed: tf.Tensor, first: tf.Tensor, steps: int) -> tf.Tensor:
    """Folds the numbers of an epoch's steps, from `first` on, into its seed `[2]`, or the seeds `[count, 2]` of copies.

    Returns:
      `[steps, 2]`, or `[steps, count, 2]`: row `i` is `stateless_fold_in(seed, first + i)`. What is drawn from a seed
      is drawn once, since it is the same at all steps.
    """

    def folded(number: tf.Tensor) -> tf.Tensor:
        own = [tf.random.experimental.stateless_fold_in(each, number, alg="philox") for each in tf.unstack(seeds)]
        return tf.reshape(tf.stack(own), seed.shape)

    seeds = tf.reshape(seed, [-1, 2])
    return tf.vectorized_map(folded, first + tf.range(steps))


def batch_sizes(examples: int, batch_size: int) -> npt.NDArray[np.float32]:
    """Lists the sizes of an epoch's batches, including the short last one.

    >>> batch_sizes(10, 4).tolist()
    [4.0, 4.0, 2.0]
    """
    return np.diff([*range(0, examples, batch_size), examples]).astype(np.float32)


def filled(images: tf.Tensor, labels: tf.Tensor, size: int) -> tuple[tf.Tensor, ...]:
    """Pads a chunk to a number of examples by repeating its own; returns it with weights, 0 for the repeated ones."""
    count = len(labels)
    weights = (np.arange(size) < count).astype(np.float32)
    if count < size:
        indices = np.arange(size) % count
        images, labels = tf.gather(images, indices), tf.gather(labels, indices)
    return images, labels, tf.constant(weights)


def over_batches(
    step: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    order: tf.Tensor,
    batch_size: int,
    shape: Sequence[int],
    end: tf.Tensor | None = None,
) -> tf.Tensor:
    """Calls `step(index, batch of order)` over the full batches in a loop in the graph, then over the rest.

    Returns:
      The steps' results, each of the given shape, stacked `[steps, ...]`; if `end` is given, zeros for the full batches
      from it on, over which it is not called.
    """
    full, rest = divmod(order.shape[0], batch_size)
    rest_begin = [0] * (order.shape.rank - 1)
    collected = tf.TensorArray(tf.float32, size=full, element_shape=shape)

    def body(index: tf.Tensor, collected: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        # `order[a:b]` in a loop has no static shape under XLA; `tf.slice` has.
        batch = tf.slice(order, [index * batch_size, *rest_begin], [batch_size, *order.shape[1:]])
        return index + 1, collected.write(index, step(index, batch))

    outputs = []
    if full:
        last = full if end is None else end
        _, collected = tf.while_loop(lambda index, _: index < last, body, (tf.constant(0), collected))
        outputs.append(collected.stack())
    if rest:
        outputs.append(step(tf.constant(full), order[full * batch_size :])[tf.newaxis])
    return tf.concat(outputs, axis=0)
