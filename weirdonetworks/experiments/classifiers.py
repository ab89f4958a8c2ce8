"""What the experiments share that train one classifier: `lenet` and `convolution`."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import sonnet as snt
from matplotlib.figure import Figure

from weirdonetworks.lab import plots
from weirdonetworks.lab.config import RunOptions, StudyConfig
from weirdonetworks.lab.data import datasets
from weirdonetworks.lab.records import tables
from weirdonetworks.lab.training import loop, objectives, study


def run(
    name: str,
    network: Callable[[int], snt.Module],
    config: StudyConfig,
    options: RunOptions,
    takes: Collection[str] = (),
) -> None:
    """Trains a classifier as often as there are trials, and prints the accuracies.

    Args:
      name: The study's name.
      network: Makes the network from the number of classes.
      config: How long and how.
      options: Where it is kept.
      takes: Which of `is_training` and `seed` the network takes.
    """
    with study.opened(name, config, options) as opened:
        if not opened.is_finished:
            data = datasets.configured(config, options.data_dir)
            splits = loop.residents(data)
            trained = [
                opened.train(
                    name,
                    lambda: network(len(data.classes)),
                    lambda made: objectives.classification(made, data.standardisation, takes),
                    splits,
                    trial,
                )
                for trial in config.trials()
            ]
            results = {
                "parameters": trained[0].parameters,
                "test_accuracy": study.spread([each.final["test_accuracy"] for each in trained]),
                "seconds": study.spread([each.seconds for each in trained]),
                "epochs": trained[0].curves,
            }
            opened.finish(results, draw)
        found = opened.results
        row = [
            name,
            f"{found['parameters']:,}",
            study.percent(found["test_accuracy"]),
            f"{found['seconds']['mean']:.0f}",
        ]
        print()
        print(tables.table(["network", "parameters", "test accuracy", "seconds"], [row]))


def draw(found: Mapping[str, Any]) -> Figure:
    """Draws the accuracy over the epochs of the first seed."""
    figure, (axes,) = plots.row(1, widths=(1.6,))
    plots.accuracy_by_epoch(axes, found["epochs"])
    axes.legend(loc="lower right", frameon=False)
    return figure
