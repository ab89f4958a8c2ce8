"""Jacobian-vector and vector-Jacobian products of a model, and the dense Jacobian where it is small."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.measure.models import Model, in_pieces
from weirdonetworks.measure.stability import Floats

ZERO = tf.UnconnectedGradients.ZERO


def jvp(model: Model, inputs: tf.Tensor, tangents: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Computes a model's outputs and Jacobian-vector products J(x) v for several tangents v at each input x.

    >>> outputs, (derivative,) = jvp(tf.square, tf.constant([[3.0]]), [tf.constant([[1.0]])])
    >>> outputs.numpy().item(), derivative.numpy().item()
    (9.0, 6.0)

    Args:
      model: A differentiable function of a batch, as in `stability`.
      inputs: `[inputs, ...]`.
      tangents: Tensors of the shape of the inputs.

    Returns:
      The outputs, and for each tangent a derivative of their shape. Derivatives through
      `tf.image.resize(method="bilinear")` are 0, since TensorFlow treats its gradient as constant, and so are those
      through `tf.numpy_function`, which has no gradient; the measures refuse both.
    """
    # Double backpropagation: J v is the gradient of (J^T u) v with respect to u, for any u. Forward accumulation fails
    # on chunked attention, and in a penalty compiled with XLA it was five times slower and trained wrongly.
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
    """Products of the stacked Jacobians J of some inputs with directions `[directions, entries]`."""

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
        """Computes J^T J v / inputs for each direction v."""
        return self._mean(self._pulled, directions)

    def moments(self, directions: Floats) -> Floats:
        """Computes (J v).(J w) / inputs for each two directions v and w."""
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
        return tf.einsum("ivo,iwo->vw", rows, rows)  # In float64, since squaring loses the small singular values.

    def _push(self, batch: tf.Tensor, directions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Repeats each input per direction, and computes the derivatives."""
        repeated = tf.repeat(batch, tf.shape(directions)[0], axis=0)
        tangents = tf.reshape(tf.tile(directions, [tf.shape(batch)[0], 1]), tf.shape(repeated))
        _, (derivatives,) = jvp(self._run, repeated, [tangents])
        return repeated, derivatives


def formed(run: Model, values: npt.NDArray[Any], batch_size: int, dtype: tf.DType) -> Floats:
    """Computes the stacked Jacobians of inputs, divided by sqrt(inputs): `[inputs * outputs, entries]`.

    It takes one backward pass per output.
    """

    @tf.function(
        input_signature=[tf.TensorSpec([None, *values.shape[1:]], dtype), tf.TensorSpec([], tf.int32)], autograph=False
    )
    def gradient(batch: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(batch)
            # Outputs depend on their own input alone, so one gradient of their sum holds the gradient of each.
            picked = tf.reshape(run(batch), [tf.shape(batch)[0], -1])[:, output]
        return tape.gradient(picked, batch, unconnected_gradients=ZERO)

    compute = gradient.get_concrete_function()
    rows = [
        piece.numpy().reshape(len(piece), -1)
        for output in range(math.prod(run(tf.cast(values[:1], dtype)).shape))
        for piece in in_pieces(compute, values, batch_size, dtype, tf.constant(output))
    ]
    return np.concatenate(rows).astype(np.float64) / np.sqrt(len(values))
