"""What is recorded of a model's masks."""

from collections.abc import Sequence
from typing import Any

from weight_symmetry import propagation, symmetry
from weight_symmetry.masks import Mask

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
    """
    counts = {"weights": sum(mask.size for mask in masks), "kept_weights": sum(int(mask.sum()) for mask in masks)}
    statistics = counts | symmetry.mask_statistics(masks)
    try:
        group = symmetry.automorphisms(masks)
    except ImportError:
        return statistics
    return {
        **{key: value for key, value in statistics.items() if key != "layers"},
        "automorphisms": group.order,
        "automorphisms_log10": group.log10_order,
        "live_automorphisms": group.live_order,
        "live_automorphisms_log10": group.live_log10_order,
        "layers": statistics["layers"],
    }


def describe_propagated(masks: Sequence[Mask]) -> dict[str, Any]:
    """Measures masks without the connections that lead nowhere."""
    return describe(propagation.propagate(masks))


def tracked(statistics: dict[str, Any]) -> dict[str, Any]:
    """Picks what goes into every epoch's record."""
    return {f"mask/{name}": statistics[name] for name in TRACKED if name in statistics}


def flat(statistics: dict[str, Any]) -> dict[str, Any]:
    """Leaves out the single layers."""
    return {name: value for name, value in statistics.items() if name != "layers"}
