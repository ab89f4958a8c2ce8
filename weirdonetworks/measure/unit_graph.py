"""The sets of interchangeable units (neurons, channels, heads) of a model, traced from one call."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.algebra.permutations import as_permutations
from weirdonetworks.measure.unit_tracing.axes import (
    Axis,
    Concatenation,
    Product,
    Units,
    gather,
    resolved,
    units_of,
    written,
)
from weirdonetworks.measure.unit_tracing.trace import Trace

Arrays = list[npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """An axis of a variable along which the units of a space lie.

    Attributes:
      variable: The index of the variable in `UnitGraph.variables`.
      axis: The axis.
      stride: The distance along the axis between neighbouring units. The axis may hold each unit several times, as
        after flattening.
    """

    variable: int
    axis: int
    stride: int


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """A set of units that can only be permuted together.

    Attributes:
      name: The name of the first variable that has these units along its last axis.
      size: The number of units.
      fixed: Why the units cannot be permuted; empty for interchangeable units.
      functions: The TensorFlow operations, elementwise functions and reductions, applied to the units' values.
      places: The axes of variables that hold the units.
    """

    name: str
    size: int
    fixed: str
    functions: frozenset[str]
    places: tuple[Place, ...]
    units: Units = dataclasses.field(repr=False)


class UnitGraph:
    """The sets of interchangeable units of a model, and where each is along the axes of its variables.

    For any permutation s of the units of each free space, the variables permuted by s along all their axes compute the
    same function; `verify` checks this. Units of inputs and outputs are fixed, and so are units that the trace cannot
    follow; `describe` gives the reasons.

    >>> import sonnet as snt
    >>> graph = UnitGraph.trace(snt.nets.MLP([5, 2]), tf.ones([1, 3]))
    >>> [(space.name, space.size) for space in graph.free]
    [('mlp/linear_0/w', 5)]
    >>> graph.verify() < 1e-12
    True

    Attributes:
      variables: The variables that the model reads when it is called.
      axes: For each axis of each variable, the units along it.
      spaces: The sets of two or more units, in the order of the variables.
    """

    def __init__(self, trace: Trace):
        """Finds the units of a traced call; see `trace`."""
        self._trace = trace
        self.variables = trace.variables
        self.axes = trace.follow()
        self.spaces = self._found_spaces()

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
        return cls(Trace.of(model, example_inputs, options))

    @property
    def free(self) -> list[Space]:
        """The spaces whose units are interchangeable."""
        return [space for space in self.spaces if not space.fixed]

    def permuted(self, permutations: Mapping[str, npt.ArrayLike], values: Sequence[Any] | None = None) -> Arrays:
        """Returns the variables' values with the units of some spaces permuted, along all axes that hold them.

        Args:
          permutations: Maps names of free spaces to permutations s, `s[i]` the new position of unit i.
          values: Arrays of the variables' shapes, such as masks; None for the variables' values.

        Raises:
          ValueError: If there is no such space, it is fixed, or an array is not a permutation of its units.
        """
        chosen = self._checked(permutations)
        arrays = [np.asarray(each) for each in (self.variables if values is None else values)]
        moved = []
        for array, axes in zip(arrays, self.axes, strict=True):
            for place, axis in enumerate(axes):
                if any(units in chosen for units in units_of(axis)):
                    array = np.take(array, gather(axis, chosen), axis=place)
            moved.append(array)
        return moved

    def permute(self, permutations: Mapping[str, npt.ArrayLike]) -> None:
        """Permutes the units of some spaces in the model's variables; its function stays the same.

        Raises:
          ValueError: As `permuted` does.
        """
        for variable, value in zip(self.variables, self.permuted(permutations), strict=True):
            variable.assign(value)

    def verify(self, seed: int = 0) -> float:
        """Compares, in float64, the outputs for the example inputs before and after random permutations of the units.

        Args:
          seed: Seed of the permutations.

        Returns:
          The largest difference over the largest magnitude of an output; about 1e-15 if the trace is correct.
        """
        rng = np.random.default_rng(seed)
        return self.difference(self.permuted({space.name: rng.permutation(space.size) for space in self.free}))

    def difference(self, values: Sequence[npt.ArrayLike]) -> float:
        """Compares, in float64, the outputs for the example inputs with those under other values of the variables.

        Args:
          values: An array for each variable.

        Returns:
          The largest difference over the largest magnitude of an output.
        """
        before = self._trace.compute([variable.numpy() for variable in self.variables])
        after = self._trace.compute([np.asarray(value) for value in values])
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if a.dtype.kind == "f"]
        size = max((float(np.abs(a).max(initial=0)) for a, _ in pairs), default=0.0)
        return max((float(np.abs(a - b).max(initial=0)) for a, b in pairs), default=0.0) / (size or 1.0)

    def describe(self) -> str:
        """Lists the spaces, each with its number of units, whether it is free, its operations and its axes."""
        names = {space.units: space.name for space in self.spaces}
        lines = [f"{sum(space.size for space in self.free)} interchangeable units in {len(self.free)} spaces"]
        for space in self.spaces:
            state = f"fixed: {space.fixed}" if space.fixed else "free"
            applied = f"; {', '.join(sorted(space.functions))}" if space.functions else ""
            lines.append(f"{space.name}: {space.size} units, {state}{applied}")
            for place in space.places:
                axis = written(self.axes[place.variable][place.axis], names)
                lines.append(f"    axis {place.axis} of {_name(self.variables[place.variable])}: {axis}")
        return "\n".join(lines)

    def _checked(self, permutations: Mapping[str, npt.ArrayLike]) -> dict[Units, Ints]:
        spaces = {space.name: space for space in self.spaces}
        chosen = {}
        for name, given in permutations.items():
            if name not in spaces or spaces[name].fixed:
                why = f"is fixed: {spaces[name].fixed}" if name in spaces else "is not a space of the model"
                free = ", ".join(space.name for space in self.free) or "none"
                raise ValueError(f"permutations: {name!r} {why}. Free spaces: {free}.")
            permutation = as_permutations(given)
            if permutation.shape != (spaces[name].size,):
                raise ValueError(f"permutations: that of {name!r} must be of its {spaces[name].size} units.")
            chosen[spaces[name].units] = permutation
        return chosen

    def _found_spaces(self) -> list[Space]:
        places: dict[Units, list[Place]] = {}
        for number, axes in enumerate(self.axes):
            for axis_number, axis in enumerate(axes):
                for units, stride in _strides(axis):
                    if units.size > 1:
                        places.setdefault(units, []).append(Place(number, axis_number, stride))
        found, taken = [], set()
        for units, where in places.items():
            last = [each for each in where if each.axis == len(self.axes[each.variable]) - 1]
            first = max(last or where, key=lambda each: len(self.axes[each.variable]))  # A weight before a bias.
            base = _name(self.variables[first.variable]) + (f"[{first.axis}]" if not last else "")
            name, count = base, 1
            while name in taken:
                count += 1
                name = f"{base} ({count})"
            taken.add(name)
            found.append(Space(name, units.size, units.fixed, frozenset(units.functions), tuple(where), units))
        return found


def _strides(axis: Axis) -> list[tuple[Units, int]]:
    axis = resolved(axis)
    if isinstance(axis, Units):
        return [(axis, 1)]
    if isinstance(axis, Concatenation):
        return [each for part in axis.parts for each in _strides(part)]
    assert isinstance(axis, Product)
    found, after = [], axis.size
    for part in axis.parts:
        after //= part.size
        found += [(units, stride * after) for units, stride in _strides(part)]
    return found


def _name(variable: tf.Variable) -> str:
    return variable.name.partition(":")[0]
