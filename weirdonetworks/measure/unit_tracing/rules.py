"""Rules by which TensorFlow operations propagate the units along the axes of their operands.

A rule takes an operation and the axes of its inputs. It unifies axes that must be equal for the operation to commute
with permutations of the units, fixes units with which it does not commute, and returns the axes of the outputs. An
operation without a rule fixes all units of its inputs, so that no symmetry is claimed without proof. The rules of those
that rearrange the entries of tensors are in `rearranging`.
"""

import string
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from weirdonetworks.measure.unit_tracing import evaluation
from weirdonetworks.measure.unit_tracing.axes import (
    Axis,
    Units,
    fix,
    mark,
    product,
    split_product,
    unify,
)
from weirdonetworks.measure.unit_tracing.evaluation import named

Axes: TypeAlias = list[Axis]
Rule: TypeAlias = Callable[[tf.Operation, list[Axes]], list[Axes]]

RULES: dict[str, Rule] = {}

# Operations that return their first input unchanged.
SAME = "Identity StopGradient Cast PreventGradient Snapshot CheckNumerics ReadVariableOp EnsureShape"
FUNCTIONS = (
    "Relu Relu6 LeakyRelu Elu Selu Tanh Sigmoid Softplus Softsign Erf Erfc Exp Expm1 Log Log1p Sqrt Rsqrt Square Abs "
    "Neg Sign Sin Cos Tan Asin Acos Atan Sinh Cosh Floor Ceil Round Rint Reciprocal Inv LogicalNot IsFinite IsNan "
    "IsInf Lgamma Digamma"
)
BINARY = (
    "Add AddV2 Sub Mul Div RealDiv DivNoNan MulNoNan FloorDiv FloorMod Maximum Minimum Pow SquaredDifference "
    "Xlogy Xdivy Less LessEqual Greater GreaterEqual Equal NotEqual LogicalAnd LogicalOr Atan2 Mod"
)
REDUCTIONS = "Sum Mean Max Min Prod All Any EuclideanNorm"


def rule(types: str) -> Callable[[Rule], Rule]:
    """Registers a rule for operations of some types, their names separated by spaces."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(types.split(), function))
        return function

    return register


def new_axes(shape: Sequence[int], reason: str) -> Axes:
    """Makes axes with all units fixed."""
    return [Units(size, reason if size != 1 else "") for size in shape]


def not_followed(operation: tf.Operation, inputs: list[Axes], why: str = "") -> list[Axes]:
    """Fixes the units of the inputs and outputs of an operation without a rule, or that a rule refuses for a reason."""
    reason = f"{named(operation)} is not followed" + (f": {why}" if why else "")
    fix(reason, *(axis for axes in inputs for axis in axes))
    found = [new_axes(output.shape, reason) for output in operation.outputs]
    for axes in found:  # Examples of a batch stay examples.
        if axes and inputs and inputs[0] and inputs[0][0].size == axes[0].size > 1:
            axes[0] = inputs[0][0]
    return found


def constant(operation: tf.Operation, index: int) -> Any:
    """Returns the value of a constant input, such as the axes of a reduction.

    Raises:
      ValueError: If the input is not constant.
    """
    value = evaluation.constant(operation.inputs[index])
    if value is None:
        raise ValueError(f"{named(operation)} is given a computed argument")
    return value


def broadcast(axes: Sequence[Axes], where: str) -> Axes:
    """Unifies the axes of operands that are broadcast to one shape."""
    rank = max(map(len, axes))
    found: Axes = []
    for place in range(-rank, 0):
        column = [each[place] for each in axes if len(each) >= -place]
        wide = [axis for axis in column if axis.size != 1]
        for axis in wide[1:]:
            unify(wide[0], axis, where)
        found.append(wide[0] if wide else column[0])
    return found


def check(condition: bool, why: str) -> None:
    """Raises a `ValueError` unless a condition holds; the operation's units are then fixed."""
    if not condition:
        raise ValueError(why)


