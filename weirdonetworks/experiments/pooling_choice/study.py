"""Steps of the experiment `pooling_choice`: train, measure, draw, table."""

from collections.abc import Iterator
from typing import Any

from weirdonetworks import lab
from weirdonetworks.algebra import image_rotations
from weirdonetworks.experiments.pooling_choice import PoolingChoiceConfig
from weirdonetworks.experiments.shared import digits
from weirdonetworks.measure.stability import invariance_error
from weirdonetworks.nets.pooling import POOLINGS
from weirdonetworks.nets.synchronous import POSITIONS, SynchronousMLP


def run(study: lab.Study[PoolingChoiceConfig]) -> None:
    """Trains the networks and measures them."""
    poolings = lab.literals.chosen("poolings", study.config.poolings, POOLINGS)
    data = lab.transformed.turned(digits.load(study), study.config.turn, study.config.data_seed)
    networks = [train(study, pooling, position, data) for pooling in poolings for position in POSITIONS]
    study.finish({"networks": networks}, draw)


def train(study: lab.Study[PoolingChoiceConfig], pooling: str, position: str, data: lab.Dataset) -> dict[str, Any]:
    """Trains the network of one pooling at one position, and measures it."""
    group = image_rotations(data.side, data.side)

    def of_width(width: int) -> SynchronousMLP:
        return SynchronousMLP(group, [width], [64, len(data.classes)], pooling, position)

    width = digits.fitting_width(of_width, data, study.config.parameters)
    trained = study.repeat(f"{pooling}_{position}", lambda: of_width(width), data)
    images = data.standardisation(data.test.images[:1000])
    errors = [invariance_error(each.network, images, group).overall_relative for each in trained]
    return {
        "pooling": pooling,
        "position": position,
        "width": width,
        **digits.accuracies(trained),
        "invariance_error": lab.spread(errors),
    }


def draw(found: Any) -> lab.plots.Figure:
    """Draws the accuracy of each pooling at both positions."""
    figure, (axes,) = lab.plots.grid(1, heights=4.0)
    poolings = dict.fromkeys(each["pooling"] for each in found["networks"])
    labels = {"inside": "dense layers first", "first": "symmetric functions first"}
    for offset, (position, label) in zip((-0.12, 0.12), labels.items(), strict=True):
        places = [index + offset for index in range(len(poolings))]
        accuracies = [each["test_accuracy"] for each in found["networks"] if each["position"] == position]
        lab.plots.error_bars(axes, places, accuracies, horizontal=True, fmt="o", capsize=3, label=label)
    lab.plots.name_rows(axes, map(lab.words, poolings))
    axes.set(title="accuracy by pooling", xlabel="test accuracy (%)")
    axes.legend()
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    rows = []
    for each in found["networks"]:
        cells = [f"{each['parameters']:,}", lab.percent(each["test_accuracy"])]
        rows.append([each["pooling"], each["position"], *cells, f"{each['invariance_error']['mean']:.1e}"])
    header = ["pooling", "position", "parameters", "test accuracy", "invariance error"]
    yield lab.table(header, rows)
