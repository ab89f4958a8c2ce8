"""Steps of the experiment `projected_gradient`: train, measure, draw, table."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import sonnet as snt
import tensorflow as tf
from matplotlib.ticker import MaxNLocator

from weirdonetworks import Orbit, lab
from weirdonetworks.algebra.actions.transforms import ImageTransform
from weirdonetworks.experiments.projected_gradient import ProjectedGradientConfig, projection
from weirdonetworks.experiments.shared import digits
from weirdonetworks.measure.stability import measure_stability

STARTS = ("random", "constant", "invariant")
FROM_EACH_START = ("plain", "projected")


@dataclasses.dataclass(frozen=True)
class Arm:
    """A combination of method, learning rate and start.

    Attributes:
      method: `plain`, `projected`, `augmentation` or `penalty`.
      rate: The initial learning rate.
      start: One of `STARTS`.
      penalty: The weight of the variance in the loss.
    """

    method: str
    rate: float
    start: str = "random"
    penalty: float = 0.0

    @property
    def series(self) -> str:
        """Its name without the rate."""
        if self.method in FROM_EACH_START:
            return f"{self.method}, {self.start} start"
        return f"penalty {self.penalty:g}" if self.method == "penalty" else self.method


def run(study: lab.Study[ProjectedGradientConfig]) -> None:
    """Trains the networks and measures them."""
    config, data = study.config, digits.load(study)
    sweep = digits.rotations(data, (360 * turn / config.turns for turn in range(config.turns)))
    angles = [180 * turn / config.turns for turn in range(2 * config.turns)]
    networks = []
    for arm in arms(config):
        trained = train(study, arm, data, sweep)
        measured = lab.spreads([measure(each, data, angles, config.examined) for each in trained])
        arm_of = {**dataclasses.asdict(arm), "series": arm.series}
        networks.append({**arm_of, **digits.accuracies(trained), **measured})
    study.finish({"networks": networks}, draw)


def arms(config: ProjectedGradientConfig) -> Iterator[Arm]:
    """Lists the combinations to train."""
    for rate in (config.learning_rate * share for share in config.rates):
        for start, method in itertools.product(STARTS, FROM_EACH_START):
            yield Arm(method, rate, start)
        yield Arm("augmentation", rate)
        for penalty in config.penalties:
            yield Arm("penalty", rate, penalty=penalty)


def train(
    study: lab.Study[ProjectedGradientConfig], arm: Arm, data: lab.Dataset, sweep: Sequence[ImageTransform]
) -> list[lab.Trained]:
    """Trains a network in one arm."""
    classify = lab.classifier(data, augment=lab.RandomTransform(sweep) if arm.method == "augmentation" else None)

    def objective(network: Any) -> Any:
        return projection.with_variance(classify(network), digits.probabilities(network, data), sweep, arm.penalty)

    return study.repeat(
        f"{arm.series}_{arm.rate:g}".replace(",", ""),
        started(arm.start, [study.config.width, 64, len(data.classes)], sweep),
        data,
        objective,
        dataclasses.replace(study.config, learning_rate=arm.rate),
        entry={"penalty": arm.penalty},
        direction=projection.keeping("variance") if arm.method == "projected" else lab.trainer.of_loss,
    )


def started(start: str, sizes: Sequence[int], sweep: Sequence[ImageTransform]) -> Callable[[], Any]:
    """Returns a function that makes a dense network on images, at one of `STARTS`."""
    side = sweep[0].height

    def made() -> Any:
        network = digits.network("plain", side, 1, sizes)
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


def measure(trained: lab.Trained, data: lab.Dataset, angles: Sequence[float], examined: int) -> dict[str, Any]:
    """Measures accuracy and stability of a network on rotated test images."""
    few, probabilities = data.test[:examined], digits.probabilities(trained.network, data)
    found = measure_stability(probabilities, few.images, digits.rotations(data, angles), few.labels, cyclic=True)
    return {
        "turned_accuracy": float(np.asarray(found.accuracy).mean()),
        "variance": float(found.variance.mean()),
        "difference": float(found.difference.mean()),
        "variance_by_epoch": trained.by_epoch("test_variance"),
    }


def draw(found: Any) -> lab.plots.Figure:
    """Draws accuracy by stability, a line over the rates for each series, and the variance by epoch."""
    figure, (left, middle, right) = lab.plots.grid(2, 1, heights=(3.2, 3.0))
    least = min(each["rate"] for each in found["networks"])
    series: dict[str, list[Any]] = {}
    for each in found["networks"]:
        series.setdefault(each["series"], []).append(each)
    # Plain and projected trainings from one start are in one colour, plain ones dashed.
    kinds = [each[0]["start"] if each[0]["method"] in FROM_EACH_START else name for name, each in series.items()]
    colours = dict(zip(dict.fromkeys(kinds), itertools.cycle(lab.plots.COLOURS), strict=False))
    for kind, (name, trainings) in zip(kinds, series.items(), strict=True):
        line = "--" if trainings[0]["method"] == "plain" else "-"
        style: Any = {"color": colours[kind], "linestyle": line, "label": name}
        upright = [100 * each["test_accuracy"]["mean"] for each in trainings]
        for axes, key, scale in ((left, "variance", 1), (middle, "turned_accuracy", 100)):
            across = [scale * each[key]["mean"] for each in trainings]
            axes.plot(across, upright, marker="o", **style)
            if trainings[0]["method"] == "augmentation":
                beside: Any = {"color": colours[kind], "textcoords": "offset points", "xytext": (8, -4), "va": "center"}
                for each, place in zip(trainings, zip(across, upright, strict=True), strict=True):
                    axes.annotate(f"rate {each['rate']:g}", place, **beside)
        for each in trainings:
            if each["rate"] == least and each["method"] in FROM_EACH_START:
                right.plot(range(1, len(each["variance_by_epoch"]) + 1), each["variance_by_epoch"], **style)
    left.set(title="accuracy and stability, at each rate", xscale="log")
    left.set_xlabel("variance of class probabilities over a turn")
    middle.set(title="upright and turned, at each rate", xlabel="accuracy on turned test digits (%)")
    for axes in (left, middle):
        axes.set_ylabel("accuracy on upright digits (%)")
        axes.margins(y=0.1)
    right.set(title=f"stability while training at rate {least:g}", xlabel="epoch", yscale="log")
    right.set_ylabel("variance over a turn")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    lab.plots.legend(left)
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    rows = []
    for each in found["networks"]:
        accuracies = [lab.percent(each[f"{sort}_accuracy"]) for sort in ("test", "turned")]
        sizes = [f"{each[metric]['mean']:.1e}" for metric in ("variance", "difference")]
        rows.append([each["series"], f"{each['rate']:g}", *accuracies, *sizes])
    header = ["training", "rate", "accuracy, upright", "accuracy, turned", "variance", "difference"]
    yield lab.table(header, rows)
