"""The product of a batch with a weight of which a mask keeps some numbers: by compiled kernels, or by gathers."""

import math
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.eager import forwardprop_util
from tensorflow.python.ops import control_flow_util

from weight_symmetry.masks.generators import Mask
from weight_symmetry.sparse import kernels, layer_kernels
from weight_symmetry.sparse.vectors import LANES, REGISTERS
from weight_symmetry.sparse.wiring import Wiring
from weirdonetworks.nets.gradients import custom_gradient
from weirdonetworks.nets.pooling import accumulator

FEW = 2  # Examples that are faster one by one.
LINE = 16  # Numbers that TensorFlow's arrays are aligned to.

_PROCESS = uuid.uuid4().hex  # Names a resource that exists in this process, and in none that loads a function of it.
_SPACE = threading.local()  # A new array each time would cost the system's clearing of its pages.


class SparseProduct:
    """The connections of a layer, and its product with a batch; TensorFlow looks for no variables in it.

    >>> product = SparseProduct(np.array([[True, False], [False, True], [True, True]]))
    >>> product.gathered(tf.ones([1, 3]), tf.constant([1.0, 2.0, 3.0, 4.0])).numpy().tolist()
    [[3.0, 7.0]]
    """

    def __init__(self, mask: Mask):
        """Lists the connections of a mask `[inputs, units]`; weights are listed by unit, each unit's by input."""
        self._shape = mask.shape
        net = Wiring([mask]).connections
        self._begin = net.begin[net.inputs :]
        self._source = net.source
        self._after = net.after[: net.inputs + 1]
        self._target = net.target - np.int32(net.inputs)
        self._place = net.place

    def multiply(self, rows: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Computes the outputs `[batch, units]` of inputs `[batch, inputs]`, all float32, by kernels where they are.

        Kernels are in this process alone, and outside of what XLA compiles; elsewhere it is `gathered`, as it is within
        a function that makes forward-mode derivatives. Other derivatives, of any order, are by kernels, too.
        """
        if _in_xla():
            return self.gathered(rows, weights) + bias
        return self._multiply(_in_this_process(), rows, weights, bias)

    def _multiply(self, has_kernels: tf.Tensor, *given: tf.Tensor) -> tf.Tensor:
        if _is_pushed_forward(given):
            return self._gathered_outputs(*given)[0]
        has_kernels, *copies = _of_this_graph(has_kernels, *given)

        @custom_gradient
        def product(rows: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
            def gradient(errors: tf.Tensor) -> Any:
                return self._gradients(has_kernels, rows, weights, errors)

            shapes = [(rows.shape[0], bias.shape[0])]
            found = _by_kernels(has_kernels, self._outputs, self._gathered_outputs, (rows, weights, bias), shapes)
            return found[0], gradient

        result: tf.Tensor = product(*copies)
        return result

    def _gradients(self, has_kernels: tf.Tensor, *given: tf.Tensor) -> list[tf.Tensor]:
        """Computes the gradients by inputs, weights and bias, given inputs, weights, and the gradient by the outputs.

        They are linear in each argument, so that their own gradients are products and gradients again. These are
        written out, since a tape records nothing while TensorFlow makes forward-mode derivatives.
        """
        if _is_pushed_forward(given):
            return self._gathered_gradients(*given)
        has_kernels, *copies = _of_this_graph(has_kernels, *given)

        @custom_gradient
        def gradients(rows: tf.Tensor, weights: tf.Tensor, errors: tf.Tensor) -> tuple[Any, Callable[..., Any]]:
            def second(by_rows: tf.Tensor, by_weights: tf.Tensor, by_bias: tf.Tensor) -> Any:
                outputs = self._multiply(has_kernels, by_rows, weights, by_bias)
                outputs += self._multiply(has_kernels, rows, by_weights, tf.zeros_like(by_bias))
                turned, _, _ = self._gradients(has_kernels, rows, by_weights, errors)
                _, correlated, _ = self._gradients(has_kernels, by_rows, weights, errors)
                return turned, correlated, outputs

            numbers, shapes = (rows, weights, errors), (rows.shape, weights.shape, errors.shape[1:])
            return _by_kernels(has_kernels, self._differentiated, self._gathered_gradients, numbers, shapes), second

        found: list[tf.Tensor] = gradients(*copies)
        return found

    def gathered(self, rows: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Computes the outputs without bias by gathers, in the type in which such inputs are summed."""
        dtype, fans = accumulator(rows.dtype), np.diff(self._begin)
        rows, weights = tf.cast(rows, dtype), tf.cast(weights, dtype)
        if not fans.any():  # Which TensorFlow's sums by segment do not survive.
            return tf.matmul(rows, tf.zeros(self._shape, dtype))
        if (fans == fans[0]).all():
            shape = len(fans), fans[0]
            index = self._source.reshape(shape)
            return tf.einsum("bjk,jk->bj", tf.gather(rows, index, axis=1), tf.reshape(weights, shape))
        terms = tf.gather(tf.transpose(rows), self._source) * weights[:, tf.newaxis]
        return tf.transpose(tf.math.unsorted_segment_sum(terms, np.repeat(np.arange(len(fans)), fans), len(fans)))

    def _gathered_outputs(self, rows: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor) -> list[tf.Tensor]:
        return [self.gathered(rows, weights) + bias]

    def _gathered_gradients(self, rows: tf.Tensor, weights: tf.Tensor, errors: tf.Tensor) -> list[tf.Tensor]:
        """Computes the gradients in a graph, where alone kernels may be missing."""
        outputs = self.gathered(rows, weights)
        found = tf.gradients(outputs, [rows, weights], errors, unconnected_gradients="zero")
        return [*found, tf.reduce_sum(errors, axis=0)]

    def _outputs(self, rows: Any, weights: Any, bias: Any) -> list[npt.NDArray[np.float32]]:
        outputs = _aligned((len(rows), len(bias)))
        if len(rows) <= FEW:
            layer_kernels.multiply_few(rows, self._begin, self._source, weights, bias, outputs)
        else:
            row, (space,) = self._space(rows, len(bias) + rows.shape[1])
            layer_kernels.multiply(row, space, rows, self._begin, self._source, weights, bias, outputs)
        return [outputs]

    def _differentiated(self, rows: Any, weights: Any, errors: Any) -> list[npt.NDArray[np.float32]]:
        found = [_aligned(rows.shape), np.zeros(weights.shape, np.float32), np.zeros(errors.shape[1], np.float32)]
        row, spaces = self._space(rows, rows.shape[1], errors.shape[1] + rows.shape[1])
        wiring = self._begin, self._source, self._after, self._target
        layer_kernels.differentiate(row, *spaces, rows, errors, *wiring, weights[self._place], *found)
        return found

    def _space(self, rows: Any, *units: int) -> tuple[tuple[int, ...], list[npt.NDArray[np.float32]]]:
        """Returns a tuple as long as a row has vectors, a power of two, and space for rows of some numbers of units."""
        registers, _ = kernels.tiling(len(rows), max(rows.shape[1], len(self._begin)))
        registers = min(REGISTERS, 1 << (registers - 1).bit_length())  # Since each length is compiled.
        sizes = [number * registers * LANES for number in units]
        known = getattr(_SPACE, "array", None)
        if known is None or len(known) < sum(sizes):
            _SPACE.array = known = np.empty(sum(sizes), np.float32)
        return (0,) * registers, np.split(known[: sum(sizes)], np.cumsum(sizes)[:-1])


def _in_xla() -> bool:
    """Tells whether operations are being traced for XLA, which TensorFlow says by no public name."""
    return not tf.executing_eagerly() and bool(
        control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
    )


def _is_pushed_forward(tensors: Sequence[tf.Tensor]) -> bool:
    """Tells whether a function is being traced in which a `tf.autodiff.ForwardAccumulator` watches some of the tensors.

    There TensorFlow passes over a custom gradient, and takes the derivatives of what is computed within it.
    """
    return not tf.executing_eagerly() and bool(forwardprop_util.pack_tangents(tensors).tangents)


def _of_this_graph(*tensors: tf.Tensor) -> list[tf.Tensor]:
    """Copies tensors of an outer graph, which TensorFlow does not find among those that its derivatives refer to."""
    return list(tensors) if tf.executing_eagerly() else [tf.identity(each) for each in tensors]


def _by_kernels(
    has_kernels: tf.Tensor,
    kernels: Callable[..., Any],
    gathers: Callable[..., Any],
    given: Sequence[tf.Tensor],
    shapes: Sequence[Any],
) -> list[tf.Tensor]:
    """Calls kernels in the process that has them, and `gathers` in one that loaded the graph, without derivatives."""

    def computed() -> list[tf.Tensor]:
        found = tf.numpy_function(kernels, given, [tf.float32] * len(shapes), stateful=False)
        return [tf.ensure_shape(each, shape) for each, shape in zip(tf.nest.flatten(found), shapes, strict=True)]

    if tf.executing_eagerly():
        return computed()
    given = [tf.stop_gradient(each) for each in given]  # TensorFlow's forward mode fails at a `cond` of kernels.
    found: list[tf.Tensor] = tf.cond(has_kernels, computed, lambda: gathers(*given))
    return found


def _in_this_process() -> tf.Tensor:
    """Tells, when it is evaluated, whether the process is this one, and not one that loaded the graph from a file."""
    if tf.executing_eagerly():
        return tf.constant(True)
    with tf.device("CPU:0"):
        with tf.init_scope():
            tf.raw_ops.AssignVariableOp(resource=_mark(), value=tf.constant(True))
        return tf.raw_ops.VarIsInitializedOp(resource=_mark())


def _mark() -> tf.Tensor:
    return tf.raw_ops.VarHandleOp(dtype=tf.bool, shape=[], shared_name=_PROCESS)


def _aligned(shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Makes an array that TensorFlow takes over without a copy, since it begins where its own do."""
    size = math.prod(shape)
    array = np.empty(size + LINE, np.float32)
    first = -array.ctypes.data // array.itemsize % LINE
    return array[first : first + size].reshape(shape)
