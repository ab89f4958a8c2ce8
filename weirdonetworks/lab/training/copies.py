"""Copies of a network trained side by side, each variable with a leading axis."""

import contextlib
import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from weirdonetworks.lab.training.state import TrainState
from weirdonetworks.measure.precision import variables_of, with_variables


class Copies:
    """The training states of K copies of a network, each variable stacked to `[K, ...]`.

    Attributes:
      optimizer: The state's optimizer, of the stacked parameters.
      parameters: The stacked trainable variables, in the network's order.
    """

    def __init__(self, state: TrainState, count: int):
        """Stacks a state `count` times; the state itself is the template, and is not trained."""
        self._network = state.network
        self._states = {
            id(each): (each, tf.Variable(tf.stack([each] * count), trainable=each.trainable))
            for each in state.variables
        }
        stacked = {key: stack for key, (_, stack) in self._states.items()}
        self._variables = variables_of(state.network)
        self._stacked = [stacked[id(each)] for each in self._variables]
        places = {id(each): place for place, each in enumerate(self._variables)}
        # A network may leave some of its variables out, as one on a frozen base does.
        self._trained = [places[id(each)] for each in state.network.trainable_variables]
        self.parameters = [self._stacked[place] for place in self._trained]
        self.optimizer = copy.deepcopy(state.optimizer, dict(stacked))

    @tf.function(autograph=False)
    def load(self, index: tf.Tensor) -> None:
        """Copies a copy's values into the state."""
        for variable, stack in self._states.values():
            variable.assign(tf.gather(stack, index))

    @tf.function(autograph=False)
    def store(self, index: tf.Tensor) -> None:
        """Copies the state's values into a copy."""
        for variable, stack in self._states.values():
            stack.scatter_update(tf.IndexedSlices(variable[tf.newaxis], index[tf.newaxis]))

    def call(self, function: Callable[..., Any], *arguments: tf.Tensor) -> Any:
        """Calls a function of a network for all copies at once, and applies the assignments to their variables.

        Args:
          function: Given a network, its trainable parameters as tensors, and the arguments of one copy, returns
            tensors. A network is used within the call alone.
          *arguments: Tensors `[K, ...]`.

        Returns:
          The function's results, stacked `[K, ...]`.
        """
        changed: list[int] = []

        def one(elements: tuple[list[tf.Tensor], tuple[tf.Tensor, ...]]) -> tuple[Any, list[tf.Tensor]]:
            tensors, own = elements
            pairs = zip(tensors, self._variables, strict=True)
            values = [StandIn(tensor, variable.trainable) for tensor, variable in pairs]
            network = with_variables(self._network, self._variables, values)
            parameters = [values[place].value() for place in self._trained]
            result = function(network, parameters, *own)
            changed[:] = [index for index, value in enumerate(values) if value.value() is not tensors[index]]
            return result, [values[index].value() for index in changed]

        held = [tf.convert_to_tensor(stack) for stack in self._stacked]
        # Operations that TensorFlow cannot vectorise, such as draws with a seed each, run copy after copy.
        with _without_advice():
            result, after = tf.vectorized_map(one, (held, arguments), warn=False)
        for index, value in zip(changed, after, strict=True):
            self._stacked[index].assign(value)
        return result

    def check(self, captured: Sequence[tf.Tensor]) -> None:
        """Raises ValueError if a program of the copies captured variables of the template."""
        read = {id(tensor) for tensor in captured}
        for variable in self._variables:
            if id(variable.handle) in read:
                raise ValueError(
                    f"network (={self._network!r}) must reach its variable {variable.name} by attributes, not in a "
                    "function that it was given, to be trained in copies. Train one network after another."
                )


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Hides what TensorFlow logs, whatever it is told, of gradients of convolutions that run copy after copy."""

    def is_other(record: logging.LogRecord) -> bool:
        return "uses a while_loop" not in record.getMessage()

    logger = tf.get_logger()
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


class StandIn(tf.Variable):
    """A tensor in place of a variable; its value is what was assigned last.

    >>> value = StandIn(tf.constant([1.0, 2.0]), trainable=True)
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
    name = property(lambda self: "stand_in")

    def value(self) -> tf.Tensor:
        """Returns the tensor assigned last."""
        return self._tensor

    read_value = _AsTensor = value  # The two other names under which TensorFlow reads a variable.

    def __tf_tensor__(self, dtype: tf.DType | None = None, name: str | None = None) -> tf.Tensor:
        return tf.convert_to_tensor(self._tensor, dtype, name=name)

    def assign(self, value: Any, *_: Any, **__: Any) -> "StandIn":
        """Assigns a new value of the same shape and type."""
        self._tensor = tf.ensure_shape(tf.convert_to_tensor(value, self.dtype), self.shape)
        return self

    def assign_add(self, delta: Any, *_: Any, **__: Any) -> "StandIn":
        """Adds to the value."""
        return self.assign(self._tensor + tf.convert_to_tensor(delta, self.dtype))

    def assign_sub(self, delta: Any, *_: Any, **__: Any) -> "StandIn":
        """Subtracts from the value."""
        return self.assign(self._tensor - tf.convert_to_tensor(delta, self.dtype))

    def __repr__(self) -> str:
        return f"StandIn({self._tensor!r})"
