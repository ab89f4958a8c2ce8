"""Networks as functions of the values of their variables."""

import copy
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class Value(tf.Variable):
    """A tensor in place of a variable; its value is what was assigned last.

    >>> value = Value(tf.constant([1.0, 2.0]), trainable=True)
    >>> _ = value.assign_add([1.0, 1.0])
    >>> (value * 2.0).numpy().tolist()
    [4.0, 6.0]
    """

    def __init__(self, tensor: tf.Tensor, trainable: bool):
        """Starts from a tensor.

        Args:
          tensor: The first value.
          trainable: Whether a module counts it among its trainable variables.
        """
        self._tensor = tensor
        self._trainable = trainable

    trainable = property(lambda self: self._trainable)
    dtype = property(lambda self: self._tensor.dtype)
    shape = property(lambda self: self._tensor.shape)
    name = property(lambda self: "value")

    def value(self) -> tf.Tensor:
        """Returns the tensor assigned last."""
        return self._tensor

    read_value = _AsTensor = value  # The two other names under which TensorFlow reads a variable.

    def __tf_tensor__(self, dtype: tf.DType | None = None, name: str | None = None) -> tf.Tensor:
        return tf.convert_to_tensor(self._tensor, dtype, name=name)

    def assign(self, value: Any, *_: Any, **__: Any) -> "Value":
        """Assigns a new value of the same shape and type."""
        self._tensor = tf.ensure_shape(tf.convert_to_tensor(value, self.dtype), self.shape)
        return self

    def assign_add(self, delta: Any, *_: Any, **__: Any) -> "Value":
        """Adds to the value."""
        return self.assign(self._tensor + tf.convert_to_tensor(delta, self.dtype))

    def assign_sub(self, delta: Any, *_: Any, **__: Any) -> "Value":
        """Subtracts from the value."""
        return self.assign(self._tensor - tf.convert_to_tensor(delta, self.dtype))

    def __repr__(self) -> str:
        return f"Value({self._tensor!r})"


def with_values(
    network: Any, variables: Sequence[tf.Variable], tensors: Sequence[tf.Tensor]
) -> tuple[Any, list[Value]]:
    """Copies a network, with tensors in place of the variables that it reaches by attributes.

    >>> import sonnet as snt
    >>> linear = snt.Linear(1, with_bias=False)
    >>> _ = linear(tf.ones([1, 2]))
    >>> doubled, (weight,) = with_values(linear, linear.variables, [tf.constant([[2.0], [2.0]])])
    >>> doubled(tf.ones([1, 2])).numpy().item(), weight.shape.as_list()
    (4.0, [2, 1])

    Args:
      network: A network with variables, that is, after its first call.
      variables: Some of them.
      tensors: A tensor in the place of each, of its shape.

    Returns:
      The copy, and the `Value`s in it, whose `value()` is what calls of the copy have assigned.

    Raises:
      TypeError: If the network cannot be copied.
    """
    values = [Value(tensor, variable.trainable) for variable, tensor in zip(variables, tensors, strict=True)]
    # `deepcopy` replaces each object in the memo by its entry.
    memo: dict[int, object] = {id(variable): value for variable, value in zip(variables, values, strict=True)}
    try:
        return copy.deepcopy(network, memo), values
    except (TypeError, NotImplementedError) as error:
        raise TypeError(f"network (={network!r}) must be one that can be copied ({error}).") from error
