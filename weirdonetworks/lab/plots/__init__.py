"""Plots in the project's one style."""

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

# Okabe & Ito's colours, told apart by colour-blind readers too.
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
    """Makes a figure of `count` axes in a row, widths in proportion; it belongs to no window and needs no closing."""
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
    epochs = [record["epoch"] for record in records]
    for split in ("train", "validation", "test"):
        if f"{split}_accuracy" in records[0]:
            axes.plot(epochs, [100 * record[f"{split}_accuracy"] for record in records], marker=".", label=split)
    axes.set(title="accuracy", xlabel="epoch", ylabel="%")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def bars(spreads: Iterable[Mapping[str, Any]], scale: float = 1.0) -> list[float] | None:
    """Gives the lengths of error bars, the deviations of `study.spread`s; None where there is one trial, so no bars.

    >>> bars([{"mean": 0.9, "deviation": 0.25, "values": [0.65, 1.15]}], scale=100)
    [25.0]
    """
    listed = list(spreads)
    if any(len(each["values"]) < 2 for each in listed):
        return None
    return [scale * each["deviation"] for each in listed]


def heat_map(axes: Axes, values: npt.NDArray[Any], title: str) -> None:
    """Draws a matrix as an image with its scale."""
    image = axes.imshow(np.asarray(values), cmap="viridis")
    axes.set(title=title, xticks=[], yticks=[])
    axes.figure.colorbar(image, ax=axes, shrink=0.85)


def save(figure: Figure, path: pathlib.Path) -> None:
    """Writes a figure as PNG, whole or not at all."""
    beside = path.with_name(f".{path.name}")
    try:
        figure.savefig(beside, dpi=130, format="png", metadata={"Software": None})
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
