"""Checks of arguments, inputs and outputs that all layers share.

A `checked_...` function returns the value, converted where needed; a `check_...` function returns nothing. Each raises
a `ValueError` or `TypeError` that names the argument, shows the value and states the rule, on one line.
"""

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import accepts, at_least, brief, listed

WIDTH = 2**24  # The most units of a layer: their weights take 64 MB for each input.
DEPTH = 4096  # The most blocks of a stack.
ARGUMENTS = ("is_training", "seed")  # Keyword arguments that calls of networks may take.

Function = TypeVar("Function", bound=Callable[..., Any])


def checked_function(argument: str, function: Function, takes: int = 0) -> Function:
    """Returns a module or function; raises a `TypeError` if it is neither, or does not take so many arguments.

    >>> checked_function("activation", tf.nn.relu, takes=1) is tf.nn.relu
    True
    """
    if not accepts(function, takes):
        arguments = f" of {takes} argument{'s' * (takes > 1)}" if takes else ""
        raise TypeError(f"{argument} (={brief(function)}) must be a module or a function{arguments}.")
    return function


def checked_takes(takes: Iterable[str]) -> tuple[str, ...]:
    """Returns the keyword arguments that a network takes; raises a `ValueError` or `TypeError` if one is not known.

    >>> checked_takes(["seed"])
    ('seed',)
    """
    names = listed("takes", takes, "names")
    if not all(isinstance(each, str) and each in ARGUMENTS for each in names):
        raise ValueError(f"takes (={takes!r}) must hold is_training and seed only.")
    return tuple(names)


def checked_choice(argument: str, choice: str, choices: Collection[str]) -> str:
    """Returns an option; raises a `ValueError` if it is not one of the choices.

    >>> checked_choice("reduce", "sum", ("concat", "sum"))
    'sum'
    """
    if not isinstance(choice, str) or choice not in choices:
        raise ValueError(f"{argument} (={choice!r}) must be one of {', '.join(choices)}.")
    return choice


def checked_sizes(argument: str, sizes: Iterable[int], can_be_empty: bool = False) -> list[int]:
    """Returns the widths of layers, at least 1 each, as integers; a `TypeError` if they are not a list of integers.

    >>> checked_sizes("output_sizes", (np.int64(3), 1))
    [3, 1]
    """
    if not np.iterable(sizes):
        raise TypeError(f"{argument} (={sizes!r}) must be a list of integers, one a layer.")
    checked = [at_least(argument, size, 1, WIDTH) for size in sizes]
    if not (checked or can_be_empty):
        raise ValueError(f"{argument} must hold at least one.")
    return checked


def checked_bias(b_init: snt.initializers.Initializer | None, with_bias: bool) -> snt.initializers.Initializer:
    """Returns the initializer of biases, by default zeros; raises a `ValueError` if there are none to initialize."""
    if b_init is not None and not with_bias:
        raise ValueError("b_init must be None where with_bias is False: there is no bias.")
    return snt.initializers.Zeros() if b_init is None else checked_initializer("b_init", b_init)


def checked_initializer(argument: str, initializer: Function) -> Function:
    """Returns an initializer; raises a `TypeError` if it is not a function of a shape and a type."""
    if not accepts(initializer, 2):
        raise TypeError(f"{argument} (={brief(initializer)}) must be an initializer, such as snt.initializers.Zeros().")
    return initializer


def checked_seed(seed: tf.Tensor | tuple[int, int] | None, purpose: str) -> tf.Tensor:
    """Returns the seed of one training step as a tensor.

    >>> checked_seed((1, 2), "dropout").numpy().tolist()
    [1, 2]

    Raises:
      ValueError: If it is None, or not two integers; the message names the purpose that needs it.
    """
    if seed is None:
        raise ValueError(f"seed (=None) must be given in training with {purpose}: int32 [2], new at each step.")
    given = checked_tensor(seed, "seed")
    if not given.dtype.is_integer or not given.shape.is_compatible_with([2]):
        raise ValueError(f"seed of type {given.dtype.name} and shape {given.shape} must be two integers.")
    return given


