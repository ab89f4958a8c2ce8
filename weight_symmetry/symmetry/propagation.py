"""Propagation of masks: removal of the connections of dead units."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from weight_symmetry.masks import Mask
from weight_symmetry.symmetry.masked_units import MaskedUnits, Masks, read
from weirdonetworks.measure.unit_layout import UnitLayout, collect, spread
from weirdonetworks.measure.unit_tracing.axes import Axis, Edge, Units, units_of

Flags: TypeAlias = dict[Units, Mask]


def propagate(masks: Masks, layout: UnitLayout | None = None) -> list[Any]:
    """Removes all connections of dead units.

    A unit is alive if a path of connections from the inputs reaches it and another leads from it to the outputs; a unit
    of a residual stream, if any of those that write it is reached and any that read it leads on. So is every unit whose
    value enters into those of others without weights, as under a softmax or a norm over the units. Nothing is ever
    added: the propagated masks lie within the given ones. A dead unit still emits the activation of its bias. A kernel
    position counts as a connection, whether or not the padding lets it see an image.

    >>> first, second = propagate([np.array([[1, 0]]), np.array([[1, 1], [1, 1]])])
    >>> second.astype(int)
    array([[1, 1],
           [0, 0]])

    Args:
      masks: The masks of a chain in layer order; or, with a layout, masks by the names of its variables, or a mask or
        None for each of its variables, or `weight_symmetry.masks.Masks` of the traced model's weights. Weights without
        a mask have all their connections.
      layout: The layout of any other model: `UnitGraph.trace(model, *example_inputs)`.

    Returns:
      New boolean masks in the same order, each shaped like the given one; with a layout, one for each of its variables,
      or None for those without.

    Raises:
      TypeError: If `layout` is none.
      ValueError: If the masks do not fit.
    """
    return propagated(read(masks, layout))[0]


def propagated(masked: MaskedUnits) -> tuple[list[Mask | None], Flags]:
    """Removes all connections of dead units; returns the masks, and which units are alive."""
    layout, masks = masked.layout, [None if mask is None else mask.copy() for mask in masked.masks]
    while True:
        reached, needed = (flow(layout, masks, backward=backward) for backward in (False, True))
        kept = list(masks)
        for edge in layout.edges:
            mask, axes = masks[edge.variable], layout.axes[edge.variable]
            if mask is not None:
                alive = mask
                for flags, places in ((reached, edge.inputs), (needed, edge.outputs)):
                    alive = _flagged(alive, axes, places, flags)
                before = kept[edge.variable]
                # A variable used twice keeps what either use needs.
                kept[edge.variable] = alive if before is mask or before is None else before | alive
        if all(a is None or b is None or np.array_equal(a, b) for a, b in zip(kept, masks, strict=True)):
            ones = {units: np.ones(units.size, bool) for units in masked.sets.values()}
            return masks, {units: reached.get(units, one) & needed.get(units, one) for units, one in ones.items()}
        masks = kept


def connected(masked: MaskedUnits) -> Flags:
    """Finds the units with at least one incoming and one outgoing connection."""
    found = {}
    for backward in (False, True):
        closed = _closed(masked.layout, backward)
        flags = {units: np.zeros(units.size, bool) for units in closed}
        for edge in masked.layout.edges:
            for units, reached in _carried(masked.layout, masked.masks[edge.variable], edge, {}, backward):
                if units in closed:
                    flags[units] |= reached
        found[backward] = flags
    ones = {units: np.ones(units.size, bool) for units in masked.sets.values()}
    return {units: found[False].get(units, one) & found[True].get(units, one) for units, one in ones.items()}


def flow(layout: UnitLayout, masks: list[Mask | None], *, backward: bool) -> Flags:
    """Finds the units that connections reach from the inputs, or, backward, those from which they reach the outputs.

    Units that are missing are all reached.
    """
    flags = {units: np.zeros(units.size, bool) for units in _closed(layout, backward)}
    edges = layout.edges[::-1] if backward else layout.edges
    changed = True
    while changed:
        changed = False
        for edge in edges:
            for units, reached in _carried(layout, masks[edge.variable], edge, flags, backward):
                if units in flags and (reached & ~flags[units]).any():
                    flags[units] = flags[units] | reached
                    changed = True
    return flags


def _closed(layout: UnitLayout, backward: bool) -> set[Units]:
    """Lists the units that only connections reach."""
    found = set()
    for edge in layout.edges:
        sources, targets = _ends(edge, backward)
        for units in units_of(*(layout.axes[edge.variable][place] for place in targets if place not in sources)):
            outside = units.fixed and (backward or units.fixed != "outputs")
            if not (outside or units.mixed):
                found.add(units)
    return found


def _carried(
    layout: UnitLayout, mask: Mask | None, edge: Edge, flags: Mapping[Units, Mask], backward: bool
) -> Iterator[tuple[Units, Mask]]:
    """Yields the units that an edge reaches from flagged units, or, backward, from which it reaches flagged ones.

    An axis on both sides, as of a depthwise filter, leads from each unit to itself alone, and is passed over.
    """
    axes = layout.axes[edge.variable]
    sources, targets = _ends(edge, backward)
    entries = np.broadcast_to(True, layout.shapes[edge.variable]) if mask is None else mask
    entries = _flagged(entries, axes, sources, flags)
    for place in targets:
        if place not in sources:
            others = tuple(other for other in range(entries.ndim) if other != place)
            yield from collect(axes[place], np.asarray(entries.any(axis=others)))


def _ends(edge: Edge, backward: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return (edge.outputs, edge.inputs) if backward else (edge.inputs, edge.outputs)


def _flagged(entries: Mask, axes: Sequence[Axis], places: Sequence[int], flags: Mapping[Units, Mask]) -> Mask:
    """Selects the entries whose units along some axes are flagged."""
    for place in places:
        if any(units in flags for units in units_of(axes[place])):
            shape = [-1 if axis == place else 1 for axis in range(entries.ndim)]
            entries = entries & spread(axes[place], flags).reshape(shape)
    return entries
