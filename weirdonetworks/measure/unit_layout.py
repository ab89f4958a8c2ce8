"""The sets of interchangeable units along the axes of a model's variables, or of a chain of masks."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, at_least, listed, truth
from weirdonetworks.algebra.groups.permutations import as_permutations
from weirdonetworks.measure.unit_table import unit_table
from weirdonetworks.measure.unit_tracing.axes import (
    Axis,
    Concatenation,
    Edge,
    Product,
    Units,
    concatenation,
    gather,
    product,
    resolved,
    units_of,
)

Arrays = list[npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """An axis of a variable along which the units of a space lie.

    Attributes:
      variable: The index of the variable.
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
      name: The name of the first weight, or other variable, that has these units along its last axis.
      size: The number of units.
      fixed: Why the units cannot be permuted; empty for interchangeable units.
      functions: The TensorFlow operations, elementwise functions and reductions, applied to the units' values.
      mixed: Whether the value of one unit enters into those of others otherwise than through weights, as by a softmax.
      places: The axes of variables that hold the units.
      units: The units, as they occur in `UnitLayout.axes`.
    """

    name: str
    size: int
    fixed: str
    functions: frozenset[str]
    mixed: bool
    places: tuple[Place, ...]
    units: Units = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """The entries of each unit of a space along one axis of a variable.

    Attributes:
      variable: The index of the variable.
      axis: The axis.
      units: The unit at each place of the axis; -1 where there is none.
      side: `in` for weights that write the units, `out` for those that read them, empty for others, such as biases.
    """

    variable: int
    axis: int
    units: Ints
    side: str

    @functools.cached_property
    def is_plain(self) -> bool:
        """Whether the places of the axis are the units."""
        return bool(np.array_equal(self.units, np.arange(len(self.units))))

    @functools.cached_property
    def by_unit(self) -> Ints:
        """The places of each unit, `[units, places of each]`."""
        held = np.flatnonzero(self.units >= 0)
        return held[np.argsort(self.units[held], kind="stable")].reshape(int(self.units.max()) + 1, -1)

    def totals(self, values: Floats, size: int) -> Floats:
        """Sums an array of the variable's shape over the entries of each unit."""
        along = np.moveaxis(values, self.axis, 0).reshape(len(self.units), -1).sum(axis=1)
        held = self.units >= 0
        return np.bincount(self.units[held], along[held], minlength=size).astype(np.float64)

    def mixed(self, values: Floats, matrix: Floats) -> Floats:
        """Replaces the entries of each unit i by the sum over j of `matrix[i, j]` times those of unit j."""
        along = np.array(np.moveaxis(values, self.axis, 0))
        along[self.by_unit] = np.tensordot(matrix, along[self.by_unit], axes=1)
        return np.moveaxis(along, 0, self.axis)

    def scaled(self, values: Floats, factors: Floats) -> Floats:
        """Multiplies the entries of each unit by a factor."""
        along = np.where(self.units >= 0, factors[self.units], 1.0)
        return values * along.reshape([-1 if axis == self.axis else 1 for axis in range(values.ndim)])