def checked_tensor(inputs: Any, name: str = "inputs", dtype: tf.DType | None = None) -> Any:
    """Returns inputs as a tensor: a NumPy array in its own type, a list of floats in float32; tensors as they are.

    Given a type, all others are converted to it, and a tensor must have it.

    >>> checked_tensor(np.zeros([2, 3])).dtype.name, checked_tensor([1.0, 2.0]).dtype.name
    ('float64', 'float32')

    Raises:
      TypeError: If they are a ragged or sparse tensor or a symbolic one of Keras, or cannot be a tensor, such as lists
        of unequal lengths or an array of objects.
    """
    if isinstance(inputs, tf.RaggedTensor | tf.SparseTensor):
        remedy = f"{name}.to_tensor()" if isinstance(inputs, tf.RaggedTensor) else f"tf.sparse.to_dense({name})"
        raise TypeError(f"{name} must be a dense tensor: pass {remedy}.")
    if dtype is None and tf.is_tensor(inputs):
        return inputs
    if type(inputs).__name__ == "KerasTensor":  # By name, lest Keras be imported.
        raise TypeError(
            f"{name} (={brief(inputs)}) is a symbolic tensor of Keras: in a Keras model use "
            "weirdonetworks.keras.Layer(module)."
        )
    try:
        return tf.convert_to_tensor(inputs, dtype)
    except (TypeError, ValueError) as error:
        kind = f" of type {dtype.name}" if dtype else ""
        raise TypeError(
            f"{name} (={brief(inputs)}) must be a tensor{kind}, or an array or list of numbers of one shape."
        ) from error


def checked_floats(inputs: tf.Tensor, name: str = "inputs") -> tf.Tensor:
    """Returns floating-point inputs as a tensor; raises a `ValueError` if they are of another type."""
    inputs = checked_tensor(inputs, name)
    if not inputs.dtype.is_floating:
        raise ValueError(f"{name} of type {inputs.dtype.name} must be floating point.")
    return inputs


def is_known(shape: tf.TensorShape) -> bool:
    """Tests whether a shape has an axis after the batch, and all sizes after the batch are known.

    >>> is_known(tf.TensorShape([None, 3])), is_known(tf.TensorShape([3, None])), is_known(tf.TensorShape(None))
    (True, False, False)
    """
    return shape.rank is not None and shape.rank >= 2 and bool(shape[1:].is_fully_defined())


def sizes(values: tf.Tensor) -> list[Any]:
    """Returns the sizes of a tensor: integers where they are static, else scalar tensors."""
    return [tf.shape(values)[axis] if size is None else size for axis, size in enumerate(values.shape)]


def flattened(inputs: tf.Tensor) -> tf.Tensor:
    """Flattens inputs `[batch, ...]`, converted to a tensor, to `[batch, n]`.

    Raises:
      ValueError: If a size after the batch is not known or 0, or the type is not floating point.
    """
    inputs = checked_tensor(inputs)
    if not is_known(inputs.shape) or 0 in inputs.shape[1:]:
        raise ValueError(
            f"inputs of shape {inputs.shape} must be [batch, ...], all sizes after the batch known and above 0."
        )
    return tf.reshape(checked_floats(inputs), [-1, math.prod(inputs.shape[1:])])


def check_type(inputs: tf.Tensor, *types: tf.DType) -> None:
    """Raises a `ValueError` unless inputs have one of the given types of the weights; any if none is given."""
    if types and inputs.dtype not in types:
        raise ValueError(f"inputs of type {inputs.dtype.name} must be {types[0].name}, as the weights are.")


def check_width(inputs: tf.Tensor, width: int) -> None:
    """Raises a `ValueError` unless inputs `[batch, ...]`, flattened, have a given width."""
    if math.prod(inputs.shape[1:]) != width:
        raise ValueError(f"inputs of shape {inputs.shape} must have width {width}, as at the first call.")


