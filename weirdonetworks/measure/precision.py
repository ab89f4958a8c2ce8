"""A network in another floating-point type, so that an error of rounding can be told from one of the network."""

import copy
from typing import TypeVar

import sonnet as snt
import tensorflow as tf

Module = TypeVar("Module", bound=snt.Module)


def in_dtype(module: Module, dtype: tf.DType) -> Module:
    """Copies a module, its floating-point variables in another type; the module itself is left alone.

    What computes in the type of its inputs then computes in that type, from the same numbers as far as it holds them.

    >>> linear = snt.Linear(2)
    >>> _ = linear(tf.ones([1, 3]))
    >>> in_dtype(linear, tf.float64)(tf.ones([1, 3], tf.float64)).dtype.name, linear.w.dtype.name
    ('float64', 'float32')

    Args:
      module: A module that has its variables, as it has after its first call. Those that it reaches by no attribute,
        but in a function that it was given, keep their type.
      dtype: The type, a floating-point one.

    Returns:
      The copy; the module itself where all its variables are of that type.

    Raises:
      TypeError: If the module cannot be copied.
      ValueError: If the type is no floating-point one.
    """
    dtype = tf.as_dtype(dtype)
    if not dtype.is_floating:
        raise ValueError(f"dtype (={dtype.name}) must be floating point.")
    others = [each for each in variables_of(module) if each.dtype.is_floating and each.dtype != dtype]
    if not others:
        return module
    # A copy takes what the memo holds for an object wherever it meets that object.
    memo: dict[int, object] = {
        id(each): tf.Variable(tf.cast(each, dtype), trainable=each.trainable, name=each.name.partition(":")[0])
        for each in others
    }
    try:
        return copy.deepcopy(module, memo)
    except (TypeError, NotImplementedError) as error:
        raise TypeError(
            f"module (={module!r}) must be one that can be copied ({error}). Build it anew on {dtype.name} inputs."
        ) from error


def variables_of(module: snt.Module) -> tuple[tf.Variable, ...]:
    """Lists a module's variables; none before its first call, where the property of Sonnet's raises an error.

    >>> variables_of(snt.Linear(2))
    ()
    """
    return tuple(tf.Module.variables.fget(module))
