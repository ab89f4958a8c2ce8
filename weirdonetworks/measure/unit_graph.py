"""The units of a model, as `UnitGraph.trace` finds them."""

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
    """An axis of a variable that holds the units of a space.

    Attributes:
      variable: The number of the variable in `UnitGraph.variables`.
      axis: The axis.
      stride: How far apart along the axis neighbouring units are, all other parts of the axis staying; the axis may
        hold each unit several times, as after flattening.
    """

    variable: int
    axis: int
    stride: int


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """A set of units.

    Attributes:
      name: Its name, after the first variable whose last axis it is.
      size: How many units there are.
      fixed: Why they must stay in their order; empty for interchangeable ones.
      functions: The elementwise functions and reductions that are applied to their values, as TensorFlow names them.
      places: Where they are.
    """

    name: str
    size: int
    fixed: str
    functions: frozenset[str]
    places: tuple[Place, ...]
    units: Units = dataclasses.field(repr=False)


class UnitGraph:
    """The sets of interchangeable units of a model, and where each is along the axes of its variables.

    For permutations s of the units of every free space, the variables permuted along all their axes by s compute the
    same function: `verify` tries it. Units of inputs and outputs are fixed, and so is what the trace cannot follow;
    `describe` says why.

    >>> import sonnet as snt
    >>> graph = UnitGraph.trace(snt.nets.MLP([5, 2]), tf.ones([1, 3]))
    >>> [(space.name, space.size) for space in graph.free]
    [('mlp/linear_0/w', 5)]
    >>> graph.verify() < 1e-12
    True

    Attributes:
      variables: The variables that the model reads when it is called.
      axes: What each axis of each variable is made of.
      spaces: The sets of units, in the order of the variables, those of one unit left out.
    """

    def __init__(self, trace: Trace):
        """Follows the units of a traced call; see `trace`."""
        self._trace = trace
        self.variables = trace.variables
        self.axes = trace.follow()
        self.spaces = self._found_spaces()

    @classmethod
    def trace(cls, model: Callable[..., Any], *example_inputs: Any, **options: Any) -> "UnitGraph":
        """Finds the units of a model from one call.

        Args:
          model: A module, a Keras model, or a function that reads variables.
          *example_inputs: What it is called with, arrays or tensors.
          **options: Further arguments of the call, such as `is_training=False`.

        Raises:
          TypeError: If the model cannot be called.
          ValueError: If it reads no variable, or the shape of what it computes depends on the data.
        """
        return cls(Trace.of(model, example_inputs, options))

    @property
    def free(self) -> list[Space]:
        """The spaces whose units are interchangeable."""
        return [space for space in self.spaces if not space.fixed]

    def permuted(self, permutations: Mapping[str, npt.ArrayLike], values: Sequence[Any] | None = None) -> Arrays:
        """Gives the variables' values with the units of some spaces permuted, along all axes that hold them.

        Args:
          permutations: For the names of free spaces a permutation s, `s[i]` the new place of unit i.
          values: A value for each variable, such as masks; the variables' own if None.

        Raises:
          ValueError: If there is no such space, it is fixed, or a permutation is none of its units.
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
        """Permutes the units of some spaces in the model's variables, which then computes the same as before.

        Raises:
          ValueError: As `permuted` does.
        """
        for variable, value in zip(self.variables, self.permuted(permutations), strict=True):
            variable.assign(value)

    def verify(self, seed: int = 0) -> float:
        """Permutes all free spaces at random, and compares the outputs for the example inputs, in float64.

        Args:
          seed: Draws the permutations.

        Returns:
          The largest difference over the largest size of an output: some 1e-15 where the trace is right.
        """
        rng = np.random.default_rng(seed)
        return self.difference(self.permuted({space.name: rng.permutation(space.size) for space in self.free}))

    def difference(self, values: Sequence[npt.ArrayLike]) -> float:
        """Compares the outputs for the example inputs, with other values of the variables, in float64.

        Args:
          values: A value for each variable.

        Returns:
          The largest difference over the largest size of an output.
        """
        before = self._trace.compute([variable.numpy() for variable in self.variables])
        after = self._trace.compute([np.asarray(value) for value in values])
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if a.dtype.kind == "f"]
        size = max((float(np.abs(a).max(initial=0)) for a, _ in pairs), default=0.0)
        return max((float(np.abs(a - b).max(initial=0)) for a, b in pairs), default=0.0) / (size or 1.0)

    def describe(self) -> str:
        """Lists the spaces: how many units, whether free, what is applied to them, and the axes that hold them."""
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
                why = f"is fixed: {spaces[name].fixed}" if name in spaces else "is no space of the model"
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