def checked_images(images: tf.Tensor, minimum: int = 1) -> tf.Tensor:
    """Returns images `[batch, height, width, channels]`, floating point, as a tensor.

    Raises:
      ValueError: If they are none, a size after the batch is not known or 0, or a side is below `minimum`.
    """
    images = checked_tensor(images, "images")
    if images.shape.rank != 4 or not is_known(images.shape):
        raise ValueError(f"images of shape {images.shape} must be [batch, height, width, channels], all sizes known.")
    if min(images.shape[1:3]) < minimum:
        raise ValueError(f"images of shape {images.shape} must be at least {minimum} x {minimum} pixels.")
    if not images.shape[3]:
        raise ValueError(f"images of shape {images.shape} must have at least one channel.")
    return checked_floats(images, "images")


def checked_units(inputs: tf.Tensor) -> tf.Tensor:
    """Returns the units of a dense layer, `[batch, units]`, floating point, as a tensor; a `ValueError` otherwise."""
    inputs = checked_tensor(inputs)
    if inputs.shape.rank != 2 or not is_known(inputs.shape):
        raise ValueError(f"inputs of shape {inputs.shape} must be [batch, units], the units known.")
    return checked_floats(inputs)


def checked_set(inputs: tf.Tensor, mask: Any = None) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Checks a batch of sets, and replaces masked items by 0.

    An empty set raises a `ValueError` where the mask's values are known, in eager mode or as a constant, and an
    `InvalidArgumentError` when a graph runs; under XLA, which drops assertions, it goes unnoticed.

    Args:
      inputs: Sets, `[batch, items, features]`, floating point, the features known.
      mask: Which items are present, boolean, `[batch, items]`; None for all.

    Returns:
      The sets and the mask, as tensors.

    Raises:
      TypeError: If the mask is not boolean.
      ValueError: If the shape or type of an argument is wrong otherwise, or a set is known to be empty.
    """
    if isinstance(inputs, tf.RaggedTensor):
        raise ValueError("inputs must not be ragged: pass inputs.to_tensor() and a mask of the items present.")
    inputs = checked_tensor(inputs)
    if inputs.shape.rank != 3 or inputs.shape[2] is None:
        raise ValueError(f"inputs of shape {inputs.shape} must be [batch, items, features], the features known.")
    if 0 in checked_floats(inputs).shape[1:]:
        raise ValueError(f"inputs of shape {inputs.shape} must have at least one item and one feature.")
    if inputs.shape[1] is None:
        tf.debugging.Assert(tf.shape(inputs)[1] > 0, ["inputs must have at least one item in each set."])
    if mask is None:
        return inputs, None
    present = checked_mask(mask, inputs.shape[:2])
    if tf.get_static_value(present) is None:
        each = tf.reduce_any(present, axis=1)
        tf.debugging.Assert(tf.reduce_all(each), ["mask must leave each set at least one item."])
    return masked(inputs, present), present


def masked(values: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
    """Replaces values of absent items by 0, even NaN, `[batch, items, features]`; a mask of None keeps all."""
    return values if present is None else tf.where(present[:, :, None], values, tf.zeros([], values.dtype))


def checked_mask(mask: Any, shape: tf.TensorShape) -> tf.Tensor:
    """Returns the mask of items of a shape `[..., items]`, boolean and not known to leave a set empty, as a tensor."""
    present = checked_tensor(mask, "mask")
    if present.dtype != tf.bool:
        raise TypeError(f"mask of type {present.dtype.name} must be boolean, True where an item is present.")
    if present.shape.rank is None or not present.shape.is_compatible_with(shape):
        raise ValueError(f"mask of shape {present.shape} must have shape {shape}, that of the items.")
    known = tf.get_static_value(present)
    if known is not None and not known.any(axis=-1).all():
        empty = int(np.argmin(known.any(axis=-1)))
        raise ValueError(f"mask must leave each set at least one item, and leaves none in set {empty} of the batch.")
    return present
