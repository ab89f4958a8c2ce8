"""Optimizers that mask the gradients before, and the weights after each step."""

import contextlib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf


class WeightMasks(Protocol):
    """What an optimizer needs of `Masks`."""

    def masked(
        self, gradients: Sequence[Any], variables: Sequence[Any] | None = None, corrects_fan_in: bool = False
    ) -> list[Any]: ...

    def apply(self) -> None: ...

    def cut_moments(self, optimizer: Any, parameters: Sequence[Any]) -> None: ...


class _Masking:
    """Overrides of an optimizer's methods, put before its class.

    Attributes:
      masks: The masks.
      corrects_fan_in: Whether gradients are scaled by the fan-in, as `Masks.masked` does.
    """

    masks: WeightMasks
    corrects_fan_in: bool
    _holds_zeros: bool = False

    def apply(self, updates: Sequence[Any], parameters: Sequence[Any], *options: Any) -> list[Any]:
        """Applies masked updates; returns them."""
        updates = self.masks.masked(updates, parameters, self.corrects_fan_in)
        super().apply(updates, parameters, *options)  # type: ignore[misc]
        if not self._holds_zeros:
            self.masks.apply()
        return updates

    @contextlib.contextmanager
    def zeros_held(self, parameters: Sequence[Any]) -> Iterator[None]:
        """Masks weights and moments at once instead of weights after each step, if the optimizer has `keeps_zeros`.

        For steps between which neither masks nor weights are assigned; also within a `tf.function`.

        Args:
          parameters: The variables that the optimizer trains, in its order.
        """
        wrapped = type(self).__bases__[-1]
        if not ("keeps_zeros" in vars(wrapped) and self.keeps_zeros):  # type: ignore[attr-defined]
            yield
            return
        self.masks.apply()
        self.masks.cut_moments(self, parameters)
        self._holds_zeros = True
        try:
            yield
        finally:
            self._holds_zeros = False


class _KerasMasking(_Masking):
    """Overrides of a Keras optimizer's methods, put before its class."""

    built: bool
    _trainable_variables: Sequence[Any]

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> list[Any]:
        """Applies masked gradients, by default of the variables that the optimizer was built for; returns them."""
        if trainable_variables is not None or not self.built:
            return super().apply(grads, list(trainable_variables or ()))
        return super().apply(grads, self._trainable_variables)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Sets the variables to their averages, if it has any, and masks them."""
        super().finalize_variable_values(var_list)  # type: ignore[misc]
        self.masks.apply()


def masked_optimizer(optimizer: Any, masks: WeightMasks, corrects_fan_in: bool = False) -> Any:
    """Changes an optimizer's class to a subclass of it whose `apply` masks gradients and weights; returns it.

    A subclass, since Keras and users ask for the class, and set attributes such as the learning rate.

    Raises:
      TypeError: If it has no method `apply`.
      ValueError: If it is wrapped already.
    """
    original = type(optimizer)
    if isinstance(optimizer, type | str) or not callable(getattr(optimizer, "apply", None)):
        raise TypeError(
            f"optimizer (={optimizer!r}) must be an object with apply(gradients, variables), such as "
            "snt.optimizers.Adam(1e-3) or keras.optimizers.Adam(1e-3)."
        )
    if isinstance(optimizer, _Masking):
        raise ValueError(f"optimizer (a {original.__name__}) is wrapped by masks already: wrap a new one.")
    masking = _KerasMasking if hasattr(optimizer, "finalize_variable_values") else _Masking
    # Named as it was: Keras saves that name with a model.
    named = {"__module__": original.__module__, "__qualname__": original.__qualname__, "__doc__": original.__doc__}
    optimizer.__class__ = types.new_class(
        original.__name__, (masking, original), exec_body=lambda space: space.update(named)
    )
    optimizer.masks, optimizer.corrects_fan_in = masks, corrects_fan_in
    return optimizer


def reset_moments(optimizer: Any, parameters: Sequence[Any], changed: Mapping[int, Any]) -> None:
    """Sets the moments of an optimizer to zero at some entries of its parameters.

    Moments are lists of variables that have, one by one, the shapes of the parameters, as Sonnet, Keras and this
    package hold them; before the first step there may be none.

    Args:
      optimizer: The optimizer.
      parameters: The TensorFlow variables that it trains, in its order.
      changed: Where to reset, by the parameter's `id`: boolean arrays of its shape.
    """
    for value in vars(optimizer).values():
        if hasattr(type(value), "finalize_variable_values"):  # Keras' scaling of losses holds an optimizer.
            reset_moments(value, parameters, changed)
        if not isinstance(value, Sequence) or len(value) != len(parameters):
            continue
        moments: list[Any] = [each if isinstance(each, tf.Variable) else getattr(each, "value", None) for each in value]
        pairs = list(zip(moments, parameters, strict=True))
        if any(not isinstance(each, tf.Variable) or each.shape != parameter.shape for each, parameter in pairs):
            continue
        for moment, parameter in pairs:
            if moment is not parameter and id(parameter) in changed:
                moment.assign(tf.where(changed[id(parameter)], tf.zeros_like(moment), moment))
