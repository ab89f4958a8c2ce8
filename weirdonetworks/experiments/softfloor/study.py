"""Steps of the experiment `softfloor`: train, measure, draw, table."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from weirdonetworks import QuantisedMLP, lab, softfloor
from weirdonetworks.experiments.softfloor import SoftfloorConfig

ROUNDED = ("softfloor", "straight_through")
DRAWN_FACTORS = (1e-12, 1e-3, 0.1, 1.0, 100.0)


def run(study: lab.Study[SoftfloorConfig]) -> None:
    """Trains the networks and measures them."""
    config, data = study.config, study.load()
    unrounded = train(study, "none", 2, data)
    trained = {
        rounding: {str(levels): train(study, rounding, levels, data) for levels in dict.fromkeys(config.levels)}
        for rounding in ROUNDED
    }

    def each(measure: Callable[[list[lab.Trained]], Any]) -> dict[str, Any]:
        each = {rounding: {levels: measure(by[levels]) for levels in by} for rounding, by in trained.items()}
        return {"none": measure(unrounded), **each}

    results = {
        "parameters": unrounded[0].parameters,
        "factors": [config.factor(epoch) for epoch in range(config.epochs)],
        "test_accuracy": each(lambda trials: lab.final(trials, "test_accuracy")),
        "curves": each(lambda trials: trials[0].by_epoch("test_accuracy")),
    }
    study.finish(results, draw)


def train(study: lab.Study[SoftfloorConfig], rounding: str, levels: int, data: lab.Dataset) -> list[lab.Trained]:
    """Trains a network with one kind of rounding."""
    return study.repeat(
        rounding if rounding == "none" else f"{rounding}_{levels}",
        lambda: QuantisedMLP((*study.config.hidden_sizes, len(data.classes)), levels, rounding),
        data,
        lab.classifier(data, ("is_training",)),
        hooks=lambda network: [Sharpening(network, study.config)] if rounding == "softfloor" else [],
    )


class Sharpening(lab.Hook):
    """A schedule of the soft floor's factor, by which it approaches the floor."""

    def __init__(self, network: QuantisedMLP, config: SoftfloorConfig):
        self._network = network
        self._config = config

    def before_epoch(self, epoch: int) -> dict[str, float]:
        """Sets the factor of the epoch, and returns it."""
        self._network.factor.assign(self._config.factor(epoch))
        return {"factor": float(self._network.factor)}


def draw(found: Mapping[str, Any]) -> lab.plots.Figure:
    """Draws the soft floor and its slope, the accuracies by levels, and those of the fewest levels over the epochs."""
    figure, (values, slopes, by_levels, by_epoch) = lab.plots.grid(2, 2)
    x = tf.constant(np.linspace(-1, 2, 1201))
    for factor in DRAWN_FACTORS:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = softfloor(x, factor)
        values.plot(x, y, label=f"{factor:g}")
        slopes.plot(x, tape.gradient(y, x))
    values.set(title="soft floor", xlabel="x", ylabel="softfloor(x, factor)", yticks=[-1, 0, 1])
    values.legend(title="factor")
    slopes.set(title="its slope", xlabel="x", ylabel="derivative", yscale="log", ylim=(1e-3, 30))
    labels = {"softfloor": "soft floor", "straight_through": "straight-through gradients", "none": "not rounded"}
    levels = list(found["test_accuracy"]["softfloor"])
    for shift, rounding in zip((-0.06, 0.06), ROUNDED, strict=True):
        places = [index + shift for index in range(len(levels))]
        accuracies = found["test_accuracy"][rounding].values()
        lab.plots.error_bars(by_levels, places, accuracies, fmt="o", label=labels[rounding])
    by_levels.axhline(100 * found["test_accuracy"]["none"]["mean"], color=lab.plots.COLOURS[2], label=labels["none"])
    by_levels.set(title="accuracy by number of levels", xlabel="values that a unit can take")
    by_levels.set_xticks(range(len(levels)), levels)
    by_levels.margins(x=0.2, y=0.3)
    by_levels.legend()
    fewest, curves = min(levels, key=int), found["curves"]
    for rounding, label in labels.items():
        curve = curves[rounding][fewest] if rounding in ROUNDED else curves[rounding]
        lab.plots.by_epoch(by_epoch, curve, label=label)
    by_epoch.set_title(f"training with {fewest} levels")
    for axes in (by_levels, by_epoch):
        axes.set_ylabel("test accuracy (%)")
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    accuracy = found["test_accuracy"]
    soft, straight = (accuracy[rounding] for rounding in ROUNDED)
    rows = [[levels, lab.percent(soft[levels]), lab.percent(straight[levels])] for levels in soft]
    yield lab.table(["levels", "soft floor", "straight through"], rows)
    yield f"Not rounded: {lab.percent(accuracy['none'])}"