class UnitLayout:
    """The units along the axes of variables, and the edges between them.

    `UnitGraph` is the layout of a traced model; `of_chain` makes that of a chain of weights, given their shapes alone.

    >>> layout = UnitLayout.of_chain([(784, 300), (300, 10)])
    >>> [(space.name, space.size) for space in layout.free]
    [('0', 300)]

    Attributes:
      names: A name for each variable.
      axes: For each axis of each variable, the units along it.
      edges: The weights between units; see `Edge`.
    """

    def __init__(self, names: Sequence[str], axes: Sequence[Sequence[Axis]], edges: Sequence[Edge]):
        self.names = list(names)
        self.axes = [[resolved(axis) for axis in each] for each in axes]
        self.edges = list(edges)

    @classmethod
    def of_chain(
        cls, shapes: Mapping[str, Sequence[int]] | Sequence[Sequence[int]], *, permute_outputs: bool = False
    ) -> "UnitLayout":
        """Makes the layout of a chain of weights, in which the outputs of each are the inputs of the next.

        A dense layer may read a flattened convolution, with the channels last.

        >>> layout = UnitLayout.of_chain([(3, 3, 1, 8), (4 * 8, 10)])
        >>> [(space.name, space.size) for space in layout.free]
        [('0', 8)]

        Args:
          shapes: The weights' shapes, `[..., inputs, outputs]`, in layer order; names are their indices by default.
          permute_outputs: Whether the last layer's outputs are interchangeable, too; they are labelled otherwise.

        Raises:
          ValueError: If there is no shape, or neighbours do not fit.
        """
        given: Mapping[str, Sequence[int]] = (
            shapes
            if isinstance(shapes, Mapping)
            else {str(i): shape for i, shape in enumerate(listed("shapes", shapes, "shapes"))}
        )
        named = {
            name: tuple(at_least("shapes", size, 1) for size in listed("shapes", shape, "sizes"))
            for name, shape in given.items()
        }
        if any(len(shape) < 2 for shape in named.values()):
            raise ValueError(f"shapes (={list(named.values())}) must each be [..., inputs, outputs].")
        if not named:
            raise ValueError("shapes (=[]) must hold at least one layer.")
        permute_outputs = truth("permute_outputs", permute_outputs)
        axes: list[list[Axis]] = []
        units: Axis = Units(next(iter(named.values()))[-2], "inputs")
        before = ""
        for index, (name, shape) in enumerate(named.items()):
            positions = shape[-2] // units.size
            flattened = len(shape) == 2 and index and len(axes[-1]) > 2
            if positions * units.size != shape[-2] or (positions > 1 and not flattened):
                raise ValueError(
                    f"{name} (shape {tuple(shape)}) must have as many inputs as {before} has outputs, or, dense "
                    "after a convolution, a multiple of them."
                )
            before = f"{name} (shape {tuple(shape)})"
            places = Units(positions, "places of an image")
            # A product would drop a single unit, and with it the connection between the two layers.
            read = concatenation([units] * positions) if units.size == 1 else product([places, units])
            last = index == len(named) - 1
            units = Units(shape[-1], "outputs" if last and not permute_outputs else "")
            axes.append([*(Units(size, "places of a filter") for size in shape[:-2]), read, units])
        edges = [Edge(i, (len(shape) - 2,), (len(shape) - 1,)) for i, shape in enumerate(named.values())]
        return cls(list(named), axes, edges)

    @property
    def free(self) -> list[Space]:
        """The spaces whose units are interchangeable."""
        return [space for space in self.spaces if not space.fixed]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The variables' shapes."""
        return [tuple(axis.size for axis in axes) for axes in self.axes]

    def permuted(self, permutations: Mapping[str, npt.ArrayLike], values: Sequence[Any]) -> Arrays:
        """Returns arrays with the units of some spaces permuted, along all axes that hold them.

        Args:
          permutations: Maps names of free spaces to permutations s, `s[i]` the new position of unit i.
          values: Arrays of the variables' shapes, such as weights or masks; None for those without.

        Raises:
          ValueError: If there is no such space, it is fixed, or an array is not a permutation of its units.
        """
        chosen = self._checked(permutations)
        moved: list[Any] = []
        for given, axes in zip(values, self.axes, strict=True):
            array = given if given is None else np.asarray(given)
            for place, axis in enumerate(axes):
                if array is not None and any(units in chosen for units in units_of(axis)):
                    array = np.take(array, gather(axis, chosen), axis=place)
            moved.append(array)
        return moved

    def describe(self) -> str:
        """Formats a table of the spaces: size, axes, functions, and, if fixed, why, and what could be done.

        So does `print`.
        """
        units, spaces = sum(space.size for space in self.free), len(self.free)
        free = f"{units} interchangeable unit{'s' * (units != 1)} in {spaces} space{'s' * (spaces != 1)}"
        return f"{free}\n{unit_table(self.spaces, self.names)}"

    def __str__(self) -> str:
        return self.describe()

    def _checked(self, permutations: Mapping[str, npt.ArrayLike]) -> dict[Units, Ints]:
        if not isinstance(permutations, Mapping):
            raise TypeError(f"permutations (a {type(permutations).__name__}) must map names of spaces to permutations.")
        spaces = {space.name: space for space in self.spaces}
        chosen = {}
        for name, given in permutations.items():
            if name not in spaces or spaces[name].fixed:
                why = f"is fixed: {spaces[name].fixed}" if name in spaces else "is not a space of the model"
                free = ", ".join(space.name for space in self.free) or "none"
                raise ValueError(f"permutations: {name!r} {why}. Free spaces: {free}.")
            permutation = as_permutations(given, f"permutations: that of {name!r}")
            if permutation.shape != (spaces[name].size,):
                raise ValueError(f"permutations: that of {name!r} must be of its {spaces[name].size} units.")
            chosen[spaces[name].units] = permutation
        return chosen

    @functools.cached_property
    def spaces(self) -> list[Space]:
        """The sets of two or more units, in the order of the variables."""
        places: dict[Units, list[Place]] = {}
        for number, axes in enumerate(self.axes):
            for axis_number, axis in enumerate(axes):
                for units, stride in _strides(axis):
                    if units.size > 1:
                        places.setdefault(units, []).append(Place(number, axis_number, stride))
        weights = {edge.variable for edge in self.edges}
        found, taken = [], set()
        for units, where in places.items():
            last = [each for each in where if each.axis == len(self.axes[each.variable]) - 1]
            first = next((each for each in last if each.variable in weights), (last or where)[0])
            base = self.names[first.variable] + (f"[{first.axis}]" if not last else "")
            name, count = base, 1
            while name in taken:
                count += 1
                name = f"{base} ({count})"
            taken.add(name)
            functions = frozenset(units.functions)
            found.append(Space(name, units.size, units.fixed, functions, units.mixed, tuple(where), units))
        return found


