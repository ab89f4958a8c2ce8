"""The axes of tensors as terms over sets of interchangeable units, and the unification that finds these sets.

An axis of a tensor is an elementary set of units (`Units`), or composed of others: a product, as flattening makes of
height, width and channels, the last varying fastest; or a concatenation. Where an operation requires that two axes hold
the same units in the same order, their terms are unified, as in type inference: an elementary set is replaced by the
other term, and two compound terms are unified part by part. Where that is impossible, as for six units grouped as 2 x 3
and as 3 x 2, all units of both are fixed, which loses symmetries but never claims a false one.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from weirdonetworks.algebra.arrays import Ints


class Units:
    """An elementary set of units, interchangeable unless fixed.

    Attributes:
      size: The number of units.
      fixed: Why the units cannot be permuted; empty if they can.
      functions: The names of the TensorFlow operations applied to the units' values.
      mixed: Whether the value of one unit enters into those of others otherwise than through weights, as by a softmax.
    """

    def __init__(self, size: int, fixed: str = "") -> None:
        self.size = size
        self.fixed = fixed
        self.functions: set[str] = set()
        self.mixed = False
        self.term: Axis | None = None  # The term it has been unified with.


@dataclasses.dataclass(frozen=True, eq=False)
class Product:
    """Pairs, triples, ... of units of several axes, the last axis varying fastest."""

    parts: tuple["Axis", ...]

    @property
    def size(self) -> int:
        """The number of units."""
        return math.prod(part.size for part in self.parts)


@dataclasses.dataclass(frozen=True, eq=False)
class Concatenation:
    """The units of several axes, one after the other."""

    parts: tuple["Axis", ...]

    @property
    def size(self) -> int:
        """The number of units."""
        return sum(part.size for part in self.parts)


Axis: TypeAlias = Units | Product | Concatenation
Places: TypeAlias = tuple[int, ...]
Split: TypeAlias = Callable[[Axis, int], "tuple[Axis, Axis] | None"]


@dataclasses.dataclass(frozen=True)
class Edge:
    """Weights between units: the units along some axes of a variable are read, and those along others are written.

    Attributes:
      variable: The index of the variable.
      inputs: The axes of the units that are read.
      outputs: The axes of the units that are written. The other axes, such as the places of a filter, are parallel
        connections between the same units.
    """

    variable: int
    inputs: Places
    outputs: Places


def resolved(axis: Axis) -> Axis:
    """Substitutes all unified terms in an axis, flattens nested products and drops factors of one unit."""
    while isinstance(axis, Units) and axis.term is not None:
        axis = axis.term
    if isinstance(axis, Product):
        return product(axis.parts)
    if isinstance(axis, Concatenation):
        return concatenation(axis.parts)
    return axis


def product(parts: Iterable[Axis]) -> Axis:
    """Makes the product of axes; a single axis is returned as it is."""
    flat: list[Axis] = []
    for part in map(resolved, parts):
        flat.extend(part.parts if isinstance(part, Product) else [part] if part.size != 1 else [])
    if len(flat) > 1:
        return Product(tuple(flat))
    return flat[0] if flat else Units(1)


def concatenation(parts: Iterable[Axis]) -> Axis:
    """Makes the concatenation of axes; a single axis is returned as it is."""
    flat: list[Axis] = []
    for part in map(resolved, parts):
        flat.extend(part.parts if isinstance(part, Concatenation) else [part])
    return flat[0] if len(flat) == 1 else Concatenation(tuple(flat))


def units_of(*axes: Axis) -> Iterator[Units]:
    """Yields the elementary sets of units in axes, each as often as it occurs."""
    for axis in map(resolved, axes):
        if isinstance(axis, Units):
            yield axis
        else:
            yield from units_of(*axis.parts)


def fix(reason: str, *axes: Axis) -> None:
    """Fixes all units of axes; units fixed before keep their reason."""
    for units in units_of(*axes):
        units.fixed = units.fixed or reason


def mark(function: str, *axes: Axis, mixes: bool = False) -> None:
    """Records that a function is applied to the values of all units of axes, elementwise unless it mixes them."""
    for units in units_of(*axes):
        units.functions.add(function)
        units.mixed |= mixes


def unify(one: Axis, other: Axis, where: str) -> None:
    """Unifies two axes: from now on both hold the same units in the same order.

    Args:
      one: An axis.
      other: An axis of the same size.
      where: The operation that requires it, named in the reason of units that must be fixed.

    Raises:
      ValueError: If the sizes differ.
    """
    if one.size != other.size:
        raise ValueError(f"axes of {one.size} and of {other.size} units must have the same size in {where}.")
    one, other = resolved(one), resolved(other)
    if one is other or one.size == 1:
        return
    if isinstance(one, Units) or isinstance(other, Units):
        units, term = (one, other) if isinstance(one, Units) else (other, one)
        assert isinstance(units, Units)
        if units in units_of(term):
            fix(f"{where} identifies units with pairs of them", term)
        else:
            _become(units, term)
    elif type(one) is not type(other):
        fix(f"{where} meets units joined in two ways that do not fit", one, other)
    elif isinstance(one, Product) and isinstance(other, Product):
        _match(list(one.parts), list(other.parts), split_product, where)
    elif isinstance(one, Concatenation) and isinstance(other, Concatenation):
        _match(list(one.parts), list(other.parts), split_concatenation, where)


def _become(units: Units, term: Axis) -> None:
    units.term = term
    for part in units_of(term):
        part.fixed = part.fixed or units.fixed
        part.functions |= units.functions
        part.mixed |= units.mixed


def _match(one: list[Axis], other: list[Axis], split: Split, where: str) -> None:
    """Unifies two lists of parts in order, splitting the larger of two parts where possible."""
    while one and other:
        here, there = resolved(one.pop(0)), resolved(other.pop(0))
        if here.size == there.size:
            unify(here, there, where)
            continue
        larger, rest = (here, one) if here.size > there.size else (there, other)
        smaller, others = (there, other) if here.size > there.size else (here, one)
        parts = split(larger, smaller.size)
        if parts is None:
            fix(f"{where} meets units grouped in two ways that do not fit", larger, smaller, *rest, *others)
            return
        unify(parts[0], smaller, where)
        rest.insert(0, parts[1])


def split_product(axis: Axis, leading: int) -> tuple[Axis, Axis] | None:
    """Splits an axis into two factors, the first of a given size; None if it has no such factors."""
    axis = resolved(axis)
    if axis.size % leading:
        return None
    if isinstance(axis, Units):
        parts = (Units(leading, axis.fixed), Units(axis.size // leading, axis.fixed))
        _become(axis, Product(parts))
        return parts
    if not isinstance(axis, Product):
        return None
    first: list[Axis] = []
    rest = list(axis.parts)
    while rest and leading % rest[0].size == 0 and leading > 1:
        leading //= rest[0].size
        first.append(rest.pop(0))
    if leading > 1:
        halves = split_product(rest.pop(0), leading) if rest else None
        if halves is None:
            return None
        first.append(halves[0])
        rest.insert(0, halves[1])
    return product(first), product(rest)


def split_concatenation(axis: Axis, leading: int) -> tuple[Axis, Axis] | None:
    """Splits an axis into its first `leading` units and the others; None if that cuts through a part."""
    axis = resolved(axis)
    if isinstance(axis, Units):
        parts = (Units(leading, axis.fixed), Units(axis.size - leading, axis.fixed))
        _become(axis, Concatenation(parts))
        return parts
    if not isinstance(axis, Concatenation):
        return None
    first: list[Axis] = []
    rest = list(axis.parts)
    while leading and leading >= rest[0].size:
        leading -= rest[0].size
        first.append(rest.pop(0))
    if leading:
        halves = split_concatenation(rest.pop(0), leading)
        if halves is None:
            return None
        first.append(halves[0])
        rest.insert(0, halves[1])
    return concatenation(first), concatenation(rest)


def reshaped(axes: Sequence[Axis], shape: Sequence[int], where: str) -> list[Axis]:
    """Regroups the axes of a tensor for a reshape to another shape of the same size."""
    whole: Axis = product(axes)
    found: list[Axis] = []
    for size in shape:
        halves: tuple[Axis, Axis] | None = (whole, Units(1))
        if size != whole.size:
            halves = (Units(1), whole) if size == 1 else split_product(whole, size)
        if halves is None:
            fix(f"{where} cuts through units", *axes)
            return [Units(each, f"{where} cuts through units") for each in shape]
        found.append(halves[0])
        whole = halves[1]
    return found


def gather(axis: Axis, permutations: Mapping[Units, Ints]) -> Ints:
    """Computes the indices that permute an axis with its units, `new = old[indices]`.

    Args:
      axis: The axis.
      permutations: Maps sets of units to permutations s, `s[i]` the new position of unit i; other sets stay.
    """
    axis = resolved(axis)
    if isinstance(axis, Units):
        return np.argsort(permutations[axis]) if axis in permutations else np.arange(axis.size)
    parts = [gather(part, permutations) for part in axis.parts]
    if isinstance(axis, Concatenation):
        starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
        return np.concatenate([start + part for start, part in zip(starts, parts, strict=True)])
    indices = parts[0]
    for part in parts[1:]:
        indices = (indices[:, None] * len(part) + part).ravel()
    return indices
