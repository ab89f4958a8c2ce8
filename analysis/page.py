"""A self-contained HTML report on many runs, without scripts or external resources."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from analysis import figures, scales, summaries
from weirdonetworks.lab.records import files, page as pages

_MISSING = "-"


@dataclasses.dataclass(frozen=True)
class Plot:
    """A plot of the report, with title and caption."""

    name: str
    title: str
    caption: str
    draw: Callable[[pd.DataFrame], Figure]


PLOTS = (
    Plot(
        "accuracy-against-sparsity",
        "Accuracy against sparsity",
        "The sparsity axis is logarithmic in the fraction of connections that remain.",
        figures.accuracy_against_sparsity,
    ),
    Plot(
        "accuracy-against-symmetries",
        "Accuracy against mask symmetries",
        "A symmetry is a permutation of hidden neurons that leaves the masks unchanged. Permutations within layers: "
        "those that exchange neurons of one layer with equal connections, multiplied over the layers. Exact group: all "
        "symmetries, including joint permutations of several layers. Dead neurons can be permuted arbitrarily, so the "
        "group is also counted without them.",
        figures.accuracy_against_symmetries,
    ),
    Plot(
        "symmetries-against-sparsity",
        "Mask symmetries against sparsity",
        "Means and standard deviations are of the logarithm.",
        figures.symmetries_against_sparsity,
    ),
    Plot(
        "training-accuracy",
        "Test accuracy during training",
        "One panel per sparsity.",
        functools.partial(figures.training_curves, key="test_accuracy"),
    ),
    Plot(
        "training-loss",
        "Training loss",
        "One panel per sparsity.",
        functools.partial(figures.training_curves, key="train_avg_loss"),
    ),
)


def write(frame: pd.DataFrame, path: pathlib.Path, title: str) -> None:
    """Writes the report of `render` to a file, atomically."""
    files.write_text(path, render(frame, title))


def render(frame: pd.DataFrame, title: str) -> str:
    """Renders the report as HTML: all plots, means by series and sparsity, and all runs.

    The same runs give the same text.

    Args:
      frame: The runs, as `summaries.load` returns them.
      title: The start of the title; escaped, like all texts of the runs.
    """
    sections: list[pages.Picture | pages.Table] = [
        pages.picture(plot.draw(frame), plot.name, plot.title, plot.caption)
        for plot in tqdm(PLOTS, desc="drawing", unit="plot", disable=None)
    ]
    caption = "Mean ± standard deviation over runs that differ only in their seeds."
    if chosen := summaries.accuracy_epoch(frame):
        caption += f" Test accuracy {chosen}."
    sections += [_table("Means", caption, means(frame)), _table("All runs", "", runs(frame), is_long=True)]
    return pages.render(f"{title}: symmetry and sparsity", _facts(frame), sections, frame.attrs.get("skipped", []))


def means(frame: pd.DataFrame) -> pd.DataFrame:
    """Formats `summaries.statistics` as a table of texts, mean ± standard deviation, without empty columns.

    Returns:
      One row per series and sparsity; accuracies in percent, symmetries as decimal logarithms.
    """
    found = summaries.statistics(frame)
    index = found.index.to_frame(index=False)
    table = pd.DataFrame({"masks": index["series"], "sparsity": index["sparsity"].map(_percent)})
    table["runs"] = found["runs"].to_numpy().ravel()
    headers = {"accuracy": "test accuracy (%)"} | {key: f"log₁₀ {text}" for key, text in summaries.SYMMETRIES.items()}
    for key, header in headers.items():
        scale = 100 if key == "accuracy" else 1
        pairs = zip(scale * found[key, "mean"], scale * found[key, "std"], strict=True)
        if found[key, "mean"].notna().any():
            table[header] = [_mean(*pair) for pair in pairs]
    return table


def runs(frame: pd.DataFrame) -> pd.DataFrame:
    """Formats all runs as a table of texts, one row per run, sorted by series and sparsity."""
    names = summaries.series(frame)
    table = pd.DataFrame(
        {
            "run": frame.index,
            "masks": names.to_numpy(),
            "sparsity": summaries.sparsity(frame).map(_percent).to_numpy(),
            "measured": summaries.numbers(frame, "mask/sparsity").map(_percent).to_numpy(),
            "test accuracy (%)": (100 * summaries.accuracy(frame)).map(_number).to_numpy(),
        }
    )
    for key, text in summaries.SYMMETRIES.items():
        table[f"log₁₀ {text}"] = summaries.symmetries(frame, key).map(_number).to_numpy()
    for header, key in {
        "dead neurons": "mask/zeroed_neurons",
        "seed": "random_seed",
        "mask seed": "mask_randomseed",
    }.items():
        table[header] = summaries.numbers(frame, key).map(_whole).to_numpy()
    order = summaries.in_order(names)
    keys = pd.DataFrame({"rank": names.map(order.index), "sparsity": summaries.sparsity(frame)}).reset_index(drop=True)
    table = table.iloc[keys.sort_values(["rank", "sparsity"], kind="stable").index]
    return table.loc[:, [column for column in table if (table[column] != _MISSING).any()]]


def _table(title: str, caption: str, table: pd.DataFrame, is_long: bool = False) -> pages.Table:
    return pages.Table(title, caption, list(table), list(table.itertuples(index=False)), is_long)


def _facts(frame: pd.DataFrame) -> dict[str, str]:
    """Summarises the runs: their number, mask types, sparsities, models and data sets."""
    trials = summaries.statistics(frame)["runs"].to_numpy().ravel()
    least, most = trials.min(), trials.max()
    facts = {
        "runs": f"{len(frame)}",
        "mask types": f"{summaries.mask_type(frame).nunique()}",
        "sparsities": f"{summaries.sparsity_level(frame).nunique()}",
        "runs per setting": f"{least}" if least == most else f"{least} to {most}",
    }
    for header in ("model", "dataset"):
        if header in frame:
            facts[header] = ", ".join(sorted(map(str, frame[header].dropna().unique()))) or _MISSING
    return facts


def _percent(share: float) -> str:
    return _MISSING if pd.isna(share) else scales.percent(round(share, 4))


def _number(value: float) -> str:
    return _MISSING if pd.isna(value) else f"{value:.2f}"


def _whole(value: float) -> str:
    return _MISSING if pd.isna(value) else f"{value:.0f}"


def _mean(mean: float, deviation: float) -> str:
    return _number(mean) if pd.isna(deviation) else f"{mean:.2f} ± {deviation:.2f}"
