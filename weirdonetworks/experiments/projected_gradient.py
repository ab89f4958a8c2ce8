"""Does a network stay stable under rotation if its gradients are projected off that of the transformation variance?

usage: python -m weirdonetworks.experiments.projected_gradient [--flag=value ...]

Trains a small network on upright digits by gradient descent, in these ways, each at each of --rates, and measures
accuracy and stability while the digits are turned through 360 degrees:

    plain         nothing is done for stability: the control
    projected     steps go along the gradient of the loss less its component along that of the variance
    augmentation  digits are turned at random in training
    penalty       the transformation variance counts in the loss, --penalties times

The first two start from random weights, from a constant network, its last layer zero, and from an invariant one, the
weights of its first layer averaged over the rotations (under quarter turns it is invariant exactly, under others as far
as turning pixels lets it); so what the start does and what the projection does can be told apart. The others start from
random weights.

    python -m weirdonetworks.experiments.projected_gradient --num_trials=3

A projected step keeps the variance of its batch, to first order: the smaller the steps, the better it is kept. Where a
network is invariant the variance is least, its gradient zero, and the first step is not projected.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weirdonetworks.experiments import digits
from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from weirdonetworks.algebra.transforms import ImageTransform
    from weirdonetworks.lab.data.datasets import Dataset

STARTS = ("random", "constant", "invariant")
FROM_EACH_START = ("plain", "projected")


@dataclasses.dataclass(frozen=True)
class ProjectedGradientConfig(digits.DigitsConfig):
    """What the experiment is told."""

    epochs: int = setting(4, "Passes over the training data.", minimum=1)
    # Plain gradient descent: what Adam and momentum make of a projected gradient is not orthogonal any more.
    optimizer: str = setting("Momentum", "The optimizer.", choices=("Adam", "Momentum"))
    momentum: float = setting(0.0, "Momentum, for --optimizer=Momentum.", minimum=0.0, maximum=1.0)
    learning_rate: float = setting(1.0, "What --rates are multiplied by.", minimum=0.0, short="lr")
    rates: tuple[float, ...] = setting(
        (0.3, 0.1, 0.03),
        "Learning rates at the start; every training is done at each.",
        minimum=0.0,
        may_be_empty=False,
    )
    penalties: tuple[float, ...] = setting((10.0, 100.0), "What the variance counts in the loss.", minimum=0.0)
    width: int = setting(128, "Units in the first of two hidden layers; the second has 64.", minimum=1)
    turns: int = setting(12, "The rotations trained with, evenly over 360 degrees.", minimum=2, maximum=360)
    examined: int = setting(1000, "Test images on which stability is measured.", minimum=1)
    # On a processor epochs of this kind take as long with XLA, and it compiles every training anew.
    execution: str = setting("graph", "How an epoch is compiled.", choices=("auto", "xla", "graph"))


@dataclasses.dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
      method: What is done for stability.
      rate: The learning rate at the start.
      start: One of `STARTS`.
      penalty: What the variance counts in the loss.
    """

    method: str
    rate: float
    start: str = "random"
    penalty: float = 0.0

    @property
    def series(self) -> str:
        """Names it, its rate aside."""
        if self.method in FROM_EACH_START:
            return f"{self.method}, {self.start} start"
        return f"penalty {self.penalty:g}" if self.method == "penalty" else self.method


def main(config: ProjectedGradientConfig, options: RunOptions) -> None:
    """Runs the experiment, and prints what it found."""
    startup.import_tensorflow()
    from weirdonetworks.lab.records import tables
    from weirdonetworks.lab.training import study

    with study.opened("projected_gradient", config, options) as opened:
        if not opened.is_finished:
            opened.finish(find(opened, config, options), draw)
        rows = []
        for each in opened.results["networks"]:
            accuracies = [study.percent(each[f"{sort}_accuracy"]) for sort in ("test", "turned")]
            sizes = [f"{each[figure]['mean']:.1e}" for figure in ("variance", "difference")]
            rows.append([each["series"], f"{each['rate']:g}", *accuracies, *sizes])
        header = ["training", "rate", "accuracy, upright", "accuracy, turned", "variance", "difference"]
        print(f"\n{tables.table(header, rows)}")


def arms(config: ProjectedGradientConfig) -> Iterator[Arm]:
    """Lists the ways to train, each at each rate."""
    for rate in (config.learning_rate * share for share in config.rates):
        for start, method in itertools.product(STARTS, FROM_EACH_START):
            yield Arm(method, rate, start)
        yield Arm("augmentation", rate)
        for penalty in config.penalties:
            yield Arm("penalty", rate, penalty=penalty)


def find(opened: Any, config: ProjectedGradientConfig, options: RunOptions) -> dict[str, Any]:
    """Trains and measures the networks."""
    import numpy as np

    from weirdonetworks.algebra.transforms import rotation
    from weirdonetworks.lab.training import loop, study

    data = digits.load(config, options)
    side = data.train.images.shape[1]
    sweep = [rotation(side, side, 360 * turn / config.turns) for turn in range(config.turns)]
    angles = [180 * turn / config.turns for turn in range(2 * config.turns)]
    splits = loop.residents(data)
    networks = []
    for arm in arms(config):
        trained = [_train(opened, arm, data, splits, sweep, trial) for trial in config.trials()]
        measured = [_measure(each.network, data, angles, config.examined) for each in trained]
        networks.append(
            {
                **dataclasses.asdict(arm),
                "series": arm.series,
                **digits.accuracies(trained),
                **{figure: study.spread([each[figure] for each in measured]) for figure in measured[0]},
                "variance_by_epoch": np.mean(
                    [[record["test_variance"] for record in each.records] for each in trained], axis=0
                ).tolist(),
            }
        )
    return {"networks": networks}


