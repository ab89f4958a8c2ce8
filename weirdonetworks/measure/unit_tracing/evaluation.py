"""Evaluation of single TensorFlow operations on other inputs, in other floating-point types."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def named(operation: tf.Operation) -> str:
    """Formats an operation's type and name for a message."""
    return f"{operation.type} ({operation.name})"


def constant(tensor: tf.Tensor) -> Any:
    """Returns the value of a tensor that is computed from constants alone; None of any other."""
    value = tf.get_static_value(tensor)
    operation = tensor.op
    if value is not None or not operation.inputs or operation.op_def.is_stateful:
        return value
    inputs = [constant(each) for each in operation.inputs]
    if any(each is None for each in inputs):
        return None
    with tf.init_scope():
        return np.asarray(compute(operation, [tf.constant(each) for each in inputs], None)[tensor.value_index])


def compute(operation: tf.Operation, inputs: Sequence[Any], dtype: tf.DType | None) -> list[Any]:
    """Evaluates an operation on other inputs, in the given floating-point type; None for its own.

    What is not defined in that type, as the resizing of images by areas, is evaluated in its own type. Complex numbers
    have parts of that type, of at least 32 bits.

    Raises:
      ValueError: If it cannot be evaluated outside the model, as a loop over time or a branch.
    """
    if dtype is None:
        return _computed(operation, inputs, None)
    calling = isinstance(operation, tf.Operation) and any("func" in each.type for each in operation.op_def.attr)
    if calling and not tf.executing_eagerly():  # Another graph takes the operation, without the functions it calls.
        raise refusal(operation)
    try:
        return _computed(operation, inputs, dtype)
    except (tf.errors.OpError, TypeError, ValueError):
        pass
    try:
        own = [tf.cast(given, each.dtype) for given, each in zip(inputs, operation.inputs, strict=True)]
        return [cast(each, dtype) for each in _computed(operation, own, None)]
    except (tf.errors.OpError, TypeError, ValueError) as error:
        raise refusal(operation) from error


def refusal(operation: tf.Operation) -> ValueError:
    """Makes the error of an operation that cannot be evaluated outside the model, with the remedy."""
    remedy = "Compute it by other operations."
    if operation.type.endswith("While"):
        remedy = "Unroll loops (in Keras, unroll=True)."
    elif operation.type.endswith(("If", "Case")):
        remedy = "Branch in Python, or compute all branches and choose by tf.where."
    return ValueError(f"{named(operation)} cannot be evaluated outside the model. {remedy}")


def _computed(operation: tf.Operation, inputs: Sequence[Any], dtype: tf.DType | None) -> list[Any]:
    if operation.type == "Const":
        value = tf.get_static_value(operation.outputs[0])
        return [tf.constant(value, operation.outputs[0].dtype) if dtype is None else cast(value, dtype)]
    if operation.type == "ReadVariableOp":
        return [tf.convert_to_tensor(inputs[0])]
    if operation.type == "ResourceGather":
        return [tf.gather(*inputs)]
    if operation.type.startswith("FusedBatchNorm") and dtype is not None:
        return _batch_norm(operation, inputs)
    if operation.type in ("ResizeBilinear", "ResizeBicubic") and dtype is not None:
        return [_resized(operation, tf.cast(inputs[0], dtype), inputs[1])]
    if operation.type == "Conv2D" and dtype is not None and inputs[0].shape[-1] > inputs[1].shape[-2]:
        return [_grouped_convolution(operation, *inputs)]
    function, arguments, attributes = _raw(operation)
    given: dict[str, Any] = {
        name: _in_precision(value, dtype) if dtype is not None and isinstance(value, tf.DType) else value
        for name, value in attributes.items()
    }
    place = 0
    for name, count in arguments:
        given[name] = inputs[place] if count is None else inputs[place : place + count]
        place += count or 1
    result = function(**given)
    return list(result) if isinstance(result, list | tuple) else [result]


