"""Trains, draws and tabulates one classifier, for the experiments `lenet` and `convolution`."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import sonnet as snt

from weirdonetworks import lab


def run(study: lab.Study, network: Callable[[int], snt.Module], takes: Collection[str] = ()) -> None:
    """Trains a classifier once for each trial, and records the accuracies.

    Args:
      study: The study; the training is named after it.
      network: Makes the network, given the number of classes.
      takes: Which of `is_training` and `seed` the network accepts.
    """
    data = study.load()
    trained = study.repeat(study.name, lambda: network(len(data.classes)), data, lab.classifier(data, takes))
    results = {
        "parameters": trained[0].parameters,
        "test_accuracy": lab.final(trained, "test_accuracy"),
        "seconds": lab.spread([each.seconds for each in trained]),
        "epochs": trained[0].curves,
    }
    study.finish(results, draw)


def draw(found: Mapping[str, Any]) -> lab.plots.Figure:
    """Draws the accuracy after each epoch, of the first seed."""
    figure, (axes,) = lab.plots.row(1, widths=(1.6,))
    lab.plots.accuracy_by_epoch(axes, found["epochs"])
    axes.legend(loc="lower right", frameon=False)
    return figure


def table(found: Mapping[str, Any], name: str) -> str:
    """Formats the results of a network as a table."""
    row = [name, f"{found['parameters']:,}", lab.percent(found["test_accuracy"]), f"{found['seconds']['mean']:.0f}"]
    return lab.table(["network", "parameters", "test accuracy", "seconds"], [row])
