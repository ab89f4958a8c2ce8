"""The sets of interchangeable units (neurons, channels, heads) of a model, traced from one call."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import at_least, instance
from weirdonetworks.measure import unit_state
from weirdonetworks.measure.unit_layout import Arrays, UnitLayout
from weirdonetworks.measure.unit_tracing.axes import Axis, Units
from weirdonetworks.measure.unit_tracing.traced_call import Trace


class UnitGraph(UnitLayout):
    """The sets of interchangeable units of a model, where each is along the axes of its variables, and their edges.

    For any permutation s of the units of each free space, the variables permuted by s along all their axes compute the
    same function; `verify` checks this. Units of inputs and outputs are fixed, and so are units that the trace cannot
    follow; `describe` gives the reasons. The units within attention heads, within the groups of a grouped convolution
    and within other blocks that a reshape makes are permuted alike in all of them: where one block may be permuted by
    itself, as queries with keys in one head, a model has more symmetries than are counted.

    >>> import sonnet as snt
    >>> graph = UnitGraph.trace(snt.nets.MLP([5, 2]), tf.ones([1, 3]))
    >>> [(space.name, space.size) for space in graph.free]
    [('mlp/linear_0/w', 5)]
    >>> graph.verify() < 1e-12
    True

    Attributes:
      variables: The variables that the model reads when it is called.
      call: The traced call.
      tensor_axes: The axes of each tensor of the call, by its number.
    """

    def __init__(self, call: Trace):
        """Finds the units of a traced call; of a model, `UnitGraph.trace` does.

        Raises:
          TypeError: If it is no traced call.
        """
        self.call = instance("call", call, Trace)
        self._called: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None = None
        self.variables = call.variables
        axes, edges, self.tensor_axes = call.follow()
        super().__init__(_distinct(call.names), axes, edges)

    @classmethod
    def trace(cls, model: Callable[..., Any], *example_inputs: Any, **options: Any) -> "UnitGraph":
        """Finds the units of a model from one call.

        Args:
          model: A module, a Keras model, or a function that reads variables.
          *example_inputs: Arguments of the call, arrays or tensors.
          **options: Keyword arguments of the call, such as `is_training=False`.

        Raises:
          TypeError: If the model cannot be called.
          ValueError: If it reads no variable, or the shape of a tensor depends on the data.
        """
        return cls.of_call(model, example_inputs, options)

    @classmethod
    def of_call(
        cls, model: Callable[..., Any], inputs: Sequence[Any], options: Mapping[str, Any], name: str = "model"
    ) -> "UnitGraph":
        """Finds the units of a model, as `trace` does; messages call it `name`."""
        graph = cls(Trace.of(model, inputs, options, name))
        graph._called = model, tuple(inputs), dict(options)
        return graph

    @functools.cached_property
    def weights(self) -> list[int]:
        """The numbers of the weights: floating-point variables that are trained, or lie between units."""
        between = {edge.variable for edge in self.edges}
        return [
            index
            for index, variable in enumerate(self.variables)
            if variable.dtype.is_floating and (variable.trainable or index in between)
        ]

    def permuted(self, permutations: Mapping[str, npt.ArrayLike], values: Sequence[Any] | None = None) -> Arrays:
        """Returns the variables' values, or other arrays of their shapes, with the units of some spaces permuted.

        Args: as for `UnitLayout.permuted`; None for the variables' values.
        """
        return super().permuted(permutations, self.variables if values is None else values)

    def permute(self, permutations: Mapping[str, npt.ArrayLike]) -> None:
        """Permutes the units of some spaces in the model's variables; its function stays the same.

        So do moving averages and other state, whether the traced call was in training or not.

        Raises:
          ValueError: As `permuted` does, or if the model cannot be called in training, or out of it, or then has state
            of which it cannot be followed how the units lie along it.
        """
        chosen = self._checked(permutations)
        connected = self._other_mode[1]
        for space in self.free:
            if space.units in chosen and space.units in connected:
                raise ValueError(
                    f"permutations: {space.name!r} cannot be permuted together with {connected[space.units]}. "
                    "UnitGraph.permuted permutes the variables that the traced call reads alone."
                )
        variables = [*self.variables, *(variable for variable, _ in self.state)]
        names = [*self.names, *(variable.name for variable, _ in self.state)]
        whole = UnitLayout(names, [*self.axes, *(axes for _, axes in self.state)], self.edges)
        moved = {space.name: chosen[space.units] for space in whole.spaces if space.units in chosen}
        for variable, value in zip(variables, whole.permuted(moved, variables), strict=True):
            variable.assign(value)

    @functools.cached_property
    def state(self) -> list[unit_state.Along]:
        """The model's further variables, such as moving averages, each with the units along its axes."""
        return unit_state.unread(self.call, self.tensor_axes) + self._other_mode[0]

    @functools.cached_property
    def _other_mode(self) -> tuple[list[unit_state.Along], dict[Units, str]]:
        if self._called is None:
            return [], {}

        def trace(*given: Any, **options: Any) -> tuple[Trace, dict[int, list[Axis]]]:
            graph = UnitGraph.trace(*given, **options)
            return graph.call, graph.tensor_axes

        unread = unit_state.unread(self.call, self.tensor_axes)
        known = [*zip(self.variables, self.axes, strict=True), *unread]
        return unit_state.of_other_mode(*self._called, known, trace)

    def verify(self, seed: int = 0) -> float:
        """Compares, in float64, the outputs for the example inputs before and after random permutations of the units.

        With values of the variables drawn near their own, by `Trace.draw`: as created many are zero, or all alike, and
        show nothing. The model's own variables stay as they are.

        Args:
          seed: Seed of the values and permutations.

        Returns:
          The largest difference over the largest magnitude of an output; about 1e-15 if the trace is correct.

        Raises:
          ValueError: If a variable holds NaN or infinity.
        """
        rng = np.random.default_rng(at_least("seed", seed, 0))
        values = self.call.draw(rng)
        return self._difference(
            values, self.permuted({space.name: rng.permutation(space.size) for space in self.free}, values)
        )

    def difference(self, values: Sequence[npt.ArrayLike]) -> float:
        """Compares, in float64, the outputs for the example inputs with those under other values of the variables.

        Args:
          values: An array for each variable.

        Returns:
          The largest difference over the largest magnitude of an output; infinity if outputs of integers differ.
        """
        return self._difference([variable.numpy() for variable in self.variables], [*map(np.asarray, values)])

    def _difference(self, one: Arrays, other: Arrays) -> float:
        before, after = self.call.outputs(one), self.call.outputs(other)
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if a.dtype.kind in "fc"]
        if not all(np.array_equal(a, b) for a, b in zip(before, after, strict=True) if a.dtype.kind not in "fc"):
            return float("inf")
        size = max((float(np.abs(a).max(initial=0)) for a, _ in pairs), default=0.0)
        return max((float(np.abs(a - b).max(initial=0)) for a, b in pairs), default=0.0) / (size or 1.0)


def _distinct(names: Sequence[str]) -> list[str]:
    """Numbers names that occur again, as of two layers of one name."""
    found: list[str] = []
    for index, name in enumerate(names):
        count = names[:index].count(name)
        found.append(f"{name} ({count + 1})" if count else name)
    return found
