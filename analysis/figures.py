"""Plots of many runs, as matplotlib figures outside pyplot, which need not be closed.

Each function takes the table of `summaries.load` or a selection of its rows, and names columns that are missing in the
figure. Series differ in colour and marker, the same in all figures of a table.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from analysis import scales, summaries
from analysis.quantities import Quantity, label_of, quantity, scale_of
from weirdonetworks.lab import plots
from weirdonetworks.lab.records.tables import counted

Names = str | Sequence[str]

# Further series are drawn as one, without means, to keep the legend short.
MOST_SERIES = 12
OTHERS = "others"
_OTHERS_COLOUR = "0.6"
_NOTE_COLOUR = "0.35"
_MARKERS = ("o", "s", "^", "D")
_Line = Literal["-", "--"]
_LINES: tuple[_Line, ...] = ("-", "--")  # Of the series that have the colours first, and of those that have them again.
_MOST_CURVE_PANELS = 6
# Inches.
_HEIGHT = 3.3
_WIDTHS = {1: 6.5, 2: 4.6, 3: 3.9}
_LEAST_WIDTH = 2.1
_LEGEND_LINE = 0.22
_ASIDE, _FARTHEST_ASIDE = 0.04, 0.3
# Marker areas of the densest and the sparsest masks, in points^2.
_SIZES = (12.0, 80.0)
_MEAN_AND_SPREAD = "line and band: mean ± standard deviation"


def accuracy_against_sparsity(frame: pd.DataFrame) -> Figure:
    """Plots test accuracy against sparsity: runs, and mean and standard deviation of each series."""
    return mean_with_spread(frame, "sparsity", "accuracy")


def symmetries_against_sparsity(frame: pd.DataFrame, of: str = "mask") -> Figure:
    """Plots the number of symmetries of the masks against sparsity, one panel per way to count them.

    Args:
      frame: The runs.
      of: `mask`, or `propagated_mask` for masks without dead connections.
    """
    return mean_with_spread(frame, "sparsity", [f"{of}/{count}" for count in summaries.SYMMETRIES])


def accuracy_against_symmetries(frame: pd.DataFrame, of: str = "mask") -> Figure:
    """Plots test accuracy against the number of symmetries of the masks, one panel per way to count them.

    Args:
      frame: The runs.
      of: `mask`, or `propagated_mask` for masks without dead connections.
    """
    return scatter(frame, [f"{of}/{count}" for count in summaries.SYMMETRIES], "accuracy")


def mean_with_spread(frame: pd.DataFrame, x: Names, y: Names) -> Figure:
    """Plots runs as points, and for each series the mean as a line with a band of one standard deviation.

    Series are offset horizontally, so that points at the same x do not overlap.

    Args:
      frame: The runs.
      x: The quantity on the x axis, a name for `quantities.quantity`, or several for several panels. Runs of equal x
        are averaged, or if most differ, the runs of each bin (see `summaries.levels`).
      y: The quantity on the y axis, or several for several panels.
    """
    everyone = _all_series(frame)

    def draw(axes: Axes, across: Quantity, up: Quantity) -> None:
        level = summaries.sparsity_level(frame) if across.name == "sparsity" else summaries.levels(across.values)
        for place, one in enumerate(everyone):
            step = min(_ASIDE, _FARTHEST_ASIDE / len(everyone))
            inches = step * (place - (len(everyone) - 1) / 2)
            aside = axes.transData + ScaledTranslation(inches, 0, axes.figure.dpi_scale_trans)
            _draw_points(axes, one, across, up, s=16, alpha=0.45, linewidths=0, transform=aside)
            if one.name != OTHERS:
                groups = up.values[one.mask].groupby(level[one.mask])
                _draw_means(axes, one, groups.mean().dropna(), groups.std(), marker=one.marker, transform=aside)

    figure, missing = _panels(frame, x, y, draw)
    if figure.axes[0].axison:
        _add_legend(figure, everyone)
        _add_note(figure, f"{_MEAN_AND_SPREAD}; points: runs{missing}")
    return figure


def scatter(frame: pd.DataFrame, x: Names, y: Names) -> Figure:
    """Plots runs as points, larger for sparser masks.

    Args:
      frame: The runs.
      x: The quantity on the x axis, a name for `quantities.quantity`, or several for several panels.
      y: The quantity on the y axis, or several for several panels.
    """
    everyone = _all_series(frame)
    sparsity = summaries.sparsity(frame)
    sizes = _areas(sparsity, sparsity)

    def draw(axes: Axes, across: Quantity, up: Quantity) -> None:
        for one in everyone:
            _draw_points(axes, one, across, up, s=sizes[one.mask], alpha=0.6, edgecolors="white", linewidths=0.5)

    figure, missing = _panels(frame, x, y, draw)
    if figure.axes[0].axison:
        _add_legend(figure, everyone, lined=False)
        _add_size_legend(figure, sparsity, missing)
    return figure


def training_curves(frame: pd.DataFrame, key: str = "test_accuracy", by: str = "series") -> Figure:
    """Plots a metric against the epoch, one panel per sparsity.

    Reads the `metrics.jsonl` of each run, in its folder beside the summary.

    Args:
      frame: The runs.
      key: The metric, a key of the epochs' records such as `test_accuracy` or `train_avg_loss`.
      by: `series` for mean and standard deviation over the runs of each series, `run` for one line per run.

    Raises:
      ValueError: If `by` is neither `series` nor `run`.
    """
    if by not in ("series", "run"):
        raise ValueError(f"by (={by}) must be series or run.")
    epochs = summaries.epochs(frame)
    if not summaries.numbers(epochs, key).notna().any():
        return message(f"There are no training curves: no metrics.jsonl beside the summary holds {key}.")
    everyone = _all_series(frame)
    level = summaries.sparsity_level(frame).fillna(-1.0)  # -1 where the sparsity is not recorded
    all_levels = sorted(level[frame.index.isin(epochs["run"])].unique())
    levels = _spaced(all_levels, _MOST_CURVE_PANELS)
    figure, panels = _row(len(levels))
    for axes, here in zip(panels, levels, strict=True):
        for one in everyone:
            runs = frame.index[one.mask & (level == here).to_numpy()]
            curves = epochs[epochs["run"].isin(runs)].pivot_table(index="epoch", columns="run", values=key)
            if not curves.empty:
                _draw_curves(axes, one, curves, by)
        axes.set(title=f"sparsity {scales.percent(round(here, 4))}" if here >= 0 else "", xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes is not panels[0]:
            axes.sharey(panels[0])
            axes.tick_params(labelleft=False)
    panels[0].set_ylabel(label_of(key))
    scales.apply(panels[0], "y", scale_of(key), summaries.numbers(epochs, key))
    _add_legend(figure, everyone, marked=False)
    note = "one line per run" if by == "run" else f"{_MEAN_AND_SPREAD}; thin lines: runs"
    if len(levels) < len(all_levels):
        note += f"; {len(levels)} of {len(all_levels)} sparsities"
    _add_note(figure, note)
    return figure


def message(text: str) -> Figure:
    """Makes a figure that holds only a text, such as why there is nothing to plot."""
    figure, (axes,) = plots.row(1, widths=[4.0], height=1.4)
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", wrap=True, color=_NOTE_COLOUR, transform=axes.transAxes)
    return figure


@dataclasses.dataclass(frozen=True)
class _Series:
    """The runs of one series, rows `mask` of the table, with their colour, marker and style of line."""

    name: str
    colour: str
    marker: str
    line: _Line
    mask: npt.NDArray[np.bool_]


def _all_series(frame: pd.DataFrame) -> list[_Series]:
    names = summaries.series(frame)
    sizes = names.value_counts()
    if len(sizes) > MOST_SERIES:
        names = names.where(names.isin(sizes.index[: MOST_SERIES - 1]), OTHERS)
    ordered = [name for name in summaries.in_order(names) if name != OTHERS]
    found = [
        _Series(
            name,
            plots.COLOURS[index % len(plots.COLOURS)],
            _MARKERS[index % len(_MARKERS)],
            _LINES[index // len(plots.COLOURS)],
            names.eq(name).to_numpy(),
        )
        for index, name in enumerate(ordered)
    ]
    others = names.eq(OTHERS).to_numpy()
    return [*found, _Series(OTHERS, _OTHERS_COLOUR, ".", "-", others)] if others.any() else found


def _panels(
    frame: pd.DataFrame, x: Names, y: Names, draw: Callable[[Axes, Quantity, Quantity], None]
) -> tuple[Figure, str]:
    """Makes a figure with one panel per pair of quantities that are recorded, or a message if there is none.

    Returns:
      The figure, and a line that names the columns that are missing, or an empty string.
    """
    pairs = [
        (quantity(frame, across), quantity(frame, up))
        for across in ([x] if isinstance(x, str) else x)
        for up in ([y] if isinstance(y, str) else y)
    ]
    drawable = [pair for pair in pairs if (pair[0].values.notna() & pair[1].values.notna()).any()]
    missing = [one.needs for pair in pairs for one in pair if not one.values.notna().any()]
    if not drawable:
        return message(f"There is nothing to plot: no run has {', nor '.join(dict.fromkeys(missing)) or 'both'}."), ""
    figure, panels = _row(len(drawable))
    for axes, (across, up) in zip(panels, drawable, strict=True):
        draw(axes, across, up)
        there = across.values.notna() & up.values.notna()
        for which, one in (("x", across), ("y", up)):
            scales.apply(axes, which, one.scale, one.values[there])
        axes.set_xlabel(across.label)
        if axes is panels[0] or up.name != drawable[0][1].name:
            axes.set_ylabel(up.label)
    return figure, f"\nnot recorded: {', '.join(dict.fromkeys(missing))}" if missing else ""


def _row(count: int) -> tuple[Figure, list[Axes]]:
    width = _WIDTHS.get(count, _LEAST_WIDTH)
    return plots.row(count, widths=[width / (1.15 * _HEIGHT)] * count, height=_HEIGHT)


def _draw_points(axes: Axes, one: _Series, across: Quantity, up: Quantity, **style: Any) -> None:
    if one.mask.any():
        axes.scatter(
            across.values[one.mask], up.values[one.mask], color=one.colour, marker=one.marker, label=one.name, **style
        )


def _draw_means(
    axes: Axes, one: _Series, mean: pd.Series, deviation: pd.Series, marker: str = "", **placed: Any
) -> None:
    at, spread = mean.index.to_numpy(float), deviation.reindex(mean.index)
    low, high = mean - spread.fillna(0), mean + spread.fillna(0)
    if len(mean) == 1 and spread.notna().all():
        axes.errorbar(at, mean, mean - low, color=one.colour, capsize=4, **placed)
    axes.fill_between(at, mean - spread, mean + spread, color=one.colour, alpha=0.18, linewidth=0, **placed)
    look: Any = {"color": one.colour, "linestyle": one.line, "marker": marker, "markeredgecolor": "white"}
    axes.plot(at, mean, label=one.name, zorder=3, **look, **placed)
    # Artists with an offset transform do not update the data limits.
    axes.update_datalim(np.column_stack([[*at, *at], [*low, *high]]))


def _draw_curves(axes: Axes, one: _Series, curves: pd.DataFrame, by: str) -> None:
    alone = by == "run" or one.name == OTHERS or len(curves.columns) == 1
    look: Any = {"linewidth": 1.2, "alpha": 0.85} if alone else {"linewidth": 0.5, "alpha": 0.35}
    axes.plot(curves.index, curves, color=one.colour, linestyle=one.line, **look)
    if not alone:
        _draw_means(axes, one, curves.mean(axis=1), curves.std(axis=1))


def _areas(sparsity: pd.Series, among: pd.Series) -> pd.Series:
    """Maps sparsities to marker areas, from the smallest to the largest sparsity in `among`."""
    place, all_places = (pd.Series(scales.complement_log(values), values.index) for values in (sparsity, among))
    span = all_places.max() - all_places.min()
    share = (place - all_places.min()) / span if span > 0 else place * 0
    return (_SIZES[0] + (_SIZES[1] - _SIZES[0]) * share).fillna(_SIZES[0])


def _spaced(values: Sequence[float], most: int) -> list[float]:
    """Selects at most `most` evenly spaced entries of sorted values, with the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(index)] for index in np.linspace(0, len(values) - 1, most)]


