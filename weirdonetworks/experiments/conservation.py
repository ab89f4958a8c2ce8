"""Does training conserve what Noether's theorem says it does?

usage: python -m weirdonetworks.experiments.conservation [--flag=value ...]

Trains small networks by plain gradient descent over one and the same time, the learning rate times the number of
steps, at a rate that is halved again and again, and measures how far what gradient flow conserves has drifted:

    python -m weirdonetworks.experiments.conservation
    python -m weirdonetworks.experiments.conservation --optimizer=Adam --learning_rate=0.002

A control, of tanh, is measured as if its units were homogeneous, which they are not. In each hidden layer the first two
units start equal.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from weirdonetworks.experiments import digits
from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions, setting

if TYPE_CHECKING:
    import sonnet as snt
    import tensorflow as tf
    from matplotlib.figure import Figure

    from weirdonetworks.lab.training.study import Study
    from weirdonetworks.measure.conserved import Conserved

CONTROL = "tanh (control)"
CONVOLUTIONS = "convolutions"
NETWORKS = ("linear", "ReLU", CONVOLUTIONS, "layer norm", CONTROL)
ROUNDING = 5e-5  # A drift below that may be rounding in float32, over thousands of steps.


@dataclasses.dataclass(frozen=True)
class ConservationConfig(digits.DigitsConfig):
    """What the experiment is told."""

    epochs: int = setting(1, "Passes over the training data at the greatest learning rate.", minimum=1)
    learning_rate: float = setting(0.1, "The greatest learning rate.", minimum=1e-30, short="lr")
    halvings: int = setting(4, "How often it is halved, each time for twice the passes.", minimum=1)
    hidden_sizes: tuple[int, ...] = setting((32, 32), "The widths of the hidden layers.", minimum=2, may_be_empty=False)
    channels: tuple[int, ...] = setting(
        (8, 8), "The channels of the convolutions, each 3 x 3.", minimum=2, may_be_empty=False
    )
    optimizer: str = setting("Momentum", "The optimizer.", choices=("Adam", "Momentum"))
    momentum: float = setting(0.0, "Momentum, for --optimizer=Momentum.", minimum=0.0, maximum=1.0)
    weight_decay: float | None = setting(0.0, "Weight decay.", minimum=0.0, short="wd")
    lr_schedule: str = setting("constant", "How the learning rate falls.", choices=("constant", "stepped", "cosine"))

    def rates(self) -> list[float]:
        """Lists the learning rates, the greatest first.

        >>> ConservationConfig(learning_rate=0.4, halvings=2).rates()
        [0.4, 0.2, 0.1]
        """
        return [self.learning_rate / 2**halving for halving in range(self.halvings + 1)]


def main(config: ConservationConfig, options: RunOptions) -> None:
    """Runs the experiment, and prints what it found."""
    startup.import_tensorflow()
    from weirdonetworks.lab.records import tables
    from weirdonetworks.lab.training import study

    with study.opened("conservation", config, options) as opened:
        if not opened.is_finished:
            opened.finish(find(opened, config, options), draw)
        found = opened.results
        rows = [
            [f"{network}, {name}", each["symmetry"], *(f"{drift['mean']:.1e}" for drift in each["drift"]), power(each)]
            for network, quantities in found["networks"].items()
            for name, each in quantities.items()
        ]
        header = ["drift at a rate of", "", *(f"{rate:g}" for rate in found["rates"]), "power of the rate"]
        print(f"\n{tables.table(header, rows)}")


def power(quantity: Mapping[str, Any]) -> str:
    """Writes the power of the rate that a drift goes by; a dash where the drift may be rounding."""
    return "-" if quantity["power"] is None else f"{quantity['power']:.2f}"


def find(opened: "Study", config: ConservationConfig, options: RunOptions) -> dict[str, Any]:
    """Trains each network at each rate."""
    from weirdonetworks.lab.training import loop, study

    data = digits.load(config, options)
    splits = loop.residents(data)
    networks = {}
    for kind in NETWORKS:
        drifts: dict[str, list[Any]] = {}
        for halving, rate in enumerate(config.rates()):
            trials = [
                dataclasses.replace(trial, learning_rate=rate, epochs=config.epochs * 2**halving)
                for trial in config.trials()
            ]
            trained = [_train(opened, kind, halving, data, splits, trial) for trial in trials]
            symmetries = {each.name: each.symmetry for each in trained[0].quantities}
            ends = [monitor() for monitor in trained]
            for name in symmetries:
                drifts.setdefault(name, []).append(study.spread([end[f"drift/{name}"] for end in ends]))
        networks[kind] = {
            name: {"symmetry": symmetries[name], "drift": values, "power": fitted(config.rates(), values)}
            for name, values in drifts.items()
        }
    return {"rates": config.rates(), "networks": networks}


def _train(opened: "Study", kind: str, halving: int, data: Any, splits: Any, config: ConservationConfig) -> Any:
    """Trains a network and returns the monitor of what it ought to conserve."""
    from weirdonetworks.lab.training.drift import DriftMonitor

    monitors = []

    def make() -> "snt.Module":
        # Here the weights are the initial ones, also in a study that goes on where it was cut off.
        made = network(kind, config, data)
        monitors.append(DriftMonitor(quantities(kind, made)))
        return made

    name = f"{kind}_{halving}".replace(" ", "_")
    opened.train(name, make, digits.classifier(data), splits, config, measure=lambda: monitors[-1]())
    return monitors[-1]


def network(kind: str, config: ConservationConfig, data: Any) -> "snt.Module":
    """Makes a network with its weights, the first two units of each hidden layer equal."""
    import sonnet as snt
    import tensorflow as tf

    head = snt.Linear(len(data.classes), name="head")
    if kind == CONVOLUTIONS:
        layers = [snt.Conv2D(size, 3, name=f"conv_{index}") for index, size in enumerate(config.channels)]
        hidden = [step for layer in layers for step in (layer, tf.nn.relu, _halved)]
        made = snt.Sequential([*hidden, snt.Flatten(), head])
    else:
        activation = {"linear": tf.identity, "ReLU": tf.nn.relu}.get(kind, tf.tanh)
        layers = [snt.Linear(size, name=f"linear_{index}") for index, size in enumerate(config.hidden_sizes)]
        hidden = [step for index, layer in enumerate(layers) for step in (layer, *_norm(kind, index), activation)]
        made = snt.Sequential([snt.Flatten(), *hidden, head])
    made(tf.zeros([1, *data.train.images.shape[1:]]))
    for layer, following in itertools.pairwise([*layers, head]):
        layer.w[..., 1].assign(layer.w[..., 0])
        units = layer.w.shape[-1]
        following.w[..., 1::units, :].assign(following.w[..., ::units, :])
    return made


def _norm(kind: str, index: int) -> "list[snt.Module]":
    import sonnet as snt

    return [snt.LayerNorm(-1, True, True, name=f"norm_{index}")] if kind == "layer norm" else []


def _halved(images: "tf.Tensor") -> "tf.Tensor":
    import tensorflow as tf

    return tf.nn.max_pool2d(images, 2, 2, "SAME")


def quantities(kind: str, made: "snt.Module") -> "list[Conserved]":
    """Finds what a network conserves; of the control, what it would conserve with ReLU."""
    import tensorflow as tf

    from weirdonetworks.measure.conserved import conserved_quantities
    from weirdonetworks.measure.layer_chain import layers_of

    layers = layers_of(made)
    if kind == CONTROL:
        layers = [dataclasses.replace(layer, activation=tf.nn.relu) for layer in layers[:-1]] + layers[-1:]
    return conserved_quantities(layers, tf.nn.sparse_softmax_cross_entropy_with_logits)


def fitted(rates: Sequence[float], drifts: Sequence[Mapping[str, Any]]) -> float | None:
    """Fits the power p to drifts in proportion to rate^p, by least squares of the logarithms; None for rounding.

    >>> fitted([0.4, 0.2, 0.1], [{"mean": 0.08}, {"mean": 0.04}, {"mean": 0.02}])
    1.0
    """
    means = [drift["mean"] for drift in drifts]
    if min(means) < ROUNDING:
        return None
    return round(float(np.polyfit(np.log(rates), np.log(means), 1)[0]), 6)


def draw(found: Any) -> "Figure":
    """Draws the drift against the rate, a panel for each network; no line where there is none."""
    from weirdonetworks.lab import plots

    rates = np.array(found["rates"])
    figure, panels = plots.row(len(found["networks"]), height=3.4)
    colours: dict[str, str] = {}
    for axes, (title, drifting) in zip(panels, found["networks"].items(), strict=True):
        for name, each in drifting.items():
            means = [drift["mean"] for drift in each["drift"]]
            if any(means):
                colour = colours.setdefault(name, plots.COLOURS[len(colours) % len(plots.COLOURS)])
                axes.plot(rates, means, label=name, color=colour, marker="o", markersize=4)
        axes.plot(rates, rates, color="0.6", linestyle=":", label="in proportion to the rate")
        axes.set(title=title, xlabel="learning rate", xscale="log", yscale="log", ylim=(1e-9, 10))
        axes.set_xticks(rates, [f"{rate:g}" for rate in rates], minor=False)
        axes.minorticks_off()
    panels[0].set_ylabel("drift")
    handles = {name: handle for axes in panels for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


if __name__ == "__main__":
    flags.run(main, ConservationConfig, RunOptions)
