"""Which elements of a model's tensors depend on its inputs, whatever these are: an analysis of the traced call."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.measure.unit_tracing import rules
from weirdonetworks.measure.unit_tracing.edges import CONTRACTIONS, operands
from weirdonetworks.measure.unit_tracing.evaluation import compute
from weirdonetworks.measure.unit_tracing.traced_call import Step, Trace

Flags = npt.NDArray[np.bool_]

ELEMENTWISE = frozenset((rules.FUNCTIONS + " " + rules.BINARY).split()) | {"Select", "SelectV2", "ClipByValue", "AddN"}
POOLINGS = frozenset(["MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D"])
NORMS = frozenset(["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"])
# Operations that move elements to other places, and which of their inputs they move.
_FIRST = rules.SAME + " Reshape Squeeze ExpandDims Transpose Slice StridedSlice Tile BroadcastTo Unpack Pad MirrorPad"
MOVES = dict.fromkeys(_FIRST.split(), (0,)) | {"Split": (1,), "SplitV": (0,), "PadV2": (0, 2), "GatherV2": (0,)}


def dependent(call: Trace, known: Mapping[int, Any]) -> dict[int, Flags]:
    """Finds the elements of all tensors that depend on the inputs.

    An element does not depend on the inputs if all paths from them to it lead through products with zero, in these
    weights. It then has the same value for all inputs. The analysis may find a dependence where there is none, never
    the reverse.

    Args:
      call: The traced call.
      known: The values of its tensors, for some inputs, as `Trace.evaluate` returns them.

    Returns:
      For each tensor, by number, booleans of its shape.
    """
    flags = {number: np.full(np.shape(known[number]), number in call.parameters) for number in known}
    for step in call.steps:
        inputs = [flags[number] for number in step.inputs if number in flags]
        if any(each.any() for each in inputs):
            values = [known.get(number) for number in step.inputs]
            shapes = [np.shape(known[number]) if known.get(number) is not None else () for number in step.outputs]
            found = _followed(step, inputs, values, shapes)
            flags.update(zip(step.outputs, found, strict=True))
    return flags


def _followed(step: Step, flags: list[Flags], values: list[Any], shapes: Sequence[tuple[int, ...]]) -> list[Flags]:
    operation = step.operation
    kind = operation.type
    if kind in MOVES or kind in ("ConcatV2", "Pack", "IdentityN"):
        moved = MOVES.get(kind, range(len(flags) - (kind == "ConcatV2")))
        if any(each.any() for index, each in enumerate(flags) if index not in moved):
            return [np.ones(shape, bool) for shape in shapes]
        arguments = [
            tf.cast(own, tf.float64) if index in moved else value
            for index, (own, value) in enumerate(zip(flags, values, strict=True))
        ]
        if kind in ("Cast", "ReadVariableOp"):
            return flags[:1]
        return [np.asarray(each) > 0 for each in compute(operation, arguments, tf.float64)]
    if kind == "Mul" or (kind in CONTRACTIONS and len(operands(operation, flags)) == 2):
        return [_bilinear(operation, flags, values)]
    if kind in ELEMENTWISE:
        return [np.broadcast_to(np.logical_or.reduce(np.broadcast_arrays(*flags)), shape) for shape in shapes]
    if kind == "BiasAdd" or kind in NORMS:
        return [_per_channel(operation, flags, shape) for shape in shapes]
    if kind in POOLINGS:
        return [np.asarray(compute(operation, [tf.cast(flags[0], tf.float64)], tf.float64)[0]) > 0]
    if kind in rules.REDUCTIONS.split():
        axes = tuple(np.ravel(np.asarray(values[1])).tolist())
        return [np.asarray(flags[0].any(axis=axes, keepdims=operation.get_attr("keep_dims")))]
    if kind in ("Softmax", "LogSoftmax"):
        return [np.broadcast_to(flags[0].any(axis=-1, keepdims=True), shapes[0])]
    return [np.ones(shape, bool) for shape in shapes]


def _bilinear(operation: tf.Operation, flags: list[Flags], values: list[Any]) -> Flags:
    """A product depends on the inputs where one factor does and the other may not be zero."""
    one, other = operands(operation, range(len(flags)))
    maybe = [tf.cast(own | (np.asarray(value) != 0), tf.float64) for own, value in zip(flags, values, strict=True)]
    products = []
    for depends, rest in ((one, other), (other, one)):
        given = list(values)
        given[depends], given[rest] = tf.cast(flags[depends], tf.float64), maybe[rest]
        products.append(np.asarray(compute(operation, given, tf.float64)[0]))
    return np.asarray(sum(products) > 0)


def _per_channel(operation: tf.Operation, flags: list[Flags], shape: tuple[int, ...]) -> Flags:
    images, *vectors = flags
    if len(shape) != images.ndim:  # Moments of a batch norm: of the channels, over all else.
        return np.ones(shape, bool)
    place = 1 if operation.get_attr("data_format").startswith(b"NC") else images.ndim - 1
    if operation.type in NORMS and operation.get_attr("is_training"):
        others = tuple(axis for axis in range(images.ndim) if axis != place)
        images = np.broadcast_to(images.any(axis=others, keepdims=True), shape)
    column = [-1 if axis == place else 1 for axis in range(images.ndim)]
    return np.logical_or.reduce(
        [images, *(np.broadcast_to(each.reshape(column), shape) for each in vectors if each.size)]
    )
