"""The base class of networks on sets, and helpers that apply networks to each item."""

import abc
from collections.abc import Callable, Iterable
from typing import Any

import sonnet as snt
import tensorflow as tf

from weirdonetworks.nets.base_module import Activation, BaseModule, Initializer
from weirdonetworks.nets.inputs import checked_set, checked_sizes, sizes


class SetNetwork(BaseModule):
    """The base class of networks on sets `[batch, items, features]`, with any number of items.

    Attributes:
      input_size: The number of features: that of the first valid call, unless set by the constructor.
    """

    input_size: int

    def _initialize(self, values: tf.Tensor) -> None:
        """Creates the weights, once, given the number of features and their type."""

    def _checked(self, inputs: tf.Tensor, mask: Any = None) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns a checked batch, absent items replaced by 0 (even NaN), and its mask; errors as in a call.

        The first call creates the weights and sets `input_size`; a call that raises here changes nothing.
        """
        values, present = checked_set(inputs, mask)
        if values.shape[2] != getattr(self, "input_size", values.shape[2]):
            raise ValueError(
                f"inputs of shape {values.shape} must have {self.input_size} features, as the network was made for."
            )
        self._initialize(values)
        self.input_size = values.shape[2]
        return values, present


class MaskedSetNetwork(SetNetwork, abc.ABC):
    """The base class of networks that take sets and a mask, and nothing else."""

    def __call__(self, inputs: tf.Tensor, mask: Any = None) -> tf.Tensor:
        """Maps `[batch, items, features]` to the outputs that the class states.

        Args:
          inputs: The sets.
          mask: Which items are present, boolean, `[batch, items]`; None for all.

        Raises:
          TypeError: If the mask is not boolean.
          ValueError: If the shape of inputs or mask is wrong, a set is known to be empty, or the number of features
            differs from the first call.
        """
        return self._outputs(*self._checked(inputs, mask))

    @abc.abstractmethod
    def _outputs(self, items: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
        """Maps checked items, absent ones 0, and their mask to the outputs."""


def dense(
    argument: str,
    widths: Iterable[int],
    activation: Activation,
    w_init: Initializer,
    b_init: Initializer,
    name: str,
    is_last: bool = False,
) -> snt.Module:
    """Makes dense layers of checked widths, the activation after each, but not after the last if `is_last`."""
    checked = checked_sizes(argument, widths)
    return snt.nets.MLP(checked, w_init, b_init, activation=activation, activate_final=not is_last, name=name)


def on_items(network: Callable[[tf.Tensor], tf.Tensor], items: tf.Tensor) -> tf.Tensor:
    """Applies a network on `[batch, features]` to each item: `[..., features]` to `[..., outputs]`.

    All items are one batch, so that the gradient of a dense layer is one matrix product, not one for each set.
    """
    outputs = network(tf.reshape(items, [-1, items.shape[-1]]))
    return tf.reshape(outputs, [*sizes(items)[:-1], outputs.shape[-1]])


def checked_per_item(argument: str, values: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Returns numbers of items, `[batch, items]`, in the items' type, `[batch, items, 1]`, after checking the shape."""
    if values.shape.rank != 2 or not values.shape.is_compatible_with(items.shape[:2]):
        raise ValueError(
            f"{argument} of shape {values.shape} must be [batch, items], as inputs of shape {items.shape}."
        )
    return tf.cast(values, items.dtype)[:, :, None]