def spread(axis: Axis, flags: Mapping[Units, npt.NDArray[np.bool_]]) -> npt.NDArray[np.bool_]:
    """Reads flags of units along an axis: an entry of a product has the flags of all its factors.

    >>> two, three = Units(2), Units(3)
    >>> flags = {two: np.array([True, False]), three: np.array([True, True, False])}
    >>> spread(product([two, three]), flags).astype(int)
    array([1, 1, 0, 0, 0, 0])
    """
    axis = resolved(axis)
    if isinstance(axis, Units):
        return flags.get(axis, np.ones(axis.size, bool))
    parts = [spread(part, flags) for part in axis.parts]
    if isinstance(axis, Concatenation):
        return np.concatenate(parts)
    whole = parts[0]
    for part in parts[1:]:
        whole = np.logical_and.outer(whole, part).ravel()
    return whole


def collect(axis: Axis, flags: npt.NDArray[np.bool_]) -> list[tuple[Units, npt.NDArray[np.bool_]]]:
    """Splits flags along an axis by units: a unit is flagged if any entry that holds it is."""
    axis = resolved(axis)
    if isinstance(axis, Units):
        return [(axis, flags)]
    found = []
    if isinstance(axis, Concatenation):
        ends = np.cumsum([part.size for part in axis.parts])
        for part, own in zip(axis.parts, np.split(flags, ends[:-1]), strict=True):
            found += collect(part, own)
        return found
    shaped = flags.reshape([part.size for part in axis.parts])
    for place, part in enumerate(axis.parts):
        others = tuple(other for other in range(len(axis.parts)) if other != place)
        found += collect(part, np.asarray(shaped.any(axis=others)))
    return found


def places(axis: Axis) -> Iterator[tuple[Units, Ints]]:
    """Yields each occurrence of units in an axis, with the unit at each place, -1 where there is none."""
    axis = resolved(axis)
    if isinstance(axis, Units):
        yield axis, np.arange(axis.size)
        return
    sizes = [part.size for part in axis.parts]
    for index, part in enumerate(axis.parts):
        for units, inner in places(part):
            if isinstance(axis, Concatenation):
                found = np.full(axis.size, -1)
                start = sum(sizes[:index])
                found[start : start + sizes[index]] = inner
            else:
                shape = [-1 if other == index else 1 for other in range(len(sizes))]
                found = np.broadcast_to(inner.reshape(shape), sizes).ravel()
            yield units, found


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
