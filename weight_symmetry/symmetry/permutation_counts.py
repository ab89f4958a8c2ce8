"""Counts of the permutations that leave masks unchanged, layer by layer or space by space."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from weight_symmetry.masks import Mask, as_mask
from weight_symmetry.symmetry.masked_units import Block, Key, MaskedUnits, Masks, distinct, read
from weight_symmetry.symmetry.propagation import connected
from weirdonetworks.measure.unit_layout import UnitLayout
from weirdonetworks.measure.unit_tracing.axes import Units, units_of


def layer_statistics(
    mask: npt.ArrayLike, next_mask: npt.ArrayLike | None = None, *, permute_outputs: bool = False
) -> dict[str, Any]:
    """Counts the permutations of one layer's neurons that leave its mask and the next one unchanged.

    Two neurons may be exchanged if they have equal incoming and equal outgoing connections, kernel position by kernel
    position, and channel by channel where a dense layer reads a flattened convolution. A neuron is dead if all its
    incoming or all its outgoing connections are gone; dead neurons are counted in `zeroed_neurons` only.

    Without a next mask the neurons are the model's outputs. Their labels tell them apart, so each one alive is unique
    and none may be exchanged, unless `permute_outputs`: then equal incoming connections are enough.

    >>> layer_statistics([[1, 1, 0, 1]], [[1], [1], [1], [0]])["permutations"]
    2

    Args:
      mask: The layer's mask, `[in, out]` or `[height, width, in, out]`.
      next_mask: The mask of the layer that reads it, or None after the last layer.
      permute_outputs: Whether the outputs of the last layer may be exchanged too.

    Returns:
      A dictionary with
        `sparsity`: the fraction of the layer's connections that is gone;
        `permutations`: the exact number of permutations, 1 or more;
        `permutation_log10`: its decimal logarithm;
        `permutation_num_digits`: the number of its decimal digits;
        `unique_neurons`: the number of classes of live neurons that may be exchanged for each other;
        `zeroed_neurons`: the number of dead neurons;
        `total_neurons`: the number of neurons.

    Raises:
      ValueError: If an array is not a mask, or the two do not chain.
    """
    masks = [as_mask(mask, "mask")] if next_mask is None else [as_mask(mask, "mask"), as_mask(next_mask, "next_mask")]
    masked = read(masks, permute_outputs=permute_outputs)
    return _row(masked, 0, connected(masked)[masked.sets[0]])


def mask_statistics(masks: Masks, layout: UnitLayout | None = None, *, permute_outputs: bool = False) -> dict[str, Any]:
    """Counts, layer by layer or space by space, the permutations of a model's units that leave its masks unchanged.

    The permutations are multiplied, and they form a subgroup of all the symmetries only: it lacks those that permute
    several layers at once, which `automorphisms` counts.

    >>> statistics = mask_statistics([np.ones((784, 300)), np.ones((300, 10))])
    >>> statistics["permutations"] == math.factorial(300)
    True
    >>> statistics["unique_neurons"], statistics["permutation_num_digits"]
    (11, 615)

    Args:
      masks: The masks, as `propagate` takes them.
      layout: The layout of a model that is no chain of layers: `UnitGraph.trace(model, *example_inputs)`.
        Without it the masks are read as those of a chain, in their order, so with residual sums, branches or shared
        layers the count is that of another model. So it is where Sonnet lists the layers of a chain, by the names of
        attributes, in another order: `decoder` before `encoder`.
      permute_outputs: Whether the outputs of a chain may be exchanged too; they are labelled otherwise.

    Returns:
      A dictionary with the keys that `layer_statistics` describes, over the whole model, and `layers`: a list of the
      same statistics for each layer, with its `index`, `name` and `shape`. With a layout, for each space of units that
      masked weights write, or that is interchangeable and has masked weights, with its `index` and `name`; the sparsity
      is that of the weights that write it or, if none is masked, of those that read it.

    Raises:
      TypeError: If `layout` is none.
      ValueError: If the masks do not fit, or none is given.
    """
    masked = read(masks, layout, permute_outputs=permute_outputs)
    if all(mask is None for mask in masked.masks):
        raise ValueError("masks must hold at least one mask.")
    alive = connected(masked)
    rows: list[dict[str, Any]] = []
    for index, key in enumerate(_reported(masked)):
        row: dict[str, Any] = {"index": index, "name": masked.layout.names[index] if masked.chained else key}
        if masked.chained:
            row["shape"] = list(masked.layout.shapes[index])
        rows.append(row | _row(masked, key, alive[masked.sets[key]]))
    return {
        "sparsity": _sparsity([mask for mask in masked.masks if mask is not None]),
        **_permutation_statistics(math.prod(row["permutations"] for row in rows)),
        **{key: sum(row[key] for row in rows) for key in ("unique_neurons", "zeroed_neurons", "total_neurons")},
        "layers": rows,
    }


def _reported(masked: MaskedUnits) -> list[Key]:
    """Lists the sets of units that statistics are about."""
    if masked.chained:
        return list(masked.sets)
    held = {units for block in masked.blocks for units in block.units}
    written = {
        units
        for edge in masked.layout.edges
        if masked.masks[edge.variable] is not None
        for units in units_of(*(masked.layout.axes[edge.variable][place] for place in edge.outputs))
    }
    return [key for key, units in masked.sets.items() if units in (written if units.fixed else held)]


def _row(masked: MaskedUnits, key: Key, alive: Mask) -> dict[str, Any]:
    units = masked.sets[key]
    holding = [block for block in masked.blocks if units in block.units]
    writing = [block for block in holding if _is_written(masked.layout, block, units)]
    live = int(np.count_nonzero(alive))
    counts = np.ones(live, int)
    if not units.fixed:
        rows = [block.rows(place)[alive] for block in holding for place in block.places(units)]
        _, counts = distinct(np.hstack(rows))
    return {
        "sparsity": _sparsity([block.mask for block in writing or holding]),
        **_permutation_statistics(math.prod(math.factorial(count) for count in counts[counts > 1].tolist())),
        "unique_neurons": len(counts),
        "zeroed_neurons": len(alive) - live,
        "total_neurons": len(alive),
    }


def _is_written(layout: UnitLayout, block: Block, units: Units) -> bool:
    origins = {block.origins[place] for place in block.places(units)}
    edges = [edge for edge in layout.edges if edge.variable == block.variable]
    return any(not origins.isdisjoint(set(edge.outputs) - set(edge.inputs)) for edge in edges)


def _sparsity(masks: list[Mask]) -> float:
    return 1 - sum(int(np.count_nonzero(mask)) for mask in masks) / sum(mask.size for mask in masks)


def _permutation_statistics(permutations: int) -> dict[str, Any]:
    return {
        "permutations": permutations,
        "permutation_log10": math.log10(permutations),
        "permutation_num_digits": _digits(permutations),
    }


def _digits(number: int) -> int:
    """Counts the decimal digits of a positive integer, of whatever size."""
    power = int(math.log10(number))  # Off by one at most, where rounding crosses a power of ten.
    return power + int(10**power <= number) + int(10 ** (power + 1) <= number)