def _train(
    opened: Any,
    arm: Arm,
    data: "Dataset",
    splits: Mapping[str, Any],
    sweep: Sequence["ImageTransform"],
    config: ProjectedGradientConfig,
) -> Any:
    """Trains a network in one way."""
    import tensorflow as tf

    from weirdonetworks.lab.data.augmentation import RandomTransform
    from weirdonetworks.lab.training import projection
    from weirdonetworks.lab.training.trainer import of_loss

    augment = RandomTransform(sweep) if arm.method == "augmentation" else None

    def objective(network: Any) -> Any:
        return projection.with_variance(
            digits.classifier(data, augment)(network),
            lambda images: tf.nn.softmax(network(data.standardisation(images))),
            sweep,
            penalty=arm.penalty,
        )

    return opened.train(
        f"{arm.series}_{arm.rate:g}".replace(",", "").replace(" ", "_"),
        started(arm.start, [config.width, 64, len(data.classes)], sweep),
        objective,
        splits,
        dataclasses.replace(config, learning_rate=arm.rate),
        direction=projection.keeping("variance") if arm.method == "projected" else of_loss,
    )


def started(start: str, sizes: Sequence[int], sweep: Sequence["ImageTransform"]) -> Callable[[], Any]:
    """Returns what makes a dense network on images, at one of `STARTS`."""
    import sonnet as snt
    import tensorflow as tf

    from weirdonetworks.nets.orbits import Orbit

    side = sweep[0].height
    make = digits.maker("plain", side, 1, sizes)

    def made() -> Any:
        network = make()
        network(tf.zeros([1, side, side, 1]))
        layers = [module for module in network.submodules if isinstance(module, snt.Linear)]
        if start == "constant":
            layers[-1].w.assign(tf.zeros_like(layers[-1].w))
        if start == "invariant":
            weights = layers[0].w
            turned, _ = Orbit(sweep).folded(weights)
            weights.assign(tf.reduce_mean(tf.reshape(turned, [weights.shape[0], len(sweep), -1]), axis=1))
        return network

    return made


def _measure(network: Any, data: "Dataset", angles: Sequence[float], examined: int) -> dict[str, float]:
    """Measures a network on turned test images."""
    import numpy as np
    import tensorflow as tf

    from weirdonetworks.algebra.transforms import rotation
    from weirdonetworks.measure.stability import measure_stability

    shown = data.test[:examined]
    side = shown.images.shape[1]
    found = measure_stability(
        lambda images: tf.nn.softmax(network(data.standardisation(images))),
        shown.images,
        [rotation(side, side, angle) for angle in angles],
        shown.labels,
        cyclic=True,
    )
    return {
        "turned_accuracy": float(np.asarray(found.accuracy).mean()),
        "variance": float(found.variance.mean()),
        "difference": float(found.difference.mean()),
    }


def draw(found: Any) -> "Figure":
    """Draws accuracy against stability, a line over the rates for each training, and the variance over the epochs."""
    from matplotlib.ticker import MaxNLocator

    from weirdonetworks.lab import plots

    figure, (left, middle, right) = plots.row(3, widths=(1.1, 1.1, 1.1))
    least = min(each["rate"] for each in found["networks"])
    series: dict[str, list[Any]] = {}
    for each in found["networks"]:
        series.setdefault(each["series"], []).append(each)
    # Plain and projected trainings from one start are in one colour, plain ones dashed.
    kinds = [each[0]["start"] if each[0]["method"] in FROM_EACH_START else name for name, each in series.items()]
    colours = dict(zip(dict.fromkeys(kinds), itertools.cycle(plots.COLOURS), strict=False))
    for kind, (name, trainings) in zip(kinds, series.items(), strict=True):
        line = "--" if trainings[0]["method"] == "plain" else "-"
        style: Any = {"color": colours[kind], "linestyle": line, "label": name}
        upright = [100 * each["test_accuracy"]["mean"] for each in trainings]
        left.plot([each["variance"]["mean"] for each in trainings], upright, marker="o", **style)
        middle.plot([100 * each["turned_accuracy"]["mean"] for each in trainings], upright, marker="o", **style)
        for each in trainings:
            if each["rate"] == least and each["method"] in FROM_EACH_START:
                right.plot(range(1, len(each["variance_by_epoch"]) + 1), each["variance_by_epoch"], **style)
    left.set(title="accuracy and variance", xlabel="variance of the probabilities", xscale="log")
    left.set_ylabel("test accuracy, upright, %")
    middle.set(title="accuracy upright and turned", xlabel="test accuracy, turned, %")
    right.set(title=f"variance while training at rate {least:g}", xlabel="epoch", ylabel="variance", yscale="log")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    columns = math.ceil(len(series) / 2)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False)
    return figure


if __name__ == "__main__":
    flags.run(main, ProjectedGradientConfig, RunOptions)
