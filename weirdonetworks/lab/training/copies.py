"""Copies of a network trained side by side, each variable with a leading axis."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from weirdonetworks.lab.training.functional import with_values
from weirdonetworks.lab.training.state import TrainState
from weirdonetworks.measure.precision import variables_of


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
        self.parameters = [stack for stack in self._stacked if stack.trainable]
        self.optimizer = copy.deepcopy(state.optimizer, dict(stacked))
        self._load, self._store = (tf.function(move, autograph=False) for move in (self._loaded, self._stored))

    def load(self, index: tf.Tensor) -> None:
        """Copies a copy's values into the state."""
        self._load(index)

    def store(self, index: tf.Tensor) -> None:
        """Copies the state's values into a copy."""
        self._store(index)

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
            network, values = with_values(self._network, self._variables, tensors)
            parameters = [value.value() for value in values if value.trainable]
            result = function(network, parameters, *own)
            changed[:] = [index for index, value in enumerate(values) if value.value() is not tensors[index]]
            return result, [values[index].value() for index in changed]

        held = [tf.convert_to_tensor(stack) for stack in self._stacked]
        # Operations that TensorFlow cannot vectorise, such as draws with a seed each, run copy after copy.
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

    def _loaded(self, index: tf.Tensor) -> None:
        for variable, stack in self._states.values():
            variable.assign(tf.gather(stack, index))

    def _stored(self, index: tf.Tensor) -> None:
        for variable, stack in self._states.values():
            stack.scatter_update(tf.IndexedSlices(variable[tf.newaxis], index[tf.newaxis]))
