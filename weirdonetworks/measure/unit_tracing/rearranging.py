"""Rules of operations that rearrange the entries of tensors: reshaping, joining, slicing, gathering, padding, tiling.

Imported for its rules, which are registered beside those of `rules`.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from weirdonetworks.measure.unit_tracing.axes import (
    Axis,
    Units,
    concatenation,
    fix,
    product,
    reshaped,
    split_concatenation,
)
from weirdonetworks.measure.unit_tracing.evaluation import named
from weirdonetworks.measure.unit_tracing.rules import Axes, broadcast, check, constant, rule


@rule("Reshape Squeeze ExpandDims")
def _reshape(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    return [reshaped(inputs[0], operation.outputs[0].shape, named(operation))]


@rule("Transpose")
def _transpose(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    return [[inputs[0][int(place)] for place in constant(operation, 1)]]


@rule("ConcatV2")
def _concat(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    *parts, _ = inputs
    place = int(constant(operation, len(parts))) % len(parts[0])
    return [_stacked(parts, place, concatenation([each[place] for each in parts]), named(operation))]


@rule("Pack")
def _pack(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    place = operation.get_attr("axis") % (len(inputs[0]) + 1)
    shared = broadcast(inputs, named(operation))
    return [[*shared[:place], Units(len(inputs), "places in a stack"), *shared[place:]]]


@rule("Unpack")
def _unpack(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    values = inputs[0]
    place = operation.get_attr("axis") % len(values)
    fix(f"{named(operation)} takes them apart", values[place])
    return [values[:place] + values[place + 1 :] for _ in operation.outputs]


@rule("Split SplitV")
def _split(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    at, values = (0, inputs[1]) if operation.type == "Split" else (2, inputs[0])
    place = int(constant(operation, at)) % len(values)
    rest, found = values[place], []
    for output in operation.outputs:
        size = output.shape[place]
        halves = (rest, None) if size == rest.size else split_concatenation(rest, size)
        check(halves is not None, f"{named(operation)} cuts through units")
        assert halves is not None
        found.append([*values[:place], halves[0], *values[place + 1 :]])
        rest = halves[1]  # type: ignore[assignment]
    return found


@rule("Slice")
def _slice(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    begins = np.ravel(constant(operation, 1)).tolist()
    sizes = operation.outputs[0].shape
    return [[_part(axis, begin, size) for axis, begin, size in zip(inputs[0], begins, sizes, strict=True)]]


@rule("StridedSlice")
def _strided_slice(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    left = list(inputs[0])
    found: Axes = []
    for index in indices(operation):
        if index is None:
            found.append(Units(1))
            continue
        axis = left.pop(0)
        if isinstance(index, int):
            fix(f"{named(operation)} picks one of them", axis)
        elif index.step == 1:
            found.append(_part(axis, index.start, max(index.stop - index.start, 0)))
        else:
            fix(f"{named(operation)} takes them in steps", axis)
            size = len(range(index.start, index.stop, index.step))
            found.append(Units(size, f"{named(operation)} takes them in steps"))
    return [found]


def indices(operation: tf.Operation) -> list[slice | int | None]:
    """Lists the indices of a strided slice, one for each axis of its input; None for each new axis.

    Raises:
      ValueError: If they are computed.
    """
    begins, ends, strides = (np.ravel(constant(operation, index)).tolist() for index in (1, 2, 3))
    masks = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    begin_mask, end_mask, ellipsis, new_axis, shrink = (operation.get_attr(name) for name in masks)
    sizes = list(operation.inputs[0].shape)
    found: list[slice | int | None] = []
    for place in range(len(begins)):
        bit = 1 << place
        if ellipsis & bit:
            taken = sum(1 for later in range(place + 1, len(begins)) if not new_axis & (1 << later))
            while len(sizes) > taken:
                found.append(slice(0, sizes.pop(0), 1))
        elif new_axis & bit:
            found.append(None)
        elif shrink & bit:
            sizes.pop(0)
            found.append(begins[place])
        else:
            size = sizes.pop(0)
            begin = None if begin_mask & bit else begins[place]
            end = None if end_mask & bit else ends[place]
            found.append(slice(*slice(begin, end, strides[place]).indices(size)))
    return [*found, *(slice(0, size, 1) for size in sizes)]


@rule("GatherV2 ResourceGather")
def _gather(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    values, indices, *_ = inputs
    place = 0 if operation.type == "ResourceGather" else int(constant(operation, 2)) % len(values)
    check(operation.get_attr("batch_dims") == 0, f"{named(operation)} has batch dimensions")
    fix(f"{named(operation)} reads them by number", values[place])
    return [[*values[:place], *indices, *values[place + 1 :]]]


@rule("Pad PadV2 MirrorPad")
def _pad(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    found: Axes = []
    for axis, (before, after) in zip(inputs[0], constant(operation, 1).tolist(), strict=True):
        if operation.type == "MirrorPad" and (before or after):
            fix(f"{named(operation)} mirrors them", axis)
        ends = [Units(size, "padding") for size in (before, after) if size]
        found.append(concatenation([*ends[: bool(before)], axis, *ends[bool(before) :]]) if ends else axis)
    return [found]


@rule("Tile")
def _tile(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    times = np.ravel(constant(operation, 1)).tolist()
    return [[product([Units(n, "copies"), axis]) for n, axis in zip(times, inputs[0], strict=True)]]


@rule("BroadcastTo")
def _broadcast_to(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    values = inputs[0]
    shape = operation.outputs[0].shape
    padded = [*[Units(1)] * (len(shape) - len(values)), *values]
    return [[axis if axis.size == size else Units(size) for axis, size in zip(padded, shape, strict=True)]]


def _stacked(parts: Sequence[Axes], place: int, axis: Axis, where: str) -> Axes:
    others = broadcast([[*each[:place], *each[place + 1 :]] for each in parts], where)
    return [*others[:place], axis, *others[place:]]


def _part(axis: Axis, begin: int, size: int) -> Axis:
    """Slices consecutive units out of an axis."""
    if size == axis.size:
        return axis
    if size == 0:
        return Units(0)
    rest: Axis = axis
    if begin:
        halves = split_concatenation(axis, begin)
        check(halves is not None, "a slice cuts through units")
        assert halves is not None
        rest = halves[1]
    if rest.size == size:
        return rest
    halves = split_concatenation(rest, size)
    check(halves is not None, "a slice cuts through units")
    assert halves is not None
    return halves[0]
