"""Does a network stay stable under rotation if its gradients are projected off that of the transformation variance?

usage: python -m weirdonetworks.experiments.projected_gradient [--flag=value ...]

Trains a small network on upright digits by gradient descent, in these ways, and measures accuracy and stability while
the digits are turned through 360 degrees:

    plain         nothing is done for stability, as a control at each of --rates
    augmentation  digits are turned at random in training
    penalty       the transformation variance counts in the loss, --penalties times
    projected     steps go along the gradient of the loss less its component along that of the variance, at each of
                  --rates and from each of three starts: random weights; a constant network, its last layer zero; an
                  invariant one, the weights of its first layer averaged over the rotations (under quarter turns it is
                  invariant exactly, under others as far as turning pixels lets it)

    python -m weirdonetworks.experiments.projected_gradient --num_trials=3

A projected step keeps the variance of its batch, to first order: the smaller the steps, the better it is kept. Where a
network is invariant the variance is least, its gradient zero, and the first step is not projected.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weirdonetworks.experiments import digits
from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from weirdonetworks.algebra.transforms import ImageTransform
    from weirdonetworks.lab.datasets import Dataset

STARTS = ("random", "constant", "invariant")


@dataclasses.dataclass(frozen=True)
class ProjectedGradientConfig(digits.DigitsConfig):
    """What the experiment is told."""

    # Plain gradient descent: what Adam and momentum make of a projected gradient is not orthogonal any more.
    optimizer: str = setting("Momentum", "The optimizer.", choices=("Adam", "Momentum"))
    momentum: float = setting(0.0, "Momentum, for --optimizer=Momentum.", minimum=0.0, maximum=1.0)
    learning_rate: float = setting(
        0.3, "The learning rate at the start, with augmentation or a penalty.", minimum=0.0, short="lr"
    )
    rates: tuple[float, ...] = setting((0.3, 0.1, 0.03), "Those of plain and projected trainings.", minimum=0.0)
    penalties: tuple[float, ...] = setting((1.0, 10.0, 100.0), "What the variance counts in the loss.", minimum=0.0)
    width: int = setting(128, "Units in the first of two hidden layers; the second has 64.", minimum=1)
    turns: int = setting(12, "The rotations trained with, evenly over 360 degrees.", minimum=2, maximum=360)
    examined: int = setting(1000, "Test images on which stability is measured.", minimum=1)


@dataclasses.dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
      method: What is done for stability.
      start: One of `STARTS`.
      strength: The penalty, or the learning rate of a plain or projected training.
    """

    method: str
    start: str = "random"
    strength: float | None = None

    @property
    def series(self) -> str:
        """Names it, its strength aside."""
        return f"projected, {self.start} start" if self.method == "projected" else self.method


def main(config: ProjectedGradientConfig, options: RunOptions) -> None:
    """Runs the experiment, and prints what it found."""
    startup.import_tensorflow()
    from weirdonetworks.lab import study, tables

    with study.opened("projected_gradient", config, options) as opened:
        if not opened.is_finished:
            opened.finish(find(opened, config, options), draw)
        rows = []
        for each in opened.results["networks"]:
            accuracies = [study.percent(each[f"{sort}_accuracy"]) for sort in ("test", "turned")]
            spoken = "" if each["strength"] is None else f"{each['strength']:g}"
            sizes = [f"{each[figure]['mean']:.1e}" for figure in ("variance", "difference")]
            rows.append([each["series"], spoken, *accuracies, *sizes])
        header = ["training", "penalty or rate", "accuracy, upright", "accuracy, turned", "variance", "difference"]
        print(f"\n{tables.table(header, rows)}")


def arms(config: ProjectedGradientConfig) -> Iterator[Arm]:
    """Lists the ways to train."""
    for rate in config.rates:
        yield Arm("plain", strength=rate)
    yield Arm("augmentation")
    for penalty in config.penalties:
        yield Arm("penalty", strength=penalty)
    for start in STARTS:
        for rate in config.rates:
            yield Arm("projected", start, rate)


def find(opened: Any, config: ProjectedGradientConfig, options: RunOptions) -> dict[str, Any]:
    """Trains and measures the networks."""
    from weirdonetworks.algebra.transforms import rotation
    from weirdonetworks.lab import loop, study

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
                "variance_by_epoch": [each["test_variance"] for each in trained[0].records],
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

    from weirdonetworks.lab import projection
    from weirdonetworks.lab.augmentation import RandomTransform
    from weirdonetworks.lab.training import of_loss

    augment = RandomTransform(sweep) if arm.method == "augmentation" else None
    strength = arm.strength or 0.0
    rate = strength if arm.method in ("plain", "projected") else config.learning_rate

    def objective(network: Any) -> Any:
        return projection.with_variance(
            digits.classifier(data, augment)(network),
            lambda images: tf.nn.softmax(network(data.standardisation(images))),
            sweep,
            penalty=strength if arm.method == "penalty" else 0.0,
        )

    return opened.train(
        "_".join(map(str, filter(None, dataclasses.astuple(arm)))),
        started(arm.start, [config.width, 64, len(data.classes)], sweep),
        objective,
        splits,
        dataclasses.replace(config, learning_rate=rate),
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
    """Draws accuracy against stability, and the variance over the epochs, the trainings of a kind in one colour."""
    from matplotlib.ticker import MaxNLocator

    from weirdonetworks.lab import plots

    figure, (left, middle, right) = plots.row(3, widths=(1.1, 1.1, 1.1))
    series: dict[str, list[Any]] = {}
    for each in found["networks"]:
        series.setdefault(each["series"], []).append(each)
    for (name, trainings), colour in zip(series.items(), plots.COLOURS, strict=False):
        upright = [100 * each["test_accuracy"]["mean"] for each in trainings]
        for axes, figures in (
            (left, [each["variance"]["mean"] for each in trainings]),
            (middle, [100 * each["turned_accuracy"]["mean"] for each in trainings]),
        ):
            axes.plot(figures, upright, marker="o", color=colour, label=name)
        for each in trainings:
            epochs = range(1, len(each["variance_by_epoch"]) + 1)
            right.plot(epochs, each["variance_by_epoch"], color=colour)
    left.set(title="accuracy and variance", xlabel="variance of the probabilities", xscale="log")
    left.set_ylabel("test accuracy, upright, %")
    middle.set(title="accuracy upright and turned", xlabel="test accuracy, turned, %")
    right.set(title="variance while training", xlabel="epoch", ylabel="variance", yscale="log")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(series), frameon=False)
    return figure


if __name__ == "__main__":
    flags.run(main, ProjectedGradientConfig, RunOptions)
