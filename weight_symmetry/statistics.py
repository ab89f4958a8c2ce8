"""What is recorded of a model's masks."""

from collections.abc import Sequence
from typing import Any

from weight_symmetry import propagation, symmetry
from weight_symmetry.masks import Mask
from weirdonetworks.lab.records import files

# The statistics that outgrow every float.
COUNTS = ("permutations", "automorphisms", "live_automorphisms")

# The statistics that go into every epoch's record too.
TRACKED = (
    "sparsity",
    "permutations",
    "permutation_log10",
    "permutation_num_digits",
    "unique_neurons",
    "zeroed_neurons",
    "total_neurons",
    "automorphisms_log10",
    "live_automorphisms_log10",
)


def describe(masks: Sequence[Mask]) -> dict[str, Any]:
    """Measures masks: the per-layer statistics and, where igraph is installed, the exact group.

    Args:
      masks: The masks in layer order.

    Returns:
      `weights` and `kept_weights`, what `symmetry.mask_statistics` gives, and `automorphisms` (the order of the group
      of joint permutations of hidden units), `automorphisms_log10`, `live_automorphisms`, `live_automorphisms_log10`.
      The `COUNTS` are strings of digits whatever their size, as JSON needs them beyond 2^53, so that a record's key has
      values of one type.
    """
    statistics = _measured(masks)
    layers = [_written(layer) for layer in statistics.pop("layers")]
    return _written(statistics) | {"layers": layers}


def _measured(masks: Sequence[Mask]) -> dict[str, Any]:
    counts = {"weights": sum(mask.size for mask in masks), "kept_weights": sum(int(mask.sum()) for mask in masks)}
    statistics = counts | symmetry.mask_statistics(masks)
    try:
        group = symmetry.automorphisms(masks)
    except ImportError:
        return statistics
    return statistics | {
        "automorphisms": group.order,
        "automorphisms_log10": group.log10_order,
        "live_automorphisms": group.live_order,
        "live_automorphisms_log10": group.live_log10_order,
    }


def _written(statistics: dict[str, Any]) -> dict[str, Any]:
    return {name: files.digits(value) if name in COUNTS else value for name, value in statistics.items()}


def describe_propagated(masks: Sequence[Mask]) -> dict[str, Any]:
    """Measures masks without the connections that lead nowhere."""
    return describe(propagation.propagate(masks))


def tracked(statistics: dict[str, Any]) -> dict[str, Any]:
    """Picks what goes into every epoch's record."""
    return {f"mask/{name}": statistics[name] for name in TRACKED if name in statistics}


def flat(statistics: dict[str, Any]) -> dict[str, Any]:
    """Leaves out the single layers."""
    return {name: value for name, value in statistics.items() if name != "layers"}
