"""The statistics of a model's masks that runs record."""

import contextlib
from typing import Any

import numpy as np

from weight_symmetry import symmetry
from weight_symmetry.compaction.live import live_architecture
from weirdonetworks.lab.records import files
from weirdonetworks.lab.records.tables import counted
from weirdonetworks.measure.unit_layout import UnitLayout

# Statistics that may exceed the range of a float.
COUNTS = ("permutations", "automorphisms", "live_automorphisms")

# Statistics that every epoch's record holds.
TRACKED = (
    "sparsity",
    "permutations",
    "permutation_log10",
    "permutation_num_digits",
    "unique_neurons",
    "zeroed_neurons",
    "total_neurons",
    "fan_in_min",
    "fan_in_mean",
    "fan_in_max",
    "automorphisms_log10",
    "live_automorphisms_log10",
    "start_overlap",
)


def describe(masks: Any, layout: UnitLayout | None = None) -> dict[str, Any]:
    """Computes statistics of masks: per layer and, where igraph is installed, of the exact group.

    Args:
      masks: The masks of a chain in layer order, or what `symmetry.mask_statistics` takes with a layout.
      layout: The layout of a model that is no chain.

    Returns:
      `weights` and `kept_weights`; `fan_in_min`, `fan_in_mean` and `fan_in_max`, over the neurons of the masks that cut
      something, or of all if none does; what `symmetry.mask_statistics` gives; and `automorphisms` (the order of the
      group of joint permutations of hidden units), `automorphisms_log10`, `live_automorphisms`,
      `live_automorphisms_log10`.
      The `COUNTS` are strings of digits whatever their size, as JSON needs them beyond 2^53, so that a record's key has
      values of one type.
    """
    statistics = _computed(masks, layout)
    layers = [_digits_as_strings(layer) for layer in statistics.pop("layers")]
    return _digits_as_strings(statistics) | {"layers": layers}


def describe_change(masks: Any, layout: UnitLayout | None = None) -> dict[str, Any]:
    """Computes what is recorded of masks at each change: the `TRACKED` statistics, of counts the logarithms alone.

    >>> found = describe_change([np.array([[1, 1, 0], [1, 1, 0]]), np.ones((3, 1))])
    >>> found["zeroed_neurons"], round(10 ** found["automorphisms_log10"])
    (1, 2)

    Args: as for `describe`.
    """
    return of_change(_computed(masks, layout))


def of_change(statistics: dict[str, Any]) -> dict[str, Any]:
    """Returns the statistics that are recorded of masks at each change."""
    return {name: statistics[name] for name in TRACKED if name in statistics and name not in COUNTS}


def _computed(masks: Any, layout: UnitLayout | None) -> dict[str, Any]:
    arrays = [mask for mask in getattr(masks, "arrays", masks) if mask is not None]
    counts = {"weights": sum(mask.size for mask in arrays), "kept_weights": sum(int(mask.sum()) for mask in arrays)}
    sparse = [mask for mask in arrays if not mask.all()] or arrays
    fans = np.concatenate([mask.reshape(-1, mask.shape[-1]).sum(axis=0) for mask in sparse])
    fan_ins = {"fan_in_min": int(fans.min()), "fan_in_mean": float(fans.mean()), "fan_in_max": int(fans.max())}
    statistics = counts | fan_ins | symmetry.mask_statistics(masks, layout)
    with contextlib.suppress(ImportError):  # Of igraph.
        group = symmetry.automorphisms(masks, layout)
        statistics |= {
            "automorphisms": group.order,
            "automorphisms_log10": group.log10_order,
            "live_automorphisms": group.live_order,
            "live_automorphisms_log10": group.live_log10_order,
        }
    return statistics


def _digits_as_strings(statistics: dict[str, Any]) -> dict[str, Any]:
    return {name: files.digits(value) if name in COUNTS else value for name, value in statistics.items()}


def describe_propagated(masks: Any, layout: UnitLayout | None = None) -> dict[str, Any]:
    """Computes the same statistics of the propagated masks.

    Of dense layers also what `compaction.live_architecture` measures: `live_size_0` (inputs that are read),
    `live_size_1` (units of the first hidden layer) and so on, `live_flops` and `live_bytes`.
    """
    propagated = symmetry.propagate(masks, layout)
    statistics = describe(propagated, layout)
    if layout is not None or any(mask is None or mask.ndim != 2 for mask in propagated):
        return statistics
    live = live_architecture([mask for mask in propagated if mask is not None])
    return statistics | {
        **{f"live_size_{index}": size for index, size in enumerate(live.sizes[:-1])},
        "live_flops": live.flops,
        "live_bytes": live.size,
    }


def tracked(statistics: dict[str, Any]) -> dict[str, Any]:
    """Returns the statistics that every epoch's record holds, by record key."""
    return {f"mask/{name}": statistics[name] for name in TRACKED if name in statistics}


def flat(statistics: dict[str, Any]) -> dict[str, Any]:
    """Returns the statistics without those of single layers or spaces."""
    return {name: value for name, value in statistics.items() if name not in ("layers", "fixed_spaces")}


def fixed_spaces(layout: UnitLayout | None) -> list[dict[str, Any]]:
    """Lists the units that weights write and the model might let change places, but that are counted as fixed.

    >>> from weirdonetworks.measure.unit_tracing.axes import Units
    >>> layout = UnitLayout(["w"], [[Units(3, "inputs"), Units(2, "TopKV2 (top) is not followed")]], [])
    >>> fixed_spaces(layout)
    [{'name': 'w', 'units': 2, 'reason': 'TopKV2 (top) is not followed'}]
    """
    if layout is None:
        return []
    return [
        {"name": space.name, "units": space.size, "reason": space.fixed}
        for space in layout.spaces
        if space.fixed
        and not _tells_apart(space.fixed)
        and any(place.axis == len(layout.axes[place.variable]) - 1 for place in space.places)
    ]


def _tells_apart(reason: str) -> bool:
    """Whether units fixed for a reason are inputs, outputs or positions, which no trace would let change places."""
    return reason in ("inputs", "outputs", "padding", "copies", "counted") or "place" in reason.partition(" (")[0]


def fixed_line(layout: UnitLayout | None, most: int = 3) -> str:
    """Formats the fixed spaces in one line, at most some of them; empty if there are none."""
    spaces = fixed_spaces(layout)
    told = [f"{counted(each['units'], 'unit')} of {each['name']} ({each['reason']})" for each in spaces[:most]]
    if len(spaces) > most:
        told.append(f"and {counted(len(spaces) - most, 'more space')}, see mask_stats.json")
    return f"Counted as fixed: {', '.join(told)}." if told else ""
