"""What the experiment `pooling_choice` trains, measures, draws and prints."""

from collections.abc import Callable, Iterator
from typing import Any

from matplotlib.figure import Figure

from weirdonetworks.algebra import image_rotations
from weirdonetworks.experiments.pooling_choice import PoolingChoiceConfig
from weirdonetworks.experiments.shared import digits
from weirdonetworks.lab import plots
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.data import transformed
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import tables
from weirdonetworks.lab.training import loop, study
from weirdonetworks.lab.training.study import Study
from weirdonetworks.lab.training.study_trials import Training
from weirdonetworks.measure.stability import invariance_error
from weirdonetworks.nets.pooling import POOLINGS
from weirdonetworks.nets.synchronous import POSITIONS, SynchronousMLP


def run(opened: Study, config: PoolingChoiceConfig, options: RunOptions) -> None:
    """Trains the networks."""
    chosen = [name.strip() for name in config.poolings.split(",") if name.strip()] or list(POOLINGS)
    if unknown := [name for name in chosen if name not in POOLINGS]:
        raise UsageError(f"poolings: {unknown[0]} must be one of {', '.join(POOLINGS)}.")
    data = transformed.turned(digits.load(config, options), config.turn, config.data_seed)
    side, classes = data.train.images.shape[1], len(data.classes)
    group = image_rotations(side, side)
    splits = loop.residents(data)
    images = data.standardisation(data.test.images[:1000])
    networks = []
    for pooling in chosen:
        for position in POSITIONS:

            def of_width(width: int, pooling: str = pooling, position: str = position) -> Callable[[], Any]:
                return lambda: SynchronousMLP(group, [width], [64, classes], pooling, position)

            width = digits.fitting_width(of_width, side, config.parameters)
            trained = opened.trials(
                [
                    Training(f"{pooling}_{position}", of_width(width), digits.classifier(data), splits, trial)
                    for trial in config.trials()
                ]
            )
            errors = [invariance_error(each.network, images, group).overall_relative for each in trained]
            networks.append(
                {
                    "pooling": pooling,
                    "position": position,
                    "width": width,
                    **digits.accuracies(trained),
                    "invariance_error": study.spread(errors),
                }
            )
    opened.finish({"networks": networks}, draw)


def draw(found: Any) -> Figure:
    """Draws the accuracy of each pooling at both positions."""
    figure, (axes,) = plots.row(1, widths=(1.7,), height=3.6)
    for offset, position in ((-0.12, "inside"), (0.12, "first")):
        chosen = [each for each in found["networks"] if each["position"] == position]
        axes.errorbar(
            [100 * each["test_accuracy"]["mean"] for each in chosen],
            [index + offset for index in range(len(chosen))],
            xerr=plots.bars([each["test_accuracy"] for each in chosen], 100),
            fmt="o",
            capsize=3,
            label={"inside": "dense layers first", "first": "symmetric functions first"}[position],
        )
    names = [each["pooling"].replace("_", " ") for each in found["networks"] if each["position"] == "inside"]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(title="accuracy by pooling", xlabel="test accuracy, %")
    axes.legend()
    return figure


def table(found: Any) -> Iterator[str]:
    """Lays out what was found, table by table."""
    rows = []
    for each in found["networks"]:
        figures = [f"{each['parameters']:,}", study.percent(each["test_accuracy"])]
        rows.append([each["pooling"], each["position"], *figures, f"{each['invariance_error']['mean']:.1e}"])
    header = ["pooling", "position", "parameters", "test accuracy", "invariance error"]
    yield tables.table(header, rows)