@rule(SAME)
def _same(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    return [inputs[0]]


@rule("IdentityN")
def _all_same(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    return inputs


@rule(FUNCTIONS)
def _function(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    mark(operation.type, *inputs[0])
    return [inputs[0]]


@rule(BINARY)
def _binary(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    axes = broadcast(inputs, named(operation))
    if operation.type not in ("Add", "AddV2", "Sub"):
        mark(operation.type, *axes)
    return [axes]


@rule("AddN")
def _add_n(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    return [broadcast(inputs, named(operation))]


@rule("Select SelectV2 ClipByValue")
def _select(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    axes = broadcast(inputs, named(operation))
    mark(operation.type, *axes)
    return [axes]


@rule("ZerosLike OnesLike")
def _filled(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    return [inputs[0]]


@rule("BiasAdd")
def _bias(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    values, bias = inputs
    unify(values[_channel_axis(operation, len(values))], bias[0], named(operation))
    return [values]


@rule("MatMul BatchMatMulV2 BatchMatMul BatchMatMulV3")
def _matmul(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    one, other = map(list, inputs)
    turned = [("transpose_a", "adj_x"), ("transpose_b", "adj_y")]
    for axes, names in zip((one, other), turned, strict=True):
        if operation.get_attr(names[operation.type != "MatMul"]):
            axes[-2:] = axes[:-3:-1]
    unify(one[-1], other[-2], named(operation))
    return [[*broadcast([one[:-2], other[:-2]], named(operation)), one[-2], other[-1]]]


@rule("Einsum")
def _einsum(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    equation = operation.get_attr("equation").decode().replace(" ", "")
    terms, result = equation.split("->")
    letters: dict[str, Axis] = {}
    ellipses: list[Axes] = []
    for term, axes in zip(terms.split(","), inputs, strict=True):
        before, dots, after = term.partition("...")
        middle = axes[len(before) : len(axes) - len(after)] if dots else []
        if dots:
            ellipses.append(middle)
        rest = axes[: len(before)] + axes[len(axes) - len(after) :] if dots else axes
        for letter, axis in zip(before + after, rest, strict=True):
            if letter in letters:
                unify(letters[letter], axis, named(operation))
            letters.setdefault(letter, axis)
    shared = broadcast(ellipses, named(operation)) if ellipses else []
    before, dots, after = result.partition("...")
    assert set(before + after) <= set(string.ascii_letters)
    return [[*(letters[each] for each in before), *(shared if dots else []), *(letters[each] for each in after)]]


@rule("Conv2D Conv3D")
def _convolution(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    images, filters = inputs
    place, where = _channel_axis(operation, len(images)), named(operation)
    groups = images[place].size // filters[-2].size
    channels, outputs = filters[-2], filters[-1]
    if groups > 1:
        # Grouped convolution: each group of input channels has its own group of filters.
        by_group = split_product(outputs, groups)
        check(by_group is not None, f"{where} has groups that cut through units")
        assert by_group is not None
        unify(images[place], product([by_group[0], channels]), where)
    else:
        unify(images[place], channels, where)
    fix("the places of a filter", *filters[:-2])
    return [_spatial(operation, images, outputs)]


@rule("Conv2DBackpropInput Conv3DBackpropInputV2")
def _transposed_convolution(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    _, filters, images = inputs
    place = _channel_axis(operation, len(images))
    check(images[place].size == filters[-1].size, f"{named(operation)} has groups")
    unify(images[place], filters[-1], named(operation))
    fix("the places of a filter", *filters[:-2])
    return [_spatial(operation, images, filters[-2])]


@rule("DepthwiseConv2dNative")
def _depthwise(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    images, filters = inputs
    unify(images[_channel_axis(operation, len(images))], filters[-2], named(operation))
    fix("the places of a filter", *filters[:-2])
    return [_spatial(operation, images, product(filters[-2:]))]


@rule("MaxPool AvgPool MaxPool3D AvgPool3D")
def _pool(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    (images,) = inputs
    place = _channel_axis(operation, len(images))
    check(operation.get_attr("ksize")[place] == 1, f"{named(operation)} pools over channels")
    return [_spatial(operation, images, images[place])]


@rule("FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3")
def _batch_norm(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    images, *vectors = inputs
    channels = images[_channel_axis(operation, len(images))]
    for (vector,) in vectors:
        if vector.size:
            unify(channels, vector, named(operation))
    mark("batch norm", channels)
    return [images, *([channels] for _ in operation.outputs[1:5]), *([] for _ in operation.outputs[5:])]


@rule(REDUCTIONS)
def _reduce(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    values = inputs[0]
    gone = {int(axis) % len(values) for axis in np.ravel(constant(operation, 1))} if values else set()
    for place in gone:
        mark(operation.type, values[place], mixes=True)
    if operation.get_attr("keep_dims"):
        return [[Units(1) if place in gone else axis for place, axis in enumerate(values)]]
    return [[axis for place, axis in enumerate(values) if place not in gone]]


@rule("Softmax LogSoftmax")
def _softmax(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    mark(operation.type, inputs[0][-1], mixes=True)
    return [inputs[0]]


@rule("L2Loss")
def _to_number(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    mark(operation.type, *inputs[0], mixes=True)
    return [[]]


@rule("Fill Range Shape Size Rank")
def _from_shape(operation: tf.Operation, inputs: list[Axes]) -> list[Axes]:
    if operation.type == "Fill":
        return [[Units(size) for size in operation.outputs[0].shape]]
    return [new_axes(operation.outputs[0].shape, "counted")]


def of_constant(value: np.ndarray) -> Axes:
    """Returns the axes of a constant: free if all slices along them are equal, else fixed."""
    axes: Axes = []
    for place, size in enumerate(value.shape):
        first = np.take(value, [0], axis=place) if size else value
        axes.append(Units(size, "" if np.all(first == value) else "a constant differs from unit to unit"))
    return axes


def _channel_axis(operation: tf.Operation, rank: int) -> int:
    return 1 if operation.get_attr("data_format").decode().startswith("NC") else rank - 1


def _spatial(operation: tf.Operation, images: Axes, channels: Axis) -> Axes:
    """Returns the axes of a windowed operation's outputs: new positions, the same batch, the given channels."""
    place, shape = _channel_axis(operation, len(images)), operation.outputs[0].shape
    fix("places of an image", *(axis for each, axis in enumerate(images) if each not in (0, place)))
    return [
        images[0] if each == 0 else channels if each == place else Units(size, "places of an image")
        for each, size in enumerate(shape)
    ]
