"""Steps of the experiment `jacobian_structure`: train, measure, draw, table."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks import lab
from weirdonetworks.experiments.jacobian_structure import JacobianStructureConfig
from weirdonetworks.experiments.shared import digits
from weirdonetworks.measure.jacobian import InvariantDirections, VectorField, jacobian_along, spectrum
from weirdonetworks.measure.lie_derivatives import IMAGE_GENERATORS, lie_derivative_by_layer
from weirdonetworks.measure.stability import Floats

Images = npt.NDArray[np.float32]
Metrics = dict[str, Any]
UNTRAINED, UPRIGHT, TURNED = "untrained", "upright", "turned"
PERCEPTRON, CONVOLUTIONS = "perceptron", "convolutions"
NETWORKS = {PERCEPTRON: (UNTRAINED, UPRIGHT, TURNED), CONVOLUTIONS: (UNTRAINED, UPRIGHT)}
TOLERANCES = (1e-1, 1e-2, 1e-3)
WHITE = "white noise"
PRINTED = 1e-2  # The tolerance of the shares in the tables.
LAYERED = ("rotation", "shift right", "shift up")  # The motions measured layer by layer.


def run(study: lab.Study[JacobianStructureConfig]) -> None:
    """Trains the networks and measures them.

    Raises:
      UsageError: If the images have one pixel, or as `digits.load`.
    """
    config, data = study.config, digits.load(study)
    if data.side < 2:
        raise lab.UsageError(
            f"shrink (={config.shrink}) must leave images of at least 2 x 2 pixels: smaller ones cannot move."
        )
    images = data.standardisation(data.test[: config.examined].images).numpy()
    blank = data.train.images.max(axis=0) == 0
    networks = {}
    for kind, sorts in NETWORKS.items():
        for digit in sorts:
            trials = []
            for network, accuracy in train(study, kind, digit, data):
                metrics = accuracy | measure(network, images, blank)
                if kind == CONVOLUTIONS:
                    metrics |= measure_layers(list(make_stages(kind, config, len(data.classes))), network, images)
                trials.append(metrics)
            networks[f"{kind}, {digit}"] = lab.spreads(trials)
    study.finish({"networks": networks}, draw)


def make_stages(kind: str, config: JacobianStructureConfig, classes: int) -> dict[str, Any]:
    """Makes the stages of a network in order, without their variables."""
    channels, hidden = (config.channels, []) if kind == CONVOLUTIONS else ((), [config.width, 100])
    return digits.convolutions(channels) | {"flatten": snt.Flatten(), "dense": snt.nets.MLP([*hidden, classes])}


def train(
    study: lab.Study[JacobianStructureConfig], kind: str, digit: str, data: lab.Dataset
) -> list[tuple[Any, Metrics]]:
    """Makes the networks of one kind, and trains them unless `digit` is `UNTRAINED`.

    Returns:
      The network of each trial, and its accuracy.
    """

    def made() -> snt.Module:
        network = snt.Sequential(list(make_stages(kind, study.config, len(data.classes)).values()))
        network(tf.zeros([1, *data.test.images.shape[1:]]))
        return network

    if digit == UNTRAINED:
        return [(network, {}) for network in study.untrained(made)]
    augment = digits.any_turns(data) if digit == TURNED else None
    trained = study.repeat(f"{kind}_{digit}", made, data, lab.classifier(data, augment=augment))
    return [(each.network, {"accuracy": {UPRIGHT: each.final["test_accuracy"]}}) for each in trained]


def measure(network: snt.Module, images: Images, blank: npt.NDArray[np.bool_]) -> Metrics:
    """Measures the spectrum of a network's Jacobians, and its derivatives along the velocities of images."""
    singular, directions = spectrum(network, images)
    shares = measure_directions(singular, directions, images, blank)
    return {"spectrum": (singular / singular[0]).tolist(), **shares, **measure_derivatives(network, images)}


