"""The figure of a run: accuracy by epoch, and the connections that the masks keep."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.lab import plots

Mask = npt.NDArray[np.bool_]


def save(path: pathlib.Path, records: Sequence[Mapping[str, Any]], masks: Sequence[Mask]) -> None:
    """Draws a run: accuracy over the epochs, connections kept in each layer and, for a dense first layer, each pixel's.

    Args:
      path: The PNG file to write.
      records: The records of the epochs.
      masks: The final masks, in layer order.
    """
    figure, (left, middle, right) = plots.grid(1, 2, heights=(3.2, 2.8))
    plots.accuracy_by_epoch(left, records)
    for record in records:
        if "masked_test_accuracy" in record:
            _mark_masking(left, record)
    # In the place of the title, where it hides no curve.
    left.set_title("")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    _draw_layers(middle, masks)
    _draw_first_layer(right, masks[0])
    plots.save(figure, path)


def _mark_masking(axes: Any, record: Mapping[str, Any]) -> None:
    axes.axvline(record["epoch"] - 1, color="0.6", linestyle=":", zorder=0)
    # Upright and to the right of its line: cuts of epochs in a row have room, and the first covers no axis.
    text = f"{record['mask/sparsity']:.1%} cut"
    if "mask/permutation_log10" in record:
        left = f"10^{record['mask/permutation_log10']:.1f} orderings"
        text += f",\n{'1 ordering' if round(record['mask/permutation_log10'], 1) == 0 else left} left"
    axes.annotate(
        text,
        (record["epoch"] - 1, 0.02),
        xycoords=("data", "axes fraction"),
        xytext=(2, 0),
        textcoords="offset points",
        rotation="vertical",
        va="bottom",
        fontsize="small",
        color="0.35",
    )


def _draw_layers(axes: Any, masks: Sequence[Mask]) -> None:
    kept = [100 * float(mask.mean()) for mask in masks]
    layers = [*map(str, range(1, len(masks))), "output"]
    axes.bar(range(len(masks)), kept, color=plots.COLOURS[0], tick_label=layers)
    for index, share in enumerate(kept):
        axes.annotate(f"{share:.0f}%", (index, share), ha="center", va="bottom", fontsize="small")
    axes.set(title="connections kept in each layer", xlabel="layer", ylabel="connections kept (%)", ylim=(0, 110))


def _draw_first_layer(axes: Any, mask: Mask) -> None:
    side = math.isqrt(mask.shape[0])
    if mask.ndim == 2 and side**2 == mask.shape[0]:
        plots.heat_map(axes, mask.sum(axis=1).reshape(side, side), "connections kept at each pixel", "connections")
    elif mask.ndim == 4:
        plots.heat_map(axes, mask.sum(axis=(2, 3)), "connections kept at each kernel position", "connections")
    else:
        axes.set_axis_off()
