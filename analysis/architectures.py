"""A figure of the symmetries that are left of several models while they are pruned.

usage: python -m analysis.architectures EXPERIMENT_DIR PICTURE

    python -m analysis.architectures runs/architectures docs/pictures/architectures.png
"""

import itertools
import pathlib
import sys

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis import summaries
from weirdonetworks.lab import plots

NAMES = {"mlp": "MLP", "cnn": "CNN", "resnet": "ResNet"}  # Of models whose names in the code are in small letters.
LINES = ("-", "--", "-.", ":")  # Lines of several models may coincide.


def remaining(frame: pd.DataFrame) -> pd.DataFrame:
    """Computes the share of the symmetries of each model that its masks leave, on a logarithmic scale.

    The share is log(order) / log(order of the dense model), of the exact group of joint permutations of living units.
    The dense model is the epoch without a mask in one of its runs.

    Args:
      frame: Runs, as `summaries.load` returns them, some of them of the driver `prune`, dense in their first epoch.

    Returns:
      One row for each epoch with masks: `model`, `masks` (`magnitude` or the type of drawn masks), `sparsity`, `share`.

    Raises:
      ValueError: If no epoch has a count of symmetries, as without the extra `symmetry`.
    """
    key = "mask/live_automorphisms_log10"
    epochs = summaries.epochs(frame)
    if key not in epochs:
        raise ValueError("frame must hold runs with the exact symmetry group: pip install weirdonetworks[symmetry].")
    settings = frame.loc[epochs["run"]].reset_index(drop=True)
    drawn = settings["mask_type"] if "mask_type" in settings else pd.Series(index=settings.index, dtype=object)
    rows = pd.DataFrame(
        {
            "model": settings["model"].str.rpartition(":")[2],
            "masks": drawn.fillna("magnitude"),
            "sparsity": epochs["mask/sparsity"],
            "order": epochs[key],
        }
    )
    dense = rows[rows["sparsity"] == 0].groupby("model")["order"].max()
    rows["share"] = rows["order"] / rows["model"].map(dense)
    rows = rows[rows["sparsity"] > 0].sort_values(["model", "masks", "sparsity"])
    return rows.drop_duplicates(["model", "masks", "sparsity"])[["model", "masks", "sparsity", "share"]]


def symmetries_left(frame: pd.DataFrame) -> Figure:
    """Plots the share of symmetries left against sparsity: a panel for each kind of masks, a line for each model."""
    rows = remaining(frame)
    kinds = sorted(rows["masks"].unique())
    figure, panels = plots.pairs(len(kinds), height=3.0)
    for axes, kind in zip(panels, kinds, strict=True):
        models = rows[rows["masks"] == kind].groupby("model")
        for (model, own), line in zip(models, itertools.cycle(LINES), strict=False):
            name = NAMES.get(str(model), str(model))
            axes.plot(own["sparsity"], own["share"], linestyle=line, marker=".", label=name)
        axes.set(title=f"{kind} masks", xscale="log", xlabel="sparsity (weights cut)", ylim=(-0.04, 1.04))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
        axes.set_ylabel("log of the symmetries left\n/ log of those of the dense model")
    panels[0].legend()
    return figure


def main(folder: pathlib.Path, picture: pathlib.Path) -> None:
    """Draws the figure of the runs in a folder, and prints its numbers."""
    frame = summaries.load(folder)
    plots.save(symmetries_left(frame), picture)
    table = remaining(frame).pivot(index="sparsity", columns=["masks", "model"], values="share")
    print(table.to_string(float_format=lambda share: f"{share:.3f}", na_rep="-"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit((__doc__ or "").strip())
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