def measure_directions(singular: Floats, directions: Floats, images: Images, blank: npt.NDArray[np.bool_]) -> Metrics:
    """Counts the sensitive directions, and measures the shares of vectors along the invariant ones.

    Raises:
      ValueError: If all singular values are 0.
    """
    if not singular[0]:
        raise ValueError("network must change with its input at some image, and has no unit that does. Take it wider.")
    pixels = np.eye(blank.size)[blank.ravel()].reshape(-1, *blank.shape)
    vectors = {"pixels without ink": pixels} if blank.any() else {}
    vectors |= {name: field(tf.constant(images)).numpy() for name, field in fields().items() if name != WHITE}
    sensitive, shares = {}, {}
    for tolerance in TOLERANCES:
        rank = int((singular > tolerance * singular[0]).sum())
        found = InvariantDirections(singular[:rank], directions[:rank], bound=float(tolerance * singular[0]))
        sensitive[f"{tolerance:g}"] = rank
        shares[f"share/{tolerance:g}"] = {
            "by chance": found.dimension / blank.size,
            **{name: float(found.share(each).mean()) for name, each in vectors.items()},
        }
    return {"sensitive": sensitive, **shares}


def measure_derivatives(network: snt.Module, images: Images) -> Metrics:
    """Measures derivatives along the velocities of images, relative to noise and to other images' velocities."""

    def of_another(move: VectorField) -> VectorField:
        return lambda batch: move(tf.roll(batch, 1, axis=0))

    own = fields()
    others = {name: of_another(move) for name, move in IMAGE_GENERATORS.items()}
    # All images are one batch, so that each has another one before it.
    along = jacobian_along(network, images, [*own.values(), *others.values()], batch_size=len(images))
    sizes = [float(np.linalg.norm(each)) for each in along]
    size = dict(zip(own, sizes[: len(own)], strict=True))
    size_of_other = dict(zip(others, sizes[len(own) :], strict=True))
    gain = {name: size[name] / float(tf.norm(field(tf.constant(images)))) for name, field in own.items()}
    return {
        "over_noise": {name: each / gain[WHITE] for name, each in gain.items() if name != WHITE},
        "over_another": {name: size[name] / size_of_other[name] for name in others},
    }


def measure_layers(stages: Sequence[str], network: Any, images: Images) -> Metrics:
    """Measures the contribution of each layer, named as `make_stages` does, to the Lie derivatives of the network."""
    moves = [IMAGE_GENERATORS[name] for name in LAYERED]
    added = np.stack(lie_derivative_by_layer(network._layers, images, moves), axis=1).astype(np.float64)
    metrics = {}
    for name, layers in zip(LAYERED, added, strict=True):
        whole = layers.sum(axis=0)
        sizes = np.linalg.norm(layers.reshape(len(layers), -1), axis=1) / np.linalg.norm(whole)
        parts = (layers * whole).sum(axis=(1, 2)) / np.square(whole).sum()
        metrics[f"size_by_layer/{name}"] = dict(zip(stages, sizes.tolist(), strict=True))
        metrics[f"part_by_layer/{name}"] = dict(zip(stages, parts.tolist(), strict=True))
    return metrics


def fields() -> dict[str, VectorField]:
    """Names the vector fields along which networks are differentiated."""
    return {WHITE: white_noise, "smooth noise": smooth_noise, **IMAGE_GENERATORS}


def white_noise(images: tf.Tensor) -> tf.Tensor:
    """Draws white noise of the shape of images, the same each time."""
    return tf.random.stateless_normal(tf.shape(images), (0, 1), dtype=images.dtype)


def smooth_noise(images: tf.Tensor) -> tf.Tensor:
    """Draws noise with the power spectrum, and so the norm, of each image `[images, height, width, 1]`."""
    noise, image = (tf.signal.fft2d(tf.cast(each[..., 0], tf.complex64)) for each in (white_noise(images), images))
    return tf.cast(tf.math.real(tf.signal.ifft2d(image * tf.sign(noise))), images.dtype)[..., None]


