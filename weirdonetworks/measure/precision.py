"""Precision: networks in float64 to tell rounding errors from their own, and float32 products without TF32."""

import contextlib
import copy
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import brief, instance
from weirdonetworks.measure.unit_tracing.naming import name_of
from weirdonetworks.nets.base_module import keras_layers

Module = TypeVar("Module", bound=snt.Module)


def checked_dtype(dtype: Any) -> tf.DType:
    """Returns a floating-point type.

    >>> checked_dtype("float64")
    tf.float64

    Raises:
      TypeError: If it is no type of TensorFlow.
      ValueError: If it is not floating point.
    """
    try:
        given = tf.as_dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype (={brief(dtype)}) must be a type of TensorFlow, such as tf.float64.") from None
    if not given.is_floating:
        raise ValueError(f"dtype (={given.name}) must be floating point.")
    return given


def in_dtype(module: Module, dtype: tf.DType) -> Module:
    """Copies a module with its floating-point variables cast to another type; the original is unchanged.

    A module that computes in the type of its inputs then computes in that type, with the same weights up to rounding.

    >>> linear = snt.Linear(2)
    >>> _ = linear(tf.ones([1, 3]))
    >>> in_dtype(linear, tf.float64)(tf.ones([1, 3], tf.float64)).dtype.name, linear.w.dtype.name
    ('float64', 'float32')

    Args:
      module: A module, called once so that its variables exist. Variables that no attribute reaches, such as those in
        the closure of a function, keep their type.
      dtype: The type, a floating-point one.

    Returns:
      The copy; the module itself if all its variables already have that type.

    Raises:
      TypeError: If the module cannot be copied.
      ValueError: If the type is not a floating-point one.
    """
    dtype = checked_dtype(dtype)
    others = [each for each in variables_of(module) if each.dtype.is_floating and each.dtype != dtype]
    if not others:
        return module
    cast = [tf.Variable(tf.cast(each, dtype), trainable=each.trainable, name=name_of(each)) for each in others]
    return with_variables(module, others, cast)


def with_variables(module: Module, variables: Iterable[tf.Variable], others: Iterable[Any]) -> Module:
    """Copies a module with variables replaced wherever attributes reach them; the original is unchanged.

    >>> linear = snt.Linear(1, with_bias=False)
    >>> _ = linear(tf.ones([1, 2]))
    >>> with_variables(linear, [linear.w], [tf.constant([[2.0], [2.0]])])(tf.ones([1, 2])).numpy().item()
    4.0

    Args:
      module: A module, called once so that its variables exist.
      variables: The variables to replace.
      others: Their replacements, in the same order.

    Raises:
      TypeError: If the module cannot be copied, or some of the variables are in a Keras model.
    """
    variables = tuple(variables)
    in_keras = {id(weight.value) for layer in keras_layers(module) for weight in layer.weights}
    if not in_keras.isdisjoint(map(id, variables)):
        # Keras copies a model by saving and loading it, which makes new variables.
        raise TypeError(
            f"module (={type(module).__name__}) must not hold a Keras model to be copied with other variables. For "
            "another type, build the model in it (dtype='float64'); train several networks one after another."
        )
    # `copy.deepcopy` uses the memo's entry for an object in place of a copy of it.
    memo: dict[int, Any] = {id(variable): other for variable, other in zip(variables, others, strict=True)}
    try:
        return copy.deepcopy(module, memo)
    # TensorFlow raises the last for variables while a graph is built.
    except (TypeError, NotImplementedError) as error:
        raise TypeError(
            f"module (={module!r}) must be one that can be copied ({error}): let it hold no open file or thread."
        ) from error


_rounding = threading.Lock()
_before: list[bool] = []  # The setting as each that is within `full_float32` has found it.


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Computes products and convolutions of float32 within in float32, also on GPUs.

    By default NVIDIA's GPUs round their factors to TF32, whose relative rounding error is 2^-11 where that of float32
    is 2^-24. The setting is one for the whole process: whatever other threads compute meanwhile is not rounded either,
    until the last thread has left.
    A function that XLA has compiled before keeps what it was compiled with.

    >>> tf.config.experimental.enable_tensor_float_32_execution(True)
    >>> with full_float32():
    ...     print(tf.config.experimental.tensor_float_32_execution_enabled())
    False
    >>> tf.config.experimental.tensor_float_32_execution_enabled()
    True
    """
    with _rounding:
        _before.append(tf.config.experimental.tensor_float_32_execution_enabled())
        tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        with _rounding:
            # The setting of the first to enter; those within have found it switched off.
            earliest = _before[0]
            _before.pop()
            if not _before:
                tf.config.experimental.enable_tensor_float_32_execution(earliest)


def variables_of(module: snt.Module) -> tuple[tf.Variable, ...]:
    """Lists a module's variables; none before its first call, where Sonnet's property raises an error.

    >>> variables_of(snt.Linear(2))
    ()
    """
    return tuple(tf.Module.variables.fget(instance("module", module, tf.Module)))
