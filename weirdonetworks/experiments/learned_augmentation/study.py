"""Steps of the experiment `learned_augmentation`: train, measure, draw, table."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import sonnet as snt
import tensorflow as tf

from weirdonetworks import LearnedAugmentation, lab
from weirdonetworks.experiments.learned_augmentation import LearnedAugmentationConfig
from weirdonetworks.experiments.shared import digits

STYLES = (":", "-.", "--", "-")  # Line styles, by range.


def run(study: lab.Study[LearnedAugmentationConfig]) -> None:
    """Trains the networks and measures them."""
    config, upright = study.config, digits.load(study)
    networks = []
    for degrees in config.ranges:
        data = lab.transformed.turned_within(upright, degrees, config.data_seed)
        for strength in config.strengths:
            trained = study.repeat(
                f"within_{degrees}_strength_{strength:g}",
                maker(data, config.hidden_size, strength),
                data,
                functools.partial(objective, data=data),
                entry={"range": degrees, "strength": strength},
                hooks=lambda network: [lab.Following(lambda: _width(network))],
            )
            paths = [[at["width"] for at in (*each.records, _width(each.network))] for each in trained]
            widths = lab.spreads([{"width": path[-1], "by_epoch": path} for path in paths])
            networks.append({"strength": strength, "range": degrees, **widths, **digits.accuracies(trained)})
    study.finish({"networks": networks}, draw)


def maker(data: lab.Dataset, hidden_size: int, strength: float) -> Callable[[], LearnedAugmentation]:
    """Returns a function that makes the network: dense layers under random rotations of learned width."""
    (mean,), (deviation,) = data.standardisation.mean, data.standardisation.deviation

    def make() -> LearnedAugmentation:
        network = snt.Sequential([snt.Flatten(), snt.nets.MLP([hidden_size, len(data.classes)])])
        return LearnedAugmentation(network, strength, ["rotation"], fill=-mean / deviation)

    return make


def objective(network: LearnedAugmentation, data: lab.Dataset) -> lab.Objective:
    """Makes the objective of a classifier: cross-entropy, in training plus the network's `width_penalty`."""
    classify = lab.classifier(data, ("is_training", "seed"))(network)

    def penalised(images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor) -> lab.Metrics:
        metrics = classify(images, labels, is_training=is_training, seed=seed)
        return {**metrics, "loss": metrics["loss"] + network.width_penalty()} if is_training else metrics

    return penalised


def _width(network: LearnedAugmentation) -> dict[str, float]:
    """Gives the width of the random rotations, in degrees."""
    return {"width": math.degrees(float(network.widths[0]))}


def draw(found: Any) -> lab.plots.Figure:
    """Draws the learned width by the range of the data, and by epoch."""
    figure, (against, epochs) = lab.plots.grid(2, heights=4.4)
    strengths, ranges = (list(dict.fromkeys(each[key] for each in found["networks"])) for key in ("strength", "range"))
    styles, widest = dict(zip(ranges, itertools.cycle(STYLES), strict=False)), max(ranges)
    against.plot([0, widest], [0, widest], color="0.7", zorder=0, label="width = true range")
    for strength, colour in zip(strengths, lab.plots.COLOURS * len(strengths), strict=False):
        chosen = [each for each in found["networks"] if each["strength"] == strength]
        style: Any = {"fmt": "o-", "capsize": 3, "color": colour, "label": f"strength {strength:g}"}
        places, widths = [each["range"] for each in chosen], [each["width"] for each in chosen]
        lab.plots.error_bars(against, places, widths, scale=1, **style)
        for each in chosen:
            epochs.plot(range(len(each["by_epoch"])), each["by_epoch"], styles[each["range"]], color=colour)
    against.set(title="after training", xlabel="true range of the rotations (degrees)")
    for degrees, style in styles.items():
        epochs.plot([], [], style, color="0.3", label=f"true range {degrees}°")
    epochs.legend()
    epochs.set(title="in training", xlabel="epoch")
    for axes in (against, epochs):
        axes.set_ylabel("learned width (degrees)")
    lab.plots.legend(against, title="colours, left and right; the loss is cross-entropy - strength x width")
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    rows = []
    for each in found["networks"]:
        width, accuracy = lab.formatted(each["width"], ".1f"), lab.percent(each["test_accuracy"])
        rows.append([f"{each['strength']:g}", f"{each['range']}", width, accuracy])
    header = ["strength", "turned within, degrees", "learned width, degrees", "test accuracy"]
    yield lab.table(header, rows)