def draw(found: Any) -> lab.plots.Figure:
    """Draws spectra, derivatives along motions, and contributions of layers; dashes and crosses before training."""
    figure, (values, motions, layers) = lab.plots.grid(2, 1, heights=(3.6, 3.2))
    networks = found["networks"]
    for index, (name, each) in enumerate(networks.items()):
        colour, trained = lab.plots.COLOURS[index], "accuracy" in each
        places = range(1, len(each["spectrum"]) + 1)
        values.plot(places, each["spectrum"], "-" if trained else "--", color=colour, label=name)
        compared = [spread["mean"] for spread in each["over_another"].values()]
        motions.plot(compared, range(len(compared)), "o" if trained else "x", color=colour, label=name)
    values.set(yscale="log", ylim=(3e-4, 1.3), title="Singular values of the Jacobian")
    values.set(xlabel="direction in pixel space, by sensitivity", ylabel="singular value / largest")
    lab.plots.name_rows(motions, next(iter(networks.values()))["over_another"])
    motions.axvline(1, color="0.6", linestyle=":")
    motions.set_xlim(left=0)
    motions.set(title="Sensitivity to motions", xlabel="sensitivity to the image's own motion /\nto another image's")
    _draw_layers(layers, networks)
    lab.plots.legend(values, motions, loc="outside upper center", title="network, and its training digits")
    return figure


def _draw_layers(axes: lab.plots.Axes, networks: Mapping[str, Any]) -> None:
    before, after = (f"{CONVOLUTIONS}, {digit}" for digit in NETWORKS[CONVOLUTIONS])
    for index, (motion, grey) in enumerate(zip(LAYERED, ("0.25", "0.55", "0.8"), strict=True)):
        parts = {
            name: [100 * spread["mean"] for spread in networks[name][f"part_by_layer/{motion}"].values()]
            for name in (before, after)
        }
        rows = [row + 0.25 * (index - 1) for row in range(len(parts[after]))]
        axes.barh(rows, parts[after], height=0.22, color=grey, label=motion)
        label = "before training" if index == 0 else None
        axes.plot(parts[before], rows, "|", color="black", markersize=8, markeredgewidth=1.5, label=label)
    layers = networks[after][f"part_by_layer/{LAYERED[0]}"]
    lab.plots.name_rows(axes, [_counted_from_one(layer) for layer in layers])
    axes.set(title="Convolutional network: where equivariance is lost", xlabel="contribution to the Lie derivative (%)")
    axes.legend(loc="center right", bbox_to_anchor=(1, 0.45), ncols=2, title="bars: trained upright")


def _counted_from_one(layer: str) -> str:
    kind, _, index = layer.rpartition(" ")
    return f"{kind} {int(index) + 1}" if kind else layer


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    shown, ratio = f"{PRINTED:g}", "{0[mean]:z.2f}".format
    tables: list[tuple[str, str, Callable[[Any], str]]] = [
        ("test accuracy", "accuracy", lab.percent),
        ("sensitive directions above", "sensitive", "{0[mean]:.0f}".format),
        (f"invariant share at {shown}", f"share/{shown}", "{0[mean]:.1%}".format),
        ("derivative over white noise's", "over_noise", ratio),
        ("derivative over another image's", "over_another", ratio),
    ]
    for motion, metric in itertools.product(LAYERED, ("size", "part")):
        tables.append((f"{metric} by layer, {motion}", f"{metric}_by_layer/{motion}", ratio))
    for title, kind, write in tables:
        having = {name: each[kind] for name, each in found["networks"].items() if kind in each}
        rows = [[name, *map(write, each.values())] for name, each in having.items()]
        yield lab.table([title, *next(iter(having.values()))], rows)
