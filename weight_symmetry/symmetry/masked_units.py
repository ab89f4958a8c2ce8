"""Masks and the units along their axes: of a chain of masks, or of any model by its layout."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from weight_symmetry.masks import Mask, as_mask
from weirdonetworks.measure.unit_layout import UnitLayout
from weirdonetworks.measure.unit_tracing.axes import Axis, Product, Units

Key: TypeAlias = int | str
Bytes: TypeAlias = npt.NDArray[np.uint8]
Numbers: TypeAlias = npt.NDArray[np.intp]
Array = TypeVar("Array", bound=npt.NDArray[Any])


class WeightMasks(Protocol):
    """What is needed of `weight_symmetry.masks.Masks`."""

    @property
    def weights(self) -> Sequence[Any]: ...

    @property
    def arrays(self) -> Sequence[Mask]: ...


Masks: TypeAlias = Sequence[npt.ArrayLike | None] | Mapping[str, npt.ArrayLike | None] | WeightMasks


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """A part of a mask with elementary units along each of its axes.

    Attributes:
      variable: The index of the mask.
      mask: The part.
      units: The units along each axis.
      origins: The axis of the whole mask that each axis is a part of.
    """

    variable: int
    mask: Mask
    units: tuple[Units, ...]
    origins: tuple[int, ...]

    def places(self, units: Units) -> list[int]:
        """Lists the axes that hold some units."""
        return [place for place, each in enumerate(self.units) if each is units]

    def rows(self, place: int) -> Bytes:
        """Packs the entries of each unit along an axis into bits: equal rows for equal entries."""
        size = self.mask.shape[place]
        if place < self.mask.ndim - 1:
            return np.packbits(np.moveaxis(self.mask, place, 0), axis=-1).reshape(size, -1)
        entries = np.ascontiguousarray(self.mask).reshape(-1, size).view(np.uint8)
        packed = np.zeros((-(-len(entries) // 8), size), np.uint8)
        for bit in range(8):  # Eight rows at a time, in memory order: ten times as fast as np.packbits along columns.
            part = entries[bit::8]
            packed[: len(part)] |= part << bit
        return np.ascontiguousarray(packed.T)

    def taken(self, indices: Mapping[Units, Numbers]) -> "Block":
        """Selects some units, along all axes that hold them."""
        mask = self.mask
        for place, units in enumerate(self.units):
            if units in indices:
                mask = mask.take(indices[units], axis=place)
        return dataclasses.replace(self, mask=mask)


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedUnits:
    """Masks and the units along their axes.

    Attributes:
      layout: The layout of the units.
      masks: A mask, or None, for each variable of the layout.
      sets: The sets of units that results are about, by layer index in a chain, else by the name of the space.
      chained: Whether the masks are a chain.
    """

    layout: UnitLayout
    masks: list[Mask | None]
    sets: dict[Key, Units]
    chained: bool

    @property
    def movable(self) -> dict[Key, Units]:
        """The sets of interchangeable units."""
        return {key: units for key, units in self.sets.items() if not units.fixed}

    @functools.cached_property
    def blocks(self) -> list[Block]:
        """The masks, split along concatenations, with an axis for each factor of a product."""
        return [
            Block(index, part, units, origins)
            for index, (mask, axes) in enumerate(zip(self.masks, self.layout.axes, strict=True))
            if mask is not None
            for part, units, origins in split(mask, axes, range(mask.ndim))
        ]


def read(masks: Masks, layout: UnitLayout | None = None, *, permute_outputs: bool = False) -> MaskedUnits:
    """Reads masks.

    Args:
      masks: Without a layout, the masks of a chain of layers, in layer order; with one, masks by the names of its
        variables, or a mask or None for each, or `weight_symmetry.masks.Masks` of the traced model's weights, of which
        those are left out that the call does not read.
      layout: The layout, such as `UnitGraph.trace(model, *example_inputs)`.
      permute_outputs: Whether the outputs of a chain are interchangeable, too.

    Raises:
      TypeError: If `layout` is none, or `masks` is neither a sequence nor a mapping nor `Masks`.
      ValueError: If an array is not a mask, the masks fit neither each other nor the layout, or a weight that `Masks`
        cut is not zero.
    """
    if layout is None:
        return _chain(masks, permute_outputs)
    if not isinstance(layout, UnitLayout):
        raise TypeError(
            f"layout (a {type(layout).__name__}) must be a UnitLayout, such as UnitGraph.trace(model, *example_inputs)."
        )
    if permute_outputs:
        raise ValueError("permute_outputs (=True) must be left out with a layout, which says what is interchangeable.")
    found = in_layout(masks, layout)
    return MaskedUnits(layout, found, {space.name: space.units for space in layout.spaces}, chained=False)


def in_layout(masks: Masks, layout: UnitLayout) -> list[Mask | None]:
    """Returns a mask, or None, for each variable of a layout.

    Args:
      masks: As for `read`; a list may also hold masks of the weights between units alone, in the layout's order.
      layout: The layout.

    Raises:
      TypeError: As `read` does.
      ValueError: As `read` does.
    """
    found: list[Mask | None] = [None] * len(layout.names)
    for index, given in _indexed(masks, layout):
        if given is not None:
            mask = as_mask(given, f"masks[{layout.names[index]}]")
            if mask.shape != layout.shapes[index]:
                raise ValueError(
                    f"masks[{layout.names[index]}] (shape {mask.shape}) must have the variable's shape "
                    f"{layout.shapes[index]}."
                )
            found[index] = mask
    return found


def _chain(masks: Masks, permute_outputs: bool) -> MaskedUnits:
    arrays: Any = getattr(masks, "arrays", masks)
    named = arrays.items() if isinstance(arrays, Mapping) else enumerate(_sequence(arrays))
    for weight, mask in zip(getattr(masks, "weights", ()), arrays, strict=False):
        _check_cut(weight, mask)
    checked = {str(name): as_mask(mask, f"masks[{name}]") for name, mask in named}
    if not checked:
        raise ValueError("masks must hold at least one layer.")
    layout = UnitLayout.of_chain(
        {f"masks[{name}]": mask.shape for name, mask in checked.items()}, permute_outputs=permute_outputs
    )
    layout.names = list(checked)
    sets: dict[Key, Units] = {}
    for index, axes in enumerate(layout.axes):
        assert isinstance(axes[-1], Units)
        sets[index] = axes[-1]
    return MaskedUnits(layout, list(checked.values()), sets, chained=True)


def _indexed(masks: Masks, layout: UnitLayout) -> Iterator[tuple[int, npt.ArrayLike | None]]:
    """Yields masks with the indices of their variables in a layout."""
    if isinstance(masks, Mapping):
        for name, mask in masks.items():
            if layout.names.count(name) != 1:
                raise ValueError(
                    f"masks: {name!r} must be the name of one variable, and is that of {layout.names.count(name)}. "
                    f"Names: {', '.join(layout.names)}. Or give a mask, or None, for each variable in this order."
                )
            yield layout.names.index(name), mask
    elif hasattr(masks, "arrays"):
        known = {id(variable): index for index, variable in enumerate(getattr(layout, "variables", ()))}
        held: Any = masks
        pairs = list(zip(held.weights, held.arrays, strict=True))
        if pairs and known.keys().isdisjoint(id(weight) for weight, _ in pairs):
            raise ValueError(
                f"masks (of {pairs[0][0].name} and others) must be of weights that the traced call reads, and are "
                "those of another model: make masks of this one, or give the arrays alone, masks.arrays."
            )
        for weight, mask in pairs:
            if id(weight) in known:
                _check_cut(weight, mask)
                yield known[id(weight)], mask
    else:
        given = _sequence(masks)
        weights = sorted({edge.variable for edge in layout.edges})
        if len(given) not in (len(weights), len(layout.names)):
            raise ValueError(
                f"masks (of length {len(given)}) must hold one for each of the {len(weights)} weights "
                f"{', '.join(layout.names[index] for index in weights)}, or one, or None, for each variable."
            )
        yield from enumerate(given) if len(given) == len(layout.names) else zip(weights, given, strict=True)


def _check_cut(weight: Any, mask: Mask) -> None:
    """Raises a `ValueError` if a weight that its mask cuts is not zero: the model computes otherwise than masked."""
    count = np.count_nonzero((weight.numpy() != 0) & ~mask)
    if count:
        raise ValueError(
            f"masks: {count} of the {np.count_nonzero(~mask)} cut weights of {weight.name} must be zero, and are not, "
            "as after steps of an optimizer without masks: call masks.apply(), and train with masks.wrap(optimizer)."
        )


def _sequence(masks: Any) -> Sequence[Any]:
    if isinstance(masks, str) or not (hasattr(masks, "__len__") and hasattr(masks, "__getitem__")):
        raise TypeError(f"masks (a {type(masks).__name__}) must be a sequence or mapping of arrays, or Masks.")
    return masks


def split(
    array: Array, axes: Sequence[Axis], origins: Sequence[int]
) -> Iterator[tuple[Array, tuple[Units, ...], tuple[int, ...]]]:
    """Splits an array, such as a mask or a weight, until elementary units lie along each axis.

    Args:
      array: The array.
      axes: The units along its axes.
      origins: A number for each of its axes, which the parts' axes inherit.

    Yields:
      Each part, the units along its axes, and the numbers of the axes that these are parts of.
    """
    for place, (axis, origin) in enumerate(zip(axes, origins, strict=True)):
        if isinstance(axis, Units):
            continue
        sizes = [part.size for part in axis.parts]
        if isinstance(axis, Product):
            shaped = array.reshape(*array.shape[:place], *sizes, *array.shape[place + 1 :])
            pieces: list[tuple[Any, tuple[Axis, ...]]] = [(shaped, axis.parts)]
        else:
            parts = np.split(array, np.cumsum(sizes)[:-1], axis=place)
            pieces = [(piece, (part,)) for piece, part in zip(parts, axis.parts, strict=True)]
        for piece, new in pieces:
            along = [*axes[:place], *new, *axes[place + 1 :]]
            yield from split(piece, along, [*origins[:place], *[origin] * len(new), *origins[place + 1 :]])
        return
    yield array, tuple(axis for axis in axes if isinstance(axis, Units)), tuple(origins)


def distinct(rows: npt.NDArray[np.generic]) -> tuple[Numbers, Numbers]:
    """Numbers the distinct rows of a matrix.

    >>> distinct(np.array([[1, 2], [0, 0], [1, 2]], np.uint8))
    (array([1, 0, 1]), array([1, 2]))

    Args:
      rows: A matrix with at least one column, compared byte by byte.

    Returns:
      The number of each row among the distinct rows, in an order that depends on their values alone; and the
      number of occurrences of each distinct row.
    """
    rows = np.ascontiguousarray(rows)
    whole = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    _, inverse, counts = np.unique(whole, return_inverse=True, return_counts=True)
    return inverse, counts


def twins(masked: MaskedUnits, units: Units) -> list[Numbers]:
    """Finds the classes of units that all masks connect alike, so that any two of a class may change places."""
    labels = [distinct(block.rows(place))[0] for block in masked.blocks for place in block.places(units)]
    if not labels:
        return [np.arange(units.size)]
    joint, counts = distinct(np.stack(labels, axis=1))
    return [np.flatnonzero(joint == label) for label in range(len(counts))]
