"""What every network on sets needs once: the check of its inputs, and a network applied to each item."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.nets.polynomial import check_type, checked_sizes

Activation: TypeAlias = Callable[[tf.Tensor], tf.Tensor]


class SetNetwork(snt.Module):
    """Base of the networks on sets: `[batch, items, features]`, any number of items, one number of features.

    Attributes:
      input_size: The number of features: that of the first call that is not refused, unless the constructor knows it.
    """

    input_size: int

    def _initialize(self, values: tf.Tensor) -> None:
        """Makes, once, what depends on the number of features and their type."""

    def _checked(self, inputs: tf.Tensor, mask: Any = None) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Gives a checked batch and its mask, absent items 0, so that what stands there (NaN too) has no effect.

        At the first call it makes the weights, and notes the features only then: a call refused here leaves no trace.

        Raises:
          TypeError: As `checked_set`.
          ValueError: As `checked_set` and `_initialize`, or if the network was made for another number of features or
            another type.
        """
        values, present = checked_set(inputs, mask)
        if values.shape[2] != getattr(self, "input_size", values.shape[2]):
            raise ValueError(
                f"inputs of shape {values.shape} must have {self.input_size} features, as the network was made for."
            )
        # Sonnet's own property raises an error where there is none yet.
        check_type(values, *{each.dtype for each in tf.Module.variables.fget(self) if each.dtype.is_floating})
        self._initialize(values)
        self.input_size = values.shape[2]
        return values, present


def checked_set(inputs: tf.Tensor, mask: Any = None) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Checks a batch of sets, and sets absent items to 0.

    A set without an item is a `ValueError` where the mask's values are known, in eager mode or as a constant; an
    `InvalidArgumentError` where a graph runs; XLA, which has no assertions, goes on.

    Args:
      inputs: Sets, `[batch, items, features]`, floating point, the features known.
      mask: Which items are present, boolean, `[batch, items]`; None for all.

    Returns:
      The sets and the mask, as tensors.

    Raises:
      TypeError: If the mask is not boolean.
      ValueError: If one is not as above otherwise, or a set is known to have no item.
    """
    if isinstance(inputs, tf.RaggedTensor):
        raise ValueError("inputs must not be ragged: pass inputs.to_tensor() and a mask of the items present.")
    inputs = tf.convert_to_tensor(inputs)
    if inputs.shape.rank != 3 or inputs.shape[2] is None:
        raise ValueError(f"inputs of shape {inputs.shape} must be [batch, items, features], the features known.")
    if not inputs.dtype.is_floating:
        raise ValueError(f"inputs of type {inputs.dtype.name} must be floating point.")
    if 0 in inputs.shape[1:]:
        raise ValueError(f"inputs of shape {inputs.shape} must have at least one item and one feature.")
    if inputs.shape[1] is None:
        tf.debugging.Assert(tf.shape(inputs)[1] > 0, ["inputs must have at least one item in each set."])
    if mask is None:
        return inputs, None
    present = tf.convert_to_tensor(mask)
    if present.dtype != tf.bool:
        raise TypeError(f"mask of type {present.dtype.name} must be boolean, True where an item is present.")
    if present.shape.rank != 2 or not present.shape.is_compatible_with(inputs.shape[:2]):
        raise ValueError(f"mask of shape {present.shape} must be [batch, items], as inputs of shape {inputs.shape}.")
    known = tf.get_static_value(present)
    if known is None:
        tf.debugging.Assert(
            tf.reduce_all(tf.reduce_any(present, axis=1)), ["mask must leave each set at least one item."]
        )
    elif not known.any(axis=1).all():
        empty = int(np.argmin(known.any(axis=1)))
        raise ValueError(f"mask must leave each set at least one item, and leaves none in set {empty} of the batch.")
    return tf.where(present[:, :, None], inputs, tf.zeros([], inputs.dtype)), present


def dense(argument: str, widths: Iterable[int], activation: Activation, name: str, is_last: bool = False) -> snt.Module:
    """Makes dense layers of checked widths, the activation after each, but not after the last if `is_last`."""
    checked = checked_sizes(argument, widths)
    return snt.nets.MLP(checked, activation=activation, activate_final=not is_last, name=name)


def on_items(network: Callable[[tf.Tensor], tf.Tensor], items: tf.Tensor) -> tf.Tensor:
    """Applies a network on `[batch, features]` to each item: `[..., features]` to `[..., outputs]`.

    All items are one batch, so that the gradient of a dense layer is one matrix product, not one for each set.
    """
    outputs = network(tf.reshape(items, [-1, items.shape[-1]]))
    return tf.reshape(outputs, [*sizes(items)[:-1], outputs.shape[-1]])


def sizes(values: tf.Tensor) -> Sequence[Any]:
    """Gives the sizes of a tensor: integers where they are known, else scalars of the graph."""
    dynamic = tf.shape(values)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(values.shape)]
