"""Steps of the experiment `conservation`: train, measure, draw, table."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks import lab
from weirdonetworks.experiments.conservation import ConservationConfig
from weirdonetworks.experiments.shared import digits
from weirdonetworks.measure.conserved import Conserved, conserved_quantities

CONTROL = "tanh (control)"
CONVOLUTIONS = "convolutions"
NETWORKS = ("linear", "ReLU", CONVOLUTIONS, "layer norm", CONTROL)
ROUNDING = 5e-5  # Largest drift that rounding in float32 may cause over thousands of steps.


def run(study: lab.Study[ConservationConfig]) -> None:
    """Trains the networks and measures the drift."""
    config, data, networks = study.config, digits.load(study), {}
    for kind in NETWORKS:
        drifts: dict[str, list[Any]] = {}
        for halving, rate in enumerate(config.rates()):
            paced = dataclasses.replace(config, learning_rate=rate, epochs=config.epochs * 2**halving)
            trained = train(study, kind, halving, data, paced)
            symmetries = {each.name: each.symmetry for each in quantities(kind, trained[0].network, _images(data))}
            for name in symmetries:
                drifts.setdefault(name, []).append(lab.final(trained, f"drift/{name}"))
        networks[kind] = {
            name: {"symmetry": symmetries[name], "drift": values, "power": fitted_power(config.rates(), values)}
            for name, values in drifts.items()
        }
    study.finish({"rates": config.rates(), "networks": networks}, draw)


def train(
    study: lab.Study, kind: str, halving: int, data: lab.Dataset, config: ConservationConfig
) -> list[lab.Trained]:
    """Trains a network, with a monitor of the drift of its conserved quantities."""
    return study.repeat(
        f"{kind}_{halving}",
        lambda: network(kind, config, data),
        data,
        config=config,
        hooks=lambda made: [lab.hooks.DriftMonitor(quantities(kind, made, _images(data)))],
    )


def network(kind: str, config: ConservationConfig, data: lab.Dataset) -> snt.Module:
    """Makes a network with variables, the first two units of each hidden layer equal."""
    head = snt.Linear(len(data.classes), name="head")
    if kind == CONVOLUTIONS:
        steps = [*digits.convolutions(config.channels).values(), snt.Flatten(), head]
    else:
        activation = {"linear": tf.identity, "ReLU": tf.nn.relu}.get(kind, tf.tanh)
        steps = [snt.Flatten()]
        for index, size in enumerate(config.hidden_sizes):
            norm = [snt.LayerNorm(-1, True, True, name=f"norm_{index}")] if kind == "layer norm" else []
            steps += [snt.Linear(size, name=f"linear_{index}"), *norm, activation]
        steps.append(head)
    made = snt.Sequential(steps)
    made(_images(data))
    for layer, following in itertools.pairwise(step for step in steps if isinstance(step, snt.Linear | snt.Conv2D)):
        layer.w[..., 1].assign(layer.w[..., 0])
        units = layer.w.shape[-1]
        following.w[..., 1::units, :].assign(following.w[..., ::units, :])
    return made


def _images(data: lab.Dataset) -> tf.Tensor:
    """Makes a batch of an image that the networks may be called on."""
    return tf.zeros([1, *data.train.images.shape[1:]])


def quantities(kind: str, made: snt.Module, images: tf.Tensor) -> list[Conserved]:
    """Finds the conserved quantities of a network; of the control, those it would have with ReLU."""
    if kind == CONTROL:
        made = snt.Sequential([tf.nn.relu if layer is tf.tanh else layer for layer in made._layers])
    return conserved_quantities(made, tf.nn.sparse_softmax_cross_entropy_with_logits, images)


def fitted_power(rates: Sequence[float], drifts: Sequence[Mapping[str, Any]]) -> float | None:
    """Fits the exponent p of drifts in proportion to rate^p, by least squares of the logarithms; None for rounding.

    >>> fitted_power([0.4, 0.2, 0.1], [{"mean": 0.08}, {"mean": 0.04}, {"mean": 0.02}])
    1.0
    """
    means = [drift["mean"] for drift in drifts]
    if min(means) < ROUNDING:
        return None
    return round(float(np.polyfit(np.log(rates), np.log(means), 1)[0]), 6)


def draw(found: Any) -> lab.plots.Figure:
    """Draws the drift against the learning rate, a panel for each network; no line where it is 0."""
    rates = found["rates"][::-1]  # The smallest first.
    figure, panels = lab.plots.pairs(len(found["networks"]), height=2.5)
    for axes, (title, drifting) in zip(panels, found["networks"].items(), strict=True):
        for name, each in drifting.items():
            means = [drift["mean"] for drift in each["drift"]]
            if any(means):
                axes.plot(rates, means[::-1], label=described(name), marker="o", markersize=4)
        axes.plot(rates, rates, color="0.6", linestyle=":", label="∝ learning rate")
        axes.set(title=title, xlabel="learning rate", xscale="log", yscale="log")
        axes.set_ylabel("relative drift (0 = conserved)")
        axes.set_ylim(1e-8, 10)
        lab.plots.label_ticks(axes, rates[::-2][::-1])
        lab.plots.label_lines(axes)
    figure.suptitle("Drift over training of quantities that gradient flow conserves")
    return figure


def described(quantity: str) -> str:
    """Says in words which quantity this is, and of which layer.

    >>> described("layer_0/balance")
    'balance, layer 1'
    """
    layer, _, kind = quantity.partition("/")
    number = int(layer.removeprefix("layer_")) + 1
    return {
        "balance": f"balance, layer {number}",
        "length": f"length of weights, layer {number}",
        "class_sums": "sum over classes",
    }.get(kind, f"{lab.words(kind)}, layer {number}")


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    rows = []
    for network, drifting in found["networks"].items():
        for name, each in drifting.items():
            # No power where the drift may be rounding.
            power = "-" if each["power"] is None else f"{each['power']:.2f}"
            drifts = map("{0[mean]:.1e}".format, each["drift"])
            rows.append([f"{network}, {name}", each["symmetry"], *drifts, power])
    header = ["drift at a rate of", "", *(f"{rate:g}" for rate in found["rates"]), "power of the rate"]
    yield lab.table(header, rows)
