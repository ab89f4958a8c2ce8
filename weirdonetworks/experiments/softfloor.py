"""Rounds hidden units to a few levels by a soft floor that grows sharper, beside a straight-through slope.

usage: python -m weirdonetworks.experiments.softfloor [--flag=value ...]

    python -m weirdonetworks.experiments.softfloor --num_trials=3
    python -m weirdonetworks.experiments.softfloor --levels=3 --factor_end=1e-12
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions, StudyConfig, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from weirdonetworks.lab.data.datasets import Dataset
    from weirdonetworks.lab.training.study import Study, Trained
    from weirdonetworks.lab.training.trainer import Resident

ROUNDED = ("softfloor", "straight_through")
DRAWN_FACTORS = (1e-12, 1e-3, 0.1, 1.0, 100.0)


@dataclasses.dataclass(frozen=True)
class SoftfloorConfig(StudyConfig):
    """What the experiment is told."""

    epochs: int = setting(15, "Passes over the training data.", minimum=1)
    learning_rate: float = setting(0.003, "The learning rate at the start.", minimum=0.0, short="lr")
    levels: tuple[int, ...] = setting(
        (2, 4, 8), "The numbers of values of a hidden unit.", minimum=2, may_be_empty=False
    )
    hidden_sizes: tuple[int, ...] = setting(
        (100, 100), "The widths of the hidden layers.", minimum=1, may_be_empty=False
    )
    factor_start: float = setting(10.0, "The soft floor's factor in the first epoch.", minimum=1e-30, maximum=1e30)
    factor_end: float = setting(1e-6, "Its factor in the last epoch, by equal ratios.", minimum=1e-30, maximum=1e30)

    def factor(self, epoch: int) -> float:
        """Gives the factor after so many finished epochs.

        >>> [round(SoftfloorConfig(epochs=3, factor_end=0.1).factor(epoch), 6) for epoch in range(3)]
        [10.0, 1.0, 0.1]
        """
        return float(np.geomspace(self.factor_start, self.factor_end, max(self.epochs, 2))[epoch])


def main(config: SoftfloorConfig, options: RunOptions) -> None:
    """Runs the experiment, and prints what it found."""
    startup.import_tensorflow()
    from weirdonetworks.lab.data import datasets
    from weirdonetworks.lab.records import tables
    from weirdonetworks.lab.training import study

    with study.opened("softfloor", config, options) as opened:
        if not opened.is_finished:
            opened.finish(_results(opened, config, datasets.configured(config, options.data_dir)), draw)
        found = opened.results["test_accuracy"]
        rows = [
            [levels, *(study.percent(found[rounding][levels]) for rounding in ROUNDED)] for levels in found["softfloor"]
        ]
        print()
        print(tables.table(["levels", "soft floor", "straight through"], rows))
        print(f"\nNot rounded: {study.percent(found['none'])}")


def _results(opened: "Study", config: SoftfloorConfig, data: "Dataset") -> dict[str, Any]:
    from weirdonetworks.lab.training import loop, study

    splits = loop.residents(data)
    unrounded = [_train(opened, "none", 2, data, splits, trial) for trial in config.trials()]
    trained = {
        rounding: {
            str(levels): [_train(opened, rounding, levels, data, splits, trial) for trial in config.trials()]
            for levels in dict.fromkeys(config.levels)
        }
        for rounding in ROUNDED
    }
    return {
        "parameters": unrounded[0].parameters,
        "factors": [config.factor(epoch) for epoch in range(config.epochs)],
        "test_accuracy": {
            "none": study.spread([each.final["test_accuracy"] for each in unrounded]),
            **{
                rounding: {
                    levels: study.spread([each.final["test_accuracy"] for each in trials])
                    for levels, trials in by_levels.items()
                }
                for rounding, by_levels in trained.items()
            },
        },
        "curves": {
            "none": [record["test_accuracy"] for record in unrounded[0].records],
            **{
                rounding: {
                    levels: [record["test_accuracy"] for record in trials[0].records]
                    for levels, trials in by_levels.items()
                }
                for rounding, by_levels in trained.items()
            },
        },
    }


def _train(
    opened: "Study",
    rounding: str,
    levels: int,
    data: "Dataset",
    splits: "Mapping[str, Resident]",
    config: SoftfloorConfig,
) -> "Trained":
    from weirdonetworks.lab.training import objectives
    from weirdonetworks.nets.small.quantised import QuantisedMLP

    # Its weights are drawn at its first call, which the study makes.
    network = QuantisedMLP((*config.hidden_sizes, len(data.classes)), levels, rounding)

    def sharpen(epoch: int) -> dict[str, float]:
        network.factor.assign(config.factor(epoch))
        return {"factor": float(network.factor)}

    return opened.train(
        rounding if rounding == "none" else f"{rounding}_{levels}",
        lambda: network,
        lambda made: objectives.classification(made, data.standardisation, ("is_training",)),
        splits,
        config,
        before_epoch=sharpen if rounding == "softfloor" else lambda epoch: {},
    )


def draw(found: Mapping[str, Any]) -> "Figure":
    """Draws the soft floor and its slope, the accuracies by levels, and those of the fewest levels over the epochs."""
    import tensorflow as tf
    from matplotlib.ticker import MaxNLocator

    from weirdonetworks.lab import plots
    from weirdonetworks.nets.small.soft_floor import softfloor

    figure, (values, slopes, by_levels, by_epoch) = plots.row(4)
    x = tf.constant(np.linspace(-1, 2, 1201))
    for factor in DRAWN_FACTORS:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = softfloor(x, factor)
        values.plot(x, y, label=f"{factor:g}")
        slopes.plot(x, tape.gradient(y, x))
    values.set(title="softfloor(x, factor)", xlabel="x", yticks=[-1, 0, 1])
    values.legend(title="factor")
    slopes.set(title="its slope", xlabel="x", yscale="log", ylim=(1e-3, 30))
    labels = {"softfloor": "soft floor", "straight_through": "straight through", "none": "not rounded"}
    for shift, rounding in zip((-0.06, 0.06), ROUNDED, strict=True):
        accuracies = list(found["test_accuracy"][rounding].values())
        by_levels.errorbar(
            [index + shift for index in range(len(accuracies))],
            [100 * each["mean"] for each in accuracies],
            yerr=[100 * each["deviation"] for each in accuracies],
            fmt="o",
            label=labels[rounding],
        )
    levels = list(found["test_accuracy"]["softfloor"])
    by_levels.axhline(100 * found["test_accuracy"]["none"]["mean"], color=plots.COLOURS[2], label=labels["none"])
    by_levels.set(title="test accuracy", xlabel="levels", ylabel="%", xticks=range(len(levels)), xticklabels=levels)
    by_levels.margins(x=0.2, y=0.3)
    by_levels.legend()
    fewest = min(levels, key=int)
    curves = {**{rounding: found["curves"][rounding][fewest] for rounding in ROUNDED}, "none": found["curves"]["none"]}
    for rounding, curve in curves.items():
        epochs = range(1, len(curve) + 1)
        by_epoch.plot(epochs, [100 * accuracy for accuracy in curve], marker=".", label=labels[rounding])
    by_epoch.set(title=f"test accuracy, {fewest} levels", xlabel="epoch", ylabel="%")
    by_epoch.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


if __name__ == "__main__":
    flags.run(main, SoftfloorConfig, RunOptions)
