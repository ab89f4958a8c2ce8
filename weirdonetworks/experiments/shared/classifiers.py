"""Trains, draws and tabulates one classifier, for experiments such as `lenet` and `convolution`."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import sonnet as snt

from weirdonetworks import lab


def steps(
    name: str, network: Callable[[int], snt.Module], takes: Collection[str] = ()
) -> tuple[Callable[[lab.Study], None], Callable[[Any], Iterator[str]]]:
    """Makes the steps `run` and `table` of an experiment that trains one classifier.

    Args:
      name: The name of experiment and training.
      network: Makes the network, given the number of classes.
      takes: Which of `is_training` and `seed` the network accepts.
    """

    def run(study: lab.Study) -> None:
        data = study.load()
        trained = study.repeat(name, lambda: network(len(data.classes)), data, lab.classifier(data, takes))
        study.finish(results(trained), draw)

    def table(found: Any) -> Iterator[str]:
        row = [name, f"{found['parameters']:,}", lab.percent(found["test_accuracy"]), f"{found['seconds']['mean']:.0f}"]
        yield lab.table(["network", "parameters", "test accuracy", "seconds"], [row])

    return run, table


def results(trained: Sequence[lab.Trained]) -> dict[str, Any]:
    """Records the size of a network, its accuracy, the time of its training, and the epochs of the first seed."""
    return {
        "parameters": trained[0].parameters,
        "test_accuracy": lab.final(trained, "test_accuracy"),
        "seconds": lab.spread([each.seconds for each in trained]),
        "epochs": trained[0].curves,
    }


def draw(found: Mapping[str, Any]) -> lab.plots.Figure:
    """Draws the accuracy after each epoch, of the first seed."""
    figure, (axes,) = lab.plots.grid(1, heights=3.4)
    lab.plots.accuracy_by_epoch(axes, found["epochs"])
    axes.legend(loc="lower right", frameon=False)
    return figure
