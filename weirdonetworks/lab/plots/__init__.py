"""Plots in a common style."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe & Ito's colours, distinct for colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE: Any = {
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "font.size": 10,
    "legend.frameon": False,
}


def row(count: int, widths: Sequence[float] | None = None, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """Makes a figure of `count` axes in a row, their widths in proportion to `widths`; it belongs to no window."""
    with mpl.rc_context(STYLE):
        shares = tuple(widths or [1.0] * count)
        figure = Figure(figsize=(1.15 * height * sum(shares), height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, count, squeeze=False, width_ratios=shares)[0]
    return figure, list(axes)


def tiles(rows: int, columns: int, side: float = 1.25) -> tuple[Figure, npt.NDArray[Any]]:
    """Makes a figure of square axes without frames, for images; returns them as an array `[rows, columns]`."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side * columns + 0.25, side * rows), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.set(xticks=[], yticks=[])
        each.spines[:].set_visible(False)
    return figure, axes


def accuracy_by_epoch(axes: Axes, records: Sequence[Mapping[str, Any]]) -> None:
    """Draws the accuracy of each split that the records have."""
    for split in ("train", "validation", "test"):
        if f"{split}_accuracy" in records[0]:
            by_epoch(axes, [record[f"{split}_accuracy"] for record in records], label=split)
    axes.set_title("accuracy")


def by_epoch(axes: Axes, accuracies: Sequence[float], **style: Any) -> None:
    """Draws an accuracy after each epoch, in percent."""
    axes.plot(range(1, len(accuracies) + 1), [100 * accuracy for accuracy in accuracies], marker=".", **style)
    axes.set(xlabel="epoch", ylabel="%")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def error_bars(
    axes: Axes,
    places: Sequence[Any],
    spreads: Iterable[Mapping[str, Any]],
    scale: float = 100,
    horizontal: bool = False,
    **style: Any,
) -> None:
    """Draws the means of `study.spread`s, with their deviations as error bars where there are several trials.

    Args:
      axes: The axes.
      places: The coordinate of each mean on the other axis, x, or y if `horizontal`.
      spreads: The spreads.
      scale: Factor of means and deviations; 100 for percentages.
      horizontal: Whether the means are on the x axis.
      **style: Keyword arguments of `Axes.errorbar`.
    """
    listed = list(spreads)
    means = [scale * each["mean"] for each in listed]
    has_bars = all(len(each["values"]) > 1 for each in listed)
    bars = [scale * each["deviation"] for each in listed] if has_bars else None
    if horizontal:
        axes.errorbar(means, places, xerr=bars, **style)
    else:
        axes.errorbar(places, means, yerr=bars, **style)


def name_rows(axes: Axes, names: Iterable[str]) -> None:
    """Labels the integers of the y axis, the first name at the top."""
    listed = list(names)
    axes.set_yticks(range(len(listed)), listed)
    axes.invert_yaxis()


def label_ticks(axes: Axes, values: npt.ArrayLike) -> None:
    """Labels these values of the x axis, which may be logarithmic, and no others."""
    places = np.asarray(values).tolist()
    axes.set_xticks(places, [f"{place:g}" for place in places], minor=False)
    axes.minorticks_off()


def heat_map(axes: Axes, values: npt.NDArray[Any], title: str) -> None:
    """Draws a matrix as an image with its scale."""
    image = axes.imshow(np.asarray(values), cmap="viridis")
    axes.set(title=title, xticks=[], yticks=[])
    axes.figure.colorbar(image, ax=axes, shrink=0.85)


def save(figure: Figure, path: pathlib.Path) -> None:
    """Writes a figure as PNG, atomically."""
    beside = path.with_name(f".{path.name}")
    try:
        figure.savefig(beside, dpi=130, format="png", metadata={"Software": None})
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
