"""A table and a figure of networks trained sparse: accuracy, what is left alive, and symmetries along the way.

usage: python -m analysis.sparse_training EXPERIMENT_DIR [PICTURE]

    python -m analysis.sparse_training runs/dynamic-sparse docs/pictures/dynamic-sparse.png
"""

import itertools
import pathlib
import sys
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import summaries
from weirdonetworks.lab import plots

ORDER = "mask/automorphisms_log10"
LIVE_ORDER = "mask/live_automorphisms_log10"
# Columns of the table, by the record keys whose means over runs they are.
_MEANS = {
    "mask/start_overlap": "kept from the start",
    "propagated_mask/kept_weights": "live weights",
    "propagated_mask/live_flops": "FLOPs",
    "propagated_mask/live_bytes": "bytes",
    "mask/zeroed_neurons": "dead neurons",
    LIVE_ORDER: "log10 order, live",
    ORDER: "log10 order, all",
}
_GROUPS = ["method", "sparsity"]
# The methods' names in the figure; others have the name of the table.
_TITLES = {
    "gmp": "gradual pruning",
    "rigl": "RigL",
    "set": "SET",
    "srigl": "SRigL",
    "static random": "fixed, random",
    "static per-neuron": "fixed, equal fan-in",
    "static per-neuron-no-input-ablation": "fixed, equal fan-in, reads all inputs",
    "static symmetric": "fixed, symmetric",
}
_STYLES = ("-", "--", "-.", ":")


def methods(frame: pd.DataFrame) -> pd.Series:
    """Names the method of each run: the updater, and of fixed masks their type."""
    fixed = frame["mask_type"].where(frame["updater"] == "static", "")
    return (frame["updater"] + " " + fixed).str.strip()


def comparison(frame: pd.DataFrame) -> pd.DataFrame:
    """Averages the runs of each method at each sparsity.

    Args:
      frame: Runs of the driver `sparse_train`, as `summaries.load` returns them.

    Returns:
      One row for each method and sparsity: `runs`; `accuracy` and `deviation`, of the test accuracy after the last
      epoch; and the means of what the runs hold of overlap, live weights and sizes, cost, dead neurons and symmetries.

    Raises:
      ValueError: If there are no such runs.
    """
    if "updater" not in frame or "final/test_accuracy" not in frame:
        raise ValueError("frame must hold finished runs of python -m weight_symmetry.sparse_train.")
    runs = frame[frame["updater"].notna()].copy()
    runs["method"] = methods(runs)
    grouped = runs.groupby(_GROUPS, sort=True)
    accuracy = grouped["final/test_accuracy"]
    table = pd.DataFrame({"runs": accuracy.size(), "accuracy": accuracy.mean(), "deviation": accuracy.std()})
    for key, name in _MEANS.items():
        if key in runs:
            table[name] = grouped[key].mean()
    if sizes := [key for key in runs if key.startswith("propagated_mask/live_size_")]:
        means = grouped[sorted(sizes)].mean().round()
        table["live sizes"] = ["-".join(f"{size:.0f}" for size in row) for row in means.to_numpy()]
    return table.reset_index()


def by_epoch(frame: pd.DataFrame, key: str = LIVE_ORDER) -> pd.DataFrame:
    """Averages a quantity after each epoch over the runs of each method at each sparsity.

    Args:
      frame: Runs of the driver `sparse_train`, with their `metrics.jsonl` beside the summary.
      key: The key of the epochs' records, by default the logarithm of the order of the exact group of living neurons.

    Returns:
      One row for each method, sparsity and epoch: the columns `method`, `sparsity`, `epoch`, `value`.
    """
    epochs = summaries.epochs(frame)
    settings = frame.loc[epochs["run"]].reset_index(drop=True)
    rows = pd.DataFrame(
        {
            "method": methods(settings),
            "sparsity": settings["sparsity"],
            "epoch": epochs["epoch"],
            "value": summaries.numbers(epochs, key),
        }
    )
    return rows.dropna().groupby([*_GROUPS, "epoch"], as_index=False)["value"].mean()


def training(frame: pd.DataFrame) -> Figure:
    """Plots test accuracy by epoch, a panel for each sparsity; and the exact group by epoch at the highest one.

    The axis of accuracy ends ten points below the best method; what a method below it ends with is written there. The
    group is that of the living neurons, without the order of dead ones.
    """
    accuracy, order = by_epoch(frame, "test_accuracy"), by_epoch(frame)
    levels = sorted(accuracy["sparsity"].unique())
    figure, panels = plots.pairs(len(levels) + 1)
    names = sorted(accuracy["method"].unique())
    looks = zip(names, itertools.cycle(plots.COLOURS), itertools.cycle(_STYLES), strict=False)
    styles: dict[str, dict[str, Any]] = {
        name: {"color": colour, "linestyle": line, "label": _TITLES.get(name, name)} for name, colour, line in looks
    }
    for axes, level in zip(panels, levels, strict=False):
        shown = accuracy[accuracy["sparsity"] == level]
        for name in names:
            own = shown[shown["method"] == name]
            axes.plot(own["epoch"], 100 * own["value"], **styles[name])
        best = 100 * shown["value"].max()
        last = 100 * shown.groupby("method")["value"].last()
        below = [f"{_TITLES.get(name, name)}: ends at {last[name]:.0f}%" for name in last.index[last < best - 10]]
        axes.text(0.98, 0.03, "\n".join(below), ha="right", size="small", transform=axes.transAxes)
        axes.set(title=f"sparsity {level:.0%}", xlabel="epoch", ylim=(best - 10, best + 0.5))
        axes.set_ylabel("test accuracy (%)")
    shown = order[order["sparsity"] == levels[-1]]
    for name in names:
        own = shown[shown["method"] == name]
        panels[-1].plot(own["epoch"], own["value"], **styles[name])
    ends = shown.groupby("method")["value"].last()
    if single := int((ends.round(1) == 0).sum()):
        note = f"{single} of the {len(ends)} methods end at 0: one ordering"
        panels[-1].annotate(
            note, (0.98, 0), (0, 5), ("axes fraction", "data"), "offset points", ha="right", size="small"
        )
    panels[-1].set(title=f"symmetries at sparsity {levels[-1]:.0%}", xlabel="epoch")
    panels[-1].set_ylabel("orderings of living\nneurons, log10")
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plots.legend(panels[0])
    return figure


def markdown(table: pd.DataFrame) -> str:
    """Formats a comparison as a table in Markdown."""
    columns = [name for name in table if name not in ("accuracy", "deviation")]
    head = [*columns[:3], "test accuracy (%)", *columns[3:]]
    lines = [head, ["---"] * len(head)]
    for row in table.to_dict("records"):
        spread = "" if pd.isna(row["deviation"]) else f" ± {100 * row['deviation']:.2f}"
        cells = [_cell(name, row[name]) for name in columns]
        lines.append([*cells[:3], f"{100 * row['accuracy']:.2f}{spread}", *cells[3:]])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    number = float(str(value))
    if number != number:
        return "-"
    if name in ("sparsity", "kept from the start"):
        return f"{100 * number:.0f}%"
    return f"{number:,.0f}" if name in ("runs", "live weights", "FLOPs", "bytes") else f"{number:.1f}"


def main(folder: pathlib.Path, picture: pathlib.Path | None = None) -> None:
    """Prints the table of the runs in a folder, and draws the figure."""
    frame = summaries.load(folder)
    print(markdown(comparison(frame)))
    if picture is not None:
        plots.save(training(frame), picture)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit((__doc__ or "").strip())
    main(*map(pathlib.Path, sys.argv[1:]))
