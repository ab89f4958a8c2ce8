"""Models to be measured: checks that a function of a batch computes in a floating-point type, and its calls."""

import math
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf
from tqdm import tqdm

from weirdonetworks.algebra.arrays import array, brief
from weirdonetworks.measure.precision import checked_dtype, full_float32, in_dtype, variables_of
from weirdonetworks.nets.inputs import checked_function

Model: TypeAlias = Callable[[tf.Tensor], tf.Tensor]


def ready(model: Model, example: npt.NDArray[Any], dtype: tf.DType, name: str = "model") -> Model:
    """Returns a model, or its copy in another type, called once so that its variables exist; messages call it `name`.

    Raises:
      TypeError: If it cannot be called, or cannot be copied into the type.
      ValueError: If it does not compute in the type, or does not return an output for each input.
    """
    if not callable(model):
        raise TypeError(
            f"{name} (={named(model)}) must be a function of a batch. Of a SavedModel give one, such as `model.serve`."
        )
    dtype = checked_dtype(dtype)
    if isinstance(model, snt.Module):
        if not variables_of(model):
            model(tf.cast(example, tf.float32))
        model = in_dtype(model, dtype)
    remedy = (
        "Give a Sonnet module, a function of precision.in_dtype(module, dtype), or a Keras model built in that dtype."
    )
    try:
        outputs = model(tf.cast(example, dtype))
    except (tf.errors.InvalidArgumentError, TypeError, ValueError) as error:
        cause = cause_of(error)
        if dtype == tf.float32:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{name} (={named(model)}) must be a function of a batch of such inputs: {cause}") from error
        raise ValueError(
            f"{name} (={named(model)}) must compute in {dtype.name}, and fails: {cause} {remedy}"
        ) from error
    if not tf.is_tensor(outputs) or outputs.shape[:1] != [1]:
        raise ValueError(f"{name} (={named(model)}) must give a tensor [inputs, ...], an output for each input.")
    if outputs.dtype != dtype:
        raise ValueError(
            f"{name} (={named(model)}) must compute in {dtype.name}, and gives {outputs.dtype.name}. {remedy}"
        )
    return model


def checked_inputs(inputs: npt.ArrayLike, name: str = "inputs") -> npt.NDArray[Any]:
    """Returns inputs `[inputs, ...]` as an array; messages call them `name`.

    Raises:
      TypeError: If they are words or other objects.
      ValueError: If there is no input, or none has a number, or the array has fewer than two axes.
    """
    values = array(name, inputs)
    if values.dtype.kind in "OSUMm":
        raise TypeError(f"{name} (={brief(inputs)}) must be numbers.")
    if values.ndim < 2 or not values.size:
        raise ValueError(f"{name} of shape {values.shape} must be [inputs, ...], at least one, and not empty.")
    return values


def check_finite(weights: Iterable[tuple[str, npt.ArrayLike]], model: str = "model") -> None:
    """Raises a `ValueError` if one of a model's weights, given with their names, holds NaN or infinity.

    >>> check_finite([("linear/w", [[1.0, 2.0]]), ("linear/b", [0.0])])

    Args:
      weights: The name and the values of each.
      model: What the message calls the model.
    """
    for name, values in weights:
        if not np.isfinite(values).all():
            raise ValueError(f"{model} must have finite weights; {name} holds NaN or infinity.")


def checked_loss(
    loss: Callable[[Any, Any], Any],
    labels: npt.ArrayLike,
    outputs: Any,
    name: str = "labels",
    inputs: str = "example_inputs",
) -> float:
    """Returns the mean loss of labels and outputs; messages call the labels `name`, and what gave the outputs `inputs`.

    >>> checked_loss(tf.nn.sparse_softmax_cross_entropy_with_logits, [1], [[-200.0, 0.0]])
    0.0

    Raises:
      TypeError: If the loss is no function of two arguments.
      ValueError: If it does not take such labels with the outputs, as of classes that there are not, or is NaN, which
        may be for outputs of NaN or infinity.
    """
    checked_function("loss", loss, takes=2)
    try:
        mean = float(tf.reduce_mean(loss(tf.convert_to_tensor(labels), outputs)))
    except (tf.errors.OpError, TypeError, ValueError) as error:
        raise ValueError(f"{name} (={brief(labels)}) must suit the loss and the outputs: {cause_of(error)}") from error
    if math.isnan(mean):
        if not all(np.isfinite(each).all() for each in tf.nest.flatten(outputs)):
            raise ValueError(f"{inputs} must give outputs whose loss is a number, and some are NaN or infinite.")
        raise ValueError(f"{name} (={brief(labels)}) must suit the loss, whose mean is NaN.")
    return mean


def cause_of(error: Exception) -> str:
    r"""Returns the first line of an error's message, without what TensorFlow adds: operations, and all of the labels.

    >>> cause_of(ValueError("{{function_node f}} Sizes differ: 3, 4 [Op:MatMul] name: \n..."))
    'Sizes differ: 3, 4'
    """
    line = next(iter(str(error).splitlines()), "")
    return re.sub(r"\{\{\w+ [^}]*\}\} ?|\s+Label values: .*|\s*\[Op:.*", "", line) or type(error).__name__


def in_pieces(
    compute: Callable[..., Any],
    values: npt.NDArray[Any],
    length: int,
    dtype: tf.DType,
    *others: tf.Tensor,
    doing: str = "differentiating",
) -> Iterator[Any]:
    """Yields a traced function's results for chunks of `length` inputs, with the same further arguments for each.

    Products of float32 are not rounded to TF32. The progress bar is labelled with what it is `doing`.
    """
    for start in tqdm(range(0, len(values), length), desc=doing, unit="piece", leave=False, disable=None):
        # Cast outside the graph: inside, TensorFlow transposes bytes before the cast, and its kernel prints an error.
        piece = tf.cast(values[start : start + length], dtype)
        with full_float32():
            result = compute(piece, *others)
        yield result


def named(model: object) -> str:
    """Formats a model, or the argument in its place, on one short line; Sonnet's `repr` may take many."""
    return textwrap.shorten(repr(model), 200, placeholder=" ...")