def _add_legend(figure: Figure, everyone: Sequence[_Series], lined: bool = True, marked: bool = True) -> None:
    handles = []
    for one in everyone:
        handle = Line2D(
            [], [], color=one.colour, linestyle=one.line if lined else "", marker=one.marker if marked else ""
        )
        handle.set_label(f"{one.name} ({counted(int(one.mask.sum()), 'run')})")
        handles.append(handle)
    # Estimated at 1/12 inch per character, and 0.8 inch per handle with the space around it.
    width = 0.8 + max(len(str(handle.get_label())) for handle in handles) / 12
    fitting = figure.get_figwidth() / width
    columns = max(1, min(len(handles), int(fitting)))
    figure.set_figheight(figure.get_figheight() + _LEGEND_LINE * math.ceil(len(handles) / columns))
    size = mpl.rcParams["font.size"] * min(1.0, fitting)  # A name longer than the figure is wide is written smaller.
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=size)


def _stretched(figure: Figure) -> str:
    scales_in_use = {scale for axes in figure.axes for scale in (axes.get_xscale(), axes.get_yscale())}
    return "axes stretched towards 100%; " if "function" in scales_in_use else ""


def _add_note(figure: Figure, text: str) -> None:
    figure.suptitle(_stretched(figure) + text, fontsize="small", color=_NOTE_COLOUR)


def _add_size_legend(figure: Figure, sparsity: pd.Series, missing: str) -> None:
    levels = pd.Series(_spaced(sorted(summaries.levels(sparsity).dropna().unique()), 5))
    title = "one point per run"
    if len(levels) > 1:
        title = "one point per run, larger for sparser masks"
    elif len(levels):
        title = f"one point per run, sparsity {scales.percent(round(levels[0], 4))}"
    handles = [
        Line2D(
            [], [], linestyle="", marker="o", color="0.5", markersize=area**0.5, label=scales.percent(round(level, 3))
        )
        for level, area in zip(levels, _areas(levels, sparsity), strict=True)
        if len(levels) > 1
    ]
    figure.legend(
        handles=handles,
        title=_stretched(figure) + title + missing,
        loc="outside upper center",
        ncols=max(len(handles), 1),
        frameon=False,
        title_fontproperties={"size": "small"},
    )
