"""Steps of the experiment `bottleneck`: train, measure, draw, table."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks import VariationalBottleneck, lab
from weirdonetworks.algebra.actions.transforms import rotation
from weirdonetworks.experiments.bottleneck import CONTROL, BottleneckConfig
from weirdonetworks.experiments.shared import digits, settings
from weirdonetworks.measure.stability import outputs_over

TURNS = {"upright": settings.UPRIGHT, "turned": 1}  # Digits are rotated by random multiples of so many degrees.
SHARES = (1, 2, 5, 10, 20, 50, 100)  # Marked on the axes, in percent.
BETA = "beta (price of a nat in the loss)"


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
    height, width = images.shape[1:3]
    sweep = [rotation(height, width, angle) for angle in range(0, 360, config.step)]

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
    for turns, networks in found["trained_on"].items():
        label = f"trained on digits {turns}"
        _curve(accuracy, networks, "test_accuracy", 100, label=label)
        _curve(rate, {name: each for name, each in networks.items() if name != CONTROL}, "test_rate", 1, label=label)
        _curve(codes, networks, "code_share", 100, label=label)
        _curve(probabilities, networks, "probability_share", 100, label=label)
    accuracy.set(title="accuracy", ylabel="test accuracy (%)", xlabel=BETA)
    rate.set(title="information kept about the image", ylabel="rate (nats)", xlabel=BETA, yscale="log")
    for axes, title in ((codes, "codes"), (probabilities, "probabilities")):
        axes.axhline(100 * found["pixel_share"], color="0.6", linestyle=":", label="in the pixels")
        axes.set(
            title=f"what {title} say of the angle",
            ylabel="share of variance\nover angles (%)",
            xlabel=BETA,
            yscale="log",
        )
        axes.minorticks_off()
        axes.set_yticks(SHARES, list(map(str, SHARES)))
    figure.legend(*codes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _curve(axes: lab.plots.Axes, networks: Mapping[str, Any], key: str, scale: float, **style: Any) -> None:
    values = [each[key] for each in networks.values()]
    lab.plots.error_bars(axes, list(networks), values, scale, marker="o", markersize=4, **style)


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    for turns, networks in found["trained_on"].items():
        rows = [
            [
                name,
                lab.percent(each["test_accuracy"]),
                "-" if name == CONTROL else f"{each['test_rate']['mean']:.2f}",
                *(lab.percent(each[f"{layer}_share"]) for layer in ("code", "probability")),
            ]
            for name, each in networks.items()
        ]
        header = ["beta", "accuracy", "rate, nats", "share of the angle in codes", "in probabilities"]
        yield f"trained on digits {turns}\n{lab.table(header, rows)}"
    yield f"Share of the angle in pixels: {found['pixel_share']:.1%}"
