"""Products of a model's Jacobian with vectors, and the Jacobian itself where it is small."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from weirdonetworks.measure.models import Model
from weirdonetworks.measure.stability import Floats

ZERO = tf.UnconnectedGradients.ZERO


def jvp(model: Model, inputs: tf.Tensor, tangents: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Computes a model's outputs, and their derivatives J(x) v along some tangents v at each input x.

    >>> outputs, (derivative,) = jvp(tf.square, tf.constant([[3.0]]), [tf.constant([[1.0]])])
    >>> outputs.numpy().item(), derivative.numpy().item()
    (9.0, 6.0)

    Args:
      model: See the top of this module.
      inputs: `[inputs, ...]`.
      tangents: Tensors of the shape of the inputs.

    Returns:
      The outputs, and for each tangent a derivative of their shape. TensorFlow takes the gradient of
      `tf.image.resize(method="bilinear")` for a constant, and so derivatives through it for 0, and
      `tf.numpy_function` has no gradient, so that derivatives are 0 too; the measures refuse both.
    """
    # J v is the gradient of (J^T u) v by u, whatever u is. Forward accumulation fails on attention in chunks, and in a
    # penalty, its epoch compiled with XLA, was seen to be five times slower and to spoil the training.
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as outer:
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(inputs)
            outputs = model(inputs)
        covector = tf.zeros_like(outputs)
        outer.watch(covector)
        pulled = inner.gradient(outputs, inputs, output_gradients=covector, unconnected_gradients=ZERO)
    derivatives = [
        outer.gradient(pulled, covector, output_gradients=tangent, unconnected_gradients=ZERO) for tangent in tangents
    ]
    return outputs, derivatives


class Products:
    """Products of the Jacobians J of some inputs, one above the other, with directions `[directions, entries]`."""

    def __init__(self, run: Model, values: npt.NDArray[Any], batch_size: int, dtype: tf.DType):
        self._run, self._values, self._batch_size, self._dtype = run, values, batch_size, dtype
        shape = values.shape[1:]
        signature = [tf.TensorSpec([None, *shape], dtype), tf.TensorSpec([None, math.prod(shape)], dtype)]
        traced = [
            tf.function(each, input_signature=signature, autograph=False).get_concrete_function()
            for each in (self._pull_back, self._multiply)
        ]
        self._pulled, self._multiplied = traced

    def pulled_back(self, directions: Floats) -> Floats:
        """Gives J^T J v for each direction v, over the number of inputs."""
        return self._mean(self._pulled, directions)

    def moments(self, directions: Floats) -> Floats:
        """Gives (J v) (J w) for each two directions v and w, over the number of inputs."""
        return self._mean(self._multiplied, directions)

    def _mean(self, compute: Callable[..., tf.Tensor], directions: Floats) -> Floats:
        length = max(self._batch_size // len(directions), 1)
        pieces = in_pieces(compute, self._values, length, self._dtype, tf.cast(directions, self._dtype))
        return sum(piece.numpy().astype(np.float64) for piece in pieces) / len(self._values)

    def _pull_back(self, batch: tf.Tensor, directions: tf.Tensor) -> tf.Tensor:
        repeated, derivatives = self._push(batch, directions)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(repeated)
            outputs = self._run(repeated)
        back = tape.gradient(outputs, repeated, output_gradients=derivatives, unconnected_gradients=ZERO)
        return tf.reduce_sum(tf.reshape(back, tf.concat([[-1], tf.shape(directions)], 0)), axis=0)

    def _multiply(self, batch: tf.Tensor, directions: tf.Tensor) -> tf.Tensor:
        _, derivatives = self._push(batch, directions)
        rows = tf.cast(tf.reshape(derivatives, [tf.shape(batch)[0], tf.shape(directions)[0], -1]), tf.float64)
        return tf.einsum("ivo,iwo->vw", rows, rows)  # In float64: else the squares would lose the small values.

    def _push(self, batch: tf.Tensor, directions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Gives each input once for each direction, and the derivatives there."""
        repeated = tf.repeat(batch, tf.shape(directions)[0], axis=0)
        tangents = tf.reshape(tf.tile(directions, [tf.shape(batch)[0], 1]), tf.shape(repeated))
        _, (derivatives,) = jvp(self._run, repeated, [tangents])
        return repeated, derivatives


def formed(run: Model, values: npt.NDArray[Any], batch_size: int, dtype: tf.DType) -> Floats:
    """Forms the Jacobians of inputs, one above the other, over the root of their number: `[inputs * outputs, entries]`.

    Each output takes one gradient of each input.
    """

    @tf.function(
        input_signature=[tf.TensorSpec([None, *values.shape[1:]], dtype), tf.TensorSpec([], tf.int32)], autograph=False
    )
    def gradient(batch: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(batch)
            # Inputs do not mix, so the gradient of an output's sum over inputs has the gradient of each.
            picked = tf.reshape(run(batch), [tf.shape(batch)[0], -1])[:, output]
        return tape.gradient(picked, batch, unconnected_gradients=ZERO)

    compute = gradient.get_concrete_function()
    rows = [
        piece.numpy().reshape(len(piece), -1)
        for output in range(math.prod(run(tf.cast(values[:1], dtype)).shape))
        for piece in in_pieces(compute, values, batch_size, dtype, tf.constant(output))
    ]
    return np.concatenate(rows).astype(np.float64) / np.sqrt(len(values))


def in_pieces(
    compute: Callable[..., Any], values: npt.NDArray[Any], length: int, dtype: tf.DType, *others: tf.Tensor
) -> Iterator[Any]:
    """Yields what a traced function makes of so many inputs at a time, and of what else it takes."""
    for start in tqdm(range(0, len(values), length), desc="differentiating", unit="piece", leave=False, disable=None):
        yield compute(tf.cast(values[start : start + length], dtype), *others)
