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
from weirdonetworks.lab.training.study_trials import Training


def run(
    opened: study.Study,
    network: Callable[[int], snt.Module],
    config: StudyConfig,
    options: RunOptions,
    takes: Collection[str] = (),
) -> None:
    """Trains a classifier as often as there are trials, and records the accuracies.

    Args:
      opened: The study; its name is the training's too.
      network: Makes the network from the number of classes.
      config: How long and how.
      options: Where it is kept.
      takes: Which of `is_training` and `seed` the network takes.
    """
    data = datasets.configured(config, options.data_dir)
    splits = loop.residents(data)
    trained = opened.trials(
        [
            Training(
                opened.name,
                lambda: network(len(data.classes)),
                lambda made: objectives.classification(made, data.standardisation, takes),
                splits,
                trial,
            )
            for trial in config.trials()
        ]
    )
    results = {
        "parameters": trained[0].parameters,
        "test_accuracy": study.spread([each.final["test_accuracy"] for each in trained]),
        "seconds": study.spread([each.seconds for each in trained]),
        "epochs": trained[0].curves,
    }
    opened.finish(results, draw)


def draw(found: Mapping[str, Any]) -> Figure:
    """Draws the accuracy over the epochs of the first seed."""
    figure, (axes,) = plots.row(1, widths=(1.6,))
    plots.accuracy_by_epoch(axes, found["epochs"])
    axes.legend(loc="lower right", frameon=False)
    return figure


def table(found: Mapping[str, Any], name: str) -> str:
    """Lays out what was found of a network."""
    row = [name, f"{found['parameters']:,}", study.percent(found["test_accuracy"]), f"{found['seconds']['mean']:.0f}"]
    return tables.table(["network", "parameters", "test accuracy", "seconds"], [row])
