"""Steps of the experiment `bottleneck`: train, measure, draw, table."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks import VariationalBottleneck, lab
from weirdonetworks.experiments.bottleneck import CONTROL, BottleneckConfig
from weirdonetworks.experiments.shared import digits, settings
from weirdonetworks.measure.stability import outputs_over

TURNS = {"upright": settings.UPRIGHT, "turned": 1}  # Digits are rotated by random multiples of so many degrees.
SHARES = (1, 2, 5, 10, 20, 50, 100)  # Marked on the axes, in percent.


def run(study: lab.Study[BottleneckConfig]) -> None:
    """Trains the networks and measures them."""
    config, upright = study.config, digits.load(study)
    pixel_share, shares = measure(upright, config)
    trained_on: dict[str, Any] = {}
    for turns, step in TURNS.items():
        data = lab.transformed.turned(upright, step, config.data_seed)
        trained_on[turns] = {}
        for name, beta in config.prices().items():
            trained = train(study, f"{name}_{turns}", data, beta)
            keys = ("test_accuracy", "test_rate")
            measured = [{**{key: each.final[key] for key in keys}, **shares(each.network)} for each in trained]
            trained_on[turns][name] = lab.spreads(measured)
    study.finish({"pixel_share": pixel_share, "trained_on": trained_on}, draw)


def train(study: lab.Study[BottleneckConfig], name: str, data: lab.Dataset, beta: float | None) -> list[lab.Trained]:
    """Trains a classifier at one value of beta; None for the control without noise."""
    return study.repeat(
        name,
        lambda: network(study.config, len(data.classes), with_noise=beta is not None),
        data,
        lambda made: objective(made, data.standardisation, beta or 0.0),
        entry={"beta": beta},
    )


def network(config: BottleneckConfig, classes: int, with_noise: bool) -> snt.Module:
    """Makes a classifier: an `encoder`, a `bottleneck` and a `head`, one after the other."""
    made = snt.Module(name="classifier")
    layers = snt.nets.MLP(config.hidden_sizes, activate_final=True)
    made.encoder = snt.Sequential([snt.Flatten(), layers], name="encoder")
    made.bottleneck = VariationalBottleneck(config.code_size, with_noise, name="bottleneck")
    made.head = snt.Linear(classes, name="head")
    return made


def objective(made: Any, preprocess: Callable[[tf.Tensor], tf.Tensor], beta: float) -> lab.Objective:
    """Makes the objective of such a classifier: `loss`, cross-entropy plus beta times the rate, and each alone."""

    def logits(hidden: tf.Tensor, is_training: bool, seed: tf.Tensor) -> tf.Tensor:
        return made.head(made.bottleneck(hidden, is_training, seed))

    classification = lab.objectives.classification(logits, takes=("is_training", "seed"))

    def measured(images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor) -> lab.Metrics:
        hidden = made.encoder(preprocess(images))
        found = classification(hidden, labels, is_training=is_training, seed=seed)
        rate = made.bottleneck.rate(hidden)
        return {**found, "cross_entropy": found["loss"], "rate": rate, "loss": found["loss"] + beta * rate}

    return measured


def measure(data: lab.Dataset, config: BottleneckConfig) -> tuple[float, Callable[[Any], dict[str, float]]]:
    """Prepares the measurement of the share of the angle, as `angle_share`, on rotated test images.

    Returns:
      The share in the pixels; and the function that gives the shares in a classifier's codes and probabilities.
    """
    images = data.test.images[: config.examined]
    sweep = digits.rotations(data, range(0, 360, config.step))

    def share(of: Callable[[tf.Tensor], tf.Tensor]) -> float:
        return angle_share(outputs_over(lambda turned: of(data.standardisation(turned)), images, sweep))

    def shares(made: Any) -> dict[str, float]:
        def code(inputs: tf.Tensor) -> tf.Tensor:
            return made.bottleneck(made.encoder(inputs), is_training=False)

        return {
            "code_share": share(code),
            "probability_share": share(lambda inputs: tf.nn.softmax(made.head(code(inputs)))),
        }

    return share(tf.identity), shares


def angle_share(outputs: npt.ArrayLike) -> float:
    """Computes the share of the outputs' variance over angles and images that is variance over angles.

        mean over x of sum_k var_g f(g x)_k  /  sum_k var_(g, x) f(g x)_k

    It is 0 for invariant outputs, 1 for outputs that depend on the angle alone, and does not depend on their scale.

    >>> angle_share([[[1.0], [3.0]], [[1.0], [3.0]]]), angle_share([[[1.0], [1.0]], [[3.0], [3.0]]])
    (0.0, 1.0)

    Args:
      outputs: `[angles, images, ...]`.
    """
    values = np.asarray(outputs, np.float64)
    total = values.var(axis=(0, 1)).sum()
    return float(values.var(axis=0).mean(axis=0).sum() / total) if total else 0.0


def draw(found: Any) -> lab.plots.Figure:
    """Draws accuracy, rate, and the share of the angle in codes and probabilities, against beta."""
    figure, (accuracy, rate, codes, probabilities) = lab.plots.grid(2, 2, heights=3.0)
    panels = {"test_accuracy": accuracy, "test_rate": rate, "code_share": codes, "probability_share": probabilities}
    for (turns, networks), (key, axes) in itertools.product(found["trained_on"].items(), panels.items()):
        drawn = {name: each[key] for name, each in networks.items() if axes is not rate or name != CONTROL}
        style: Any = {"marker": "o", "markersize": 4, "label": f"trained on digits {turns}"}
        lab.plots.error_bars(axes, list(drawn), drawn.values(), scale=1 if axes is rate else 100, **style)
    accuracy.set(title="accuracy", ylabel="test accuracy (%)")
    rate.set(title="information kept about the image", ylabel="rate (nats)", yscale="log")
    for axes in panels.values():
        axes.set_xlabel("beta (price of a nat in the loss)")
    for axes, title in ((codes, "codes"), (probabilities, "probabilities")):
        axes.axhline(100 * found["pixel_share"], color="0.6", linestyle=":", label="in the pixels")
        axes.set(title=f"what {title} say of the angle", ylabel="share of variance\nover angles (%)", yscale="log")
        axes.minorticks_off()
        axes.set_yticks(SHARES, list(map(str, SHARES)))
    lab.plots.legend(codes)
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    for turns, networks in found["trained_on"].items():
        rows = []
        for name, each in networks.items():
            rate = "-" if name == CONTROL else f"{each['test_rate']['mean']:.2f}"
            accuracy, *shares = (lab.percent(each[key]) for key in ("test_accuracy", "code_share", "probability_share"))
            rows.append([name, accuracy, rate, *shares])
        header = ["beta", "accuracy", "rate, nats", "share of the angle in codes", "in probabilities"]
        yield f"trained on digits {turns}\n{lab.table(header, rows)}"
    yield f"Share of the angle in pixels: {found['pixel_share']:.1%}"