def _raw(operation: tf.Operation) -> tuple[Callable[..., Any], list[tuple[str, int | None]], dict[str, Any]]:
    """Returns TensorFlow's function for an operation, the names of its inputs, lists with a length, and attributes."""
    arguments: list[tuple[str, int | None]] = []
    inferred = set()
    for argument in operation.op_def.input_arg:
        inferred |= {argument.type_attr, argument.number_attr, argument.type_list_attr}
        several = argument.number_attr or argument.type_list_attr
        count = operation.get_attr(several) if several else None
        arguments.append((argument.name, count if count is None or isinstance(count, int) else len(count)))
    attributes = {
        each.name: operation.get_attr(each.name) for each in operation.op_def.attr if each.name not in inferred
    }
    function = getattr(tf.raw_ops, operation.type)
    # Passed by position, since a few arguments have another name in Python than in the operation.
    given = [*(name for name, _ in arguments), *attributes]
    accepted = [name for name in inspect.signature(function).parameters if name != "name"]
    wanted = [name for name in accepted if name not in given]
    renamed = dict(zip([name for name in given if name not in accepted], wanted, strict=False))
    return (
        function,
        [(renamed.get(name, name), count) for name, count in arguments],
        {renamed.get(name, name): value for name, value in attributes.items()},
    )


def _batch_norm(operation: tf.Operation, inputs: Sequence[Any]) -> list[Any]:
    """Evaluates batch norm in any type; TensorFlow's fused operation supports single precision only."""
    images, scale, offset, mean, variance = inputs
    shape = [1] * 4
    shape[1 if operation.get_attr("data_format").startswith(b"NC") else 3] = -1
    if operation.get_attr("is_training"):
        axes = [axis for axis in range(4) if shape[axis] == 1]
        mean, variance = tf.nn.moments(images, axes)
    mean, variance, scale, offset = (tf.reshape(each, shape) for each in (mean, variance, scale, offset))
    deviation = tf.sqrt(variance + operation.get_attr("epsilon"))
    outputs = (images - mean) / deviation * scale + offset
    return [outputs, *(tf.reshape(each, [-1]) for each in (mean, variance, mean, variance)), None][
        : len(operation.outputs)
    ]


def _resized(operation: tf.Operation, images: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Evaluates the resizing of images in any type; TensorFlow's operations give single precision only."""
    function = getattr(tf.raw_ops, operation.type)
    options = {name: operation.get_attr(name) for name in ("align_corners", "half_pixel_centers")}
    for axis, equation in ((0, "nhwc,oh->nowc"), (1, "nhwc,ow->nhoc")):
        places = tf.eye(images.shape[axis + 1])[tf.newaxis, :, tf.newaxis]
        matrix = function(images=places, size=tf.stack([size[axis], 1]), **options)[0, :, 0]
        images = tf.einsum(equation, images, tf.cast(matrix, images.dtype))
    return images


def _grouped_convolution(operation: tf.Operation, images: tf.Tensor, filters: tf.Tensor) -> tf.Tensor:
    """Evaluates a grouped convolution, channels last, group by group, which has a gradient on processors, too."""
    padding, groups = operation.get_attr("padding").decode(), images.shape[-1] // filters.shape[-2]
    strides, dilations = operation.get_attr("strides"), operation.get_attr("dilations")
    parts = zip(tf.split(images, groups, axis=-1), tf.split(filters, groups, axis=-1), strict=True)
    return tf.concat([tf.nn.conv2d(each, own, strides, padding, dilations=dilations) for each, own in parts], axis=-1)


def cast(value: Any, dtype: tf.DType) -> tf.Tensor:
    """Makes a tensor, a floating-point one in the given type, a complex one of its precision."""
    tensor = tf.convert_to_tensor(value)
    return tf.cast(tensor, _in_precision(tensor.dtype, dtype))


def _in_precision(own: tf.DType, dtype: tf.DType) -> tf.DType:
    """Returns the floating-point or complex type of another precision; any other as it is."""
    if own.is_complex:
        return tf.complex128 if dtype == tf.float64 else tf.complex64
    return dtype if own.is_floating else own
