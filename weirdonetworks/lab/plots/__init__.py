"""Plots in a common style."""

import contextlib
import io
import math
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from weirdonetworks.lab.records import files

# Okabe & Ito's colours without yellow, and two more; distinct for colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8B4513", "#3B0F70")
DOTS_PER_INCH = 150
PAGE = 8.0  # Inches: a picture of a page's width has 1,200 pixels, and text of 10 points is read without zooming.
STYLE: Any = {
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "font.size": 10,
    "legend.frameon": False,
}


# A power of ten as labels of ticks have it.
_POWER = re.compile(r"\$(\\mathdefault\{)?[\d.-]*(\\times)?10\^\{[\d.-]+\}\}?\$")


class _Plot(Figure):
    """A figure whose texts are drawn as they are, but for powers of ten: a dollar in a record begins no formula."""

    def draw(self, renderer: Any) -> None:
        """Draws the figure."""
        _keep_dollars(self)
        super().draw(renderer)


def _keep_dollars(figure: Figure) -> None:
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_ticklabels()  # Sets their texts.
    for text in figure.findobj(Text):
        if "$" in text.get_text() and not _POWER.fullmatch(text.get_text()):
            text.set_parse_math(False)


@contextlib.contextmanager
def _styled(width: float, height: float) -> Iterator[Figure]:
    """Makes a figure of so many inches, to which axes are added in the common style."""
    with mpl.rc_context(STYLE):
        figure = _Plot(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def row(count: int, widths: Sequence[float] | None = None, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """Makes a figure of `count` axes in a row, their widths in proportion to `widths`; it belongs to no window."""
    shares = tuple(widths or [1.0] * count)
    with _styled(1.15 * height * sum(shares), height) as figure:
        axes = figure.subplots(1, count, squeeze=False, width_ratios=shares)[0]
    return figure, list(axes)


def grid(*counts: int, heights: Sequence[float] | float = 2.8) -> tuple[Figure, list[Axes]]:
    """Makes a figure as wide as a page, with `counts[i]` axes of equal width in row i.

    >>> figure, axes = grid(2, 1, heights=(3.0, 2.0))
    >>> figure.get_size_inches().tolist(), len(axes)
    ([8.0, 5.0], 3)

    Args:
      *counts: The number of axes in each row, from the top.
      heights: The height of each row in inches, or of all.

    Returns:
      The figure, which belongs to no window, and its axes, row by row.
    """
    rows = [heights] * len(counts) if isinstance(heights, float | int) else list(heights)
    columns = math.lcm(*counts)
    with _styled(PAGE, sum(rows)) as figure:
        cells = figure.add_gridspec(len(counts), columns, height_ratios=rows)
        axes = [
            figure.add_subplot(cells[row, place * columns // count : (place + 1) * columns // count])
            for row, count in enumerate(counts)
            for place in range(count)
        ]
    return figure, axes


def pairs(count: int, height: float = 2.8) -> tuple[Figure, list[Axes]]:
    """Makes a figure as wide as a page, with `count` axes, two in a row; a single last one is as wide as the row."""
    return grid(*[2] * (count // 2), *[1] * (count % 2), heights=height)


def tiles(rows: int, columns: int, side: float = 1.25) -> tuple[Figure, npt.NDArray[Any]]:
    """Makes a figure of square axes without frames, for images; returns them as an array `[rows, columns]`.

    The axes are `side` inches wide, or less, so that the figure is no wider than a page.
    """
    side = min(side, (PAGE - 0.25) / columns)
    with _styled(side * columns + 0.25, side * rows) as figure:
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
    axes.set(xlabel="epoch", ylabel="accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


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


def label_lines(axes: Axes) -> None:
    """Writes the labels of the lines beside their right ends, in their colours, in place of a legend.

    Labels that would overlap are moved apart, in the order of the lines' ends, and thin lines lead to them. The limits
    of the axes must be set before.

    >>> _, (axes,) = grid(1)
    >>> _ = axes.plot([0, 1], [0, 1.00], label="up"), axes.plot([0, 1], [0, 1.01], label="further up")
    >>> label_lines(axes)
    >>> low, high = axes.texts
    >>> low.get_text(), high.get_text(), bool(low.get_position()[1] + 0.05 < high.get_position()[1])
    ('up', 'further up', True)
    """
    size = 0.9 * mpl.rcParams["font.size"]
    apart = 1.25 * size / 72 / (0.75 * axes.bbox.height / axes.figure.dpi)
    axes.autoscale_view()
    to_fraction = axes.transData + axes.transAxes.inverted()
    ends = []
    for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
        line = handle[0] if isinstance(handle, ErrorbarContainer) else handle
        if isinstance(line, Line2D):
            data = np.asarray(line.get_xydata(), dtype=float)
            known = data[np.isfinite(data).all(axis=1)]
            if len(known):
                across, up = to_fraction.transform(known[-1])
                ends.append((float(np.clip(up, 0, 1)), float(across), name, line.get_color()))
    ends.sort(key=lambda end: end[0])
    places = np.array([end[0] for end in ends])
    steps = apart * np.arange(len(ends))
    places = np.maximum.accumulate(places - steps) + steps  # Up, where they overlap;
    highest = max(1.0, apart * (len(ends) - 1))
    places = np.minimum.accumulate((np.minimum(places, highest) - steps)[::-1])[::-1] + steps  # and down from the top.
    aside = 0.2 * axes.figure.dpi / axes.bbox.width
    for place, (up, across, name, colour) in zip(places, ends, strict=True):
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "relpos": (0, 0.5), "shrinkA": 2, "shrinkB": 4}
        look: Any = {"color": colour, "size": size, "va": "center", "annotation_clip": False, "arrowprops": leader}
        axes.annotate(name, (across, up), (1 + aside, place), "axes fraction", "axes fraction", **look)


def legend(*axes: Axes, **style: Any) -> None:
    """Draws one legend for a whole figure, below its axes and in three columns if `style` does not say otherwise.

    >>> figure, (left, right) = grid(2)
    >>> _ = left.plot([0, 1], label="dense"), right.plot([0], "o", label="dense")
    >>> legend(left, right)
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['dense']

    Args:
      *axes: The axes whose labelled lines, markers or bars are the entries. Those of several axes, in the same order,
        share an entry, such as a line on the left and a marker on the right; its name is that on the first.
      **style: Keyword arguments of `Figure.legend`.
    """
    drawn, names = zip(*(each.get_legend_handles_labels() for each in axes), strict=True)
    handles: Any = drawn[0] if len(axes) == 1 else list(zip(*drawn, strict=True))
    axes[0].figure.legend(handles, names[0], **{"loc": "outside lower center", "ncols": 3, **style})


def label_ticks(axes: Axes, values: npt.ArrayLike) -> None:
    """Labels these values of the x axis, which may be logarithmic, and no others."""
    places = np.asarray(values).tolist()
    axes.set_xticks(places, [f"{place:g}" for place in places], minor=False)
    axes.minorticks_off()


def heat_map(axes: Axes, values: npt.NDArray[Any], title: str, quantity: str) -> None:
    """Draws a matrix as an image, with a scale of the quantity that its entries are."""
    image = axes.imshow(np.asarray(values), cmap="viridis")
    axes.set(title=title, xticks=[], yticks=[])
    axes.figure.colorbar(image, ax=axes, shrink=0.85, label=quantity)


def save(figure: Figure, path: pathlib.Path) -> None:
    """Writes a figure as PNG, atomically; a legend outside the axes gets no frame."""
    for legend in figure.legends:
        legend.set_frame_on(False)
    files.write_bytes(path, png(figure, DOTS_PER_INCH))


def png(figure: Figure, dots_per_inch: int) -> bytes:
    """Draws a figure as PNG; equal figures give equal bytes."""
    figure.set_dpi(dots_per_inch)
    engine = figure.get_layout_engine()
    if engine is not None:  # With one, Matplotlib draws everything twice, the first time for the layout alone.
        _keep_dollars(figure)
        engine.execute(figure)
        figure.set_layout_engine(None)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dots_per_inch, format="png", metadata={"Software": None})
    return buffer.getvalue()
