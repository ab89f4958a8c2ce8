"""The axes of tensors as terms over sets of interchangeable units, and the unification that finds these sets.

An axis of a tensor is a set of units of its own (`Units`), or put together of others: a product, as flattening makes of
height, width and channels, the last varying fastest; or a concatenation. What an operation asks of its operands, that
an axis of one and an axis of another be the same units in the same order, unifies two terms, as type inference does: a
set that nothing is known of becomes what the other is, and two compound terms are taken apart. Where that cannot be, as
when six units are two threes here and three twos there, all units in both are fixed: left in their order, which loses
symmetries but invents none.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from weirdonetworks.algebra.arrays import Ints


class Units:
    """A set of units whose order may or may not matter.

    Attributes:
      size: How many there are.
      fixed: Why they must stay in their order; empty where they need not.
      functions: The elementwise functions that are applied to their values, by the names of TensorFlow's operations.
    """

    def __init__(self, size: int, fixed: str = "") -> None:
        self.size = size
        self.fixed = fixed
        self.functions: set[str] = set()
        self.term: Axis | None = None  # What it has turned out to be.


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
Split: TypeAlias = Callable[[Axis, int], "tuple[Axis, Axis] | None"]


def resolved(axis: Axis) -> Axis:
    """Replaces an axis by what it has turned out to be; a product of products by one, without factors of one unit."""
    while isinstance(axis, Units) and axis.term is not None:
        axis = axis.term
    if isinstance(axis, Product):
        return product(axis.parts)
    if isinstance(axis, Concatenation):
        return concatenation(axis.parts)
    return axis


def product(parts: Iterable[Axis]) -> Axis:
    """Makes the product of axes; of one, or of none, no product."""
    flat: list[Axis] = []
    for part in map(resolved, parts):
        flat.extend(part.parts if isinstance(part, Product) else [part] if part.size != 1 else [])
    if len(flat) > 1:
        return Product(tuple(flat))
    return flat[0] if flat else Units(1)


def concatenation(parts: Iterable[Axis]) -> Axis:
    """Makes the concatenation of axes; of one no concatenation."""
    flat: list[Axis] = []
    for part in map(resolved, parts):
        flat.extend(part.parts if isinstance(part, Concatenation) else [part])
    return flat[0] if len(flat) == 1 else Concatenation(tuple(flat))


def units_of(*axes: Axis) -> Iterator[Units]:
    """Yields the sets of units that make up axes, each as often as it occurs."""
    for axis in map(resolved, axes):
        if isinstance(axis, Units):
            yield axis
        else:
            yield from units_of(*axis.parts)


def fix(reason: str, *axes: Axis) -> None:
    """Fixes all units of axes; those fixed before keep their reason."""
    for units in units_of(*axes):
        units.fixed = units.fixed or reason


def mark(function: str, *axes: Axis) -> None:
    """Notes that an elementwise function is applied to values of all units of axes."""
    for units in units_of(*axes):
        units.functions.add(function)


def unify(one: Axis, other: Axis, where: str) -> None:
    """Makes two axes the same.

    Args:
      one: An axis.
      other: An axis of the same size.
      where: What asks for it, for the reason of what must be fixed.

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


def _match(one: list[Axis], other: list[Axis], split: Split, where: str) -> None:
    """Unifies parts with parts, from the first on, splitting the larger of two where that can be."""
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
    """Splits an axis in two factors, the first of a given size; None if it cannot be."""
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
    """Splits an axis in its first units and the others; None if it cannot be."""
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
    """Regroups the axes of a tensor that is reshaped to another shape of as many numbers."""
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
    """Gives the indices that an axis is to be read at when units are permuted, `new = old[indices]`.

    Args:
      axis: The axis.
      permutations: For sets of units a permutation s, `s[i]` the new place of unit i; the others stay.
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


def written(axis: Axis, names: Mapping[Units, str]) -> str:
    """Writes an axis with names for its sets of units: `height 4 x width 4 x b`."""
    axis = resolved(axis)
    if isinstance(axis, Units):
        return names.get(axis, str(axis.size))
    joint = " x " if isinstance(axis, Product) else " + "
    texts = (written(part, names) for part in axis.parts)
    return joint.join(f"({text})" if " " in text else text for text in texts)
