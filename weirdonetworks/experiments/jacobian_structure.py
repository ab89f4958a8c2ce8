"""What structure does the Jacobian of a trained network have, and what does a convolutional network conserve?

usage: python -m weirdonetworks.experiments.jacobian_structure [--flag=value ...]

Trains a perceptron on digits, upright or turned anew each time by any angle, and a small convolutional network on
upright ones, and examines the derivatives of their logits at upright test images; and, as a control, those of the
networks before training:

    python -m weirdonetworks.experiments.jacobian_structure --num_trials=3

1. The spectrum of the Jacobians of all images, one above the other. A direction of the input is sensitive if its
   singular value is above a tolerance, as a share of the largest; all directions orthogonal to these are invariant.
   Then the share of squared length that lies along invariant directions: of pixels that have no ink in any training
   image, of smooth noise, and of the velocity of each image as it turns, moves, grows or shears. By chance it is the
   dimension of the invariant space over the number of pixels.
2. The derivative along these velocities v, the root mean square of |J v| over that of |v|: over that along white noise;
   and over that along the velocity of another image, which is as smooth and lies as much where ink is. The latter is
   below 1 where a motion of its own changes an image less for the network than one of another image does.
3. What each layer of the convolutional network adds to the Lie derivative of its logits: its size, as a root mean
   square over that of the whole, and its part in the whole, the product of the two over the square of the whole. Parts
   add up to 1. ReLU has some because velocities are differences of pixels, for which the chain rule is not exact.

Smooth noise is an image with the phases of its Fourier transform drawn at random.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from weirdonetworks.experiments import digits, jacobian_penalty
from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions, setting
from weirdonetworks.lab.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import sonnet as snt
    import tensorflow as tf
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from weirdonetworks.lab.data.datasets import Dataset
    from weirdonetworks.lab.training.study import Study
    from weirdonetworks.measure.jacobian import VectorField
    from weirdonetworks.measure.stability import Floats

    Images = npt.NDArray[np.float32]
    Figures = dict[str, dict[str, float]]

UNTRAINED, UPRIGHT, TURNED = "untrained", "upright", "turned"
PERCEPTRON, CONVOLUTIONS = "perceptron", "convolutions"
NETWORKS = {PERCEPTRON: (UNTRAINED, UPRIGHT, TURNED), CONVOLUTIONS: (UNTRAINED, UPRIGHT)}
TOLERANCES = (1e-1, 1e-2, 1e-3)
WHITE = "white noise"
SHOWN = 1e-2  # The tolerance of the shares that are printed.
LAYERED = ("rotation", "shift right", "shift up")  # The motions that are followed layer by layer.


@dataclasses.dataclass(frozen=True)
class JacobianStructureConfig(digits.DigitsConfig):
    """What the experiment is told."""

    shrink: int = setting(1, "Make images smaller by this factor; 1 leaves them.", minimum=1)
    width: int = setting(300, "The width of the perceptron's first hidden layer.", minimum=1)
    channels: tuple[int, ...] = setting(
        (8, 16), "The channels of the convolutions, each 3 x 3.", minimum=1, may_be_empty=False
    )
    examined: int = setting(500, "Test images at which derivatives are measured.", minimum=2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.examples == 1:
            raise UsageError("examples (=1) must be at least 2: each image is compared with another.")


def main(config: JacobianStructureConfig, options: RunOptions) -> None:
    """Runs the experiment, and prints what it found."""
    startup.import_tensorflow()
    from weirdonetworks.lab.training import study

    with study.opened("jacobian_structure", config, options) as opened:
        if not opened.is_finished:
            opened.finish(find(opened, config, options), draw)
        networks = opened.results["networks"]
        show("test accuracy", "accuracy", networks, study.percent)
        show("sensitive directions above", "sensitive", networks, lambda found: f"{found['mean']:.0f}")
        show(f"invariant share at {SHOWN:g}", f"share/{SHOWN:g}", networks, lambda found: f"{found['mean']:.1%}")
        show("derivative over white noise's", "over_noise", networks, two_digits)
        show("derivative over another image's", "over_another", networks, two_digits)
        for motion in LAYERED:
            show(f"size by layer, {motion}", f"size_by_layer/{motion}", networks, two_digits)
            show(f"part by layer, {motion}", f"part_by_layer/{motion}", networks, two_digits)


def show(title: str, kind: str, networks: Mapping[str, Any], write: Callable[[Any], str]) -> None:
    """Prints the table of one kind of figures, of the networks that have them."""
    from weirdonetworks.lab.records import tables

    having = {name: each[kind] for name, each in networks.items() if kind in each}
    header = [title, *next(iter(having.values()))]
    print(f"\n{tables.table(header, [[name, *map(write, each.values())] for name, each in having.items()])}")


def two_digits(found: Mapping[str, Any]) -> str:
    """Writes the mean of a `spread`."""
    return f"{found['mean']:z.2f}"


def find(opened: "Study", config: JacobianStructureConfig, options: RunOptions) -> dict[str, Any]:
    """Trains the networks and measures them.

    Raises:
      UsageError: If the images have one pixel, or as `digits.load`.
    """
    import numpy as np

    from weirdonetworks.lab.training import loop
    from weirdonetworks.measure.jacobian import spectrum

    data = digits.load(config, options)
    if data.train.images.shape[1] < 2:
        raise UsageError(
            f"shrink (={config.shrink}) must leave images of at least 2 x 2 pixels: smaller ones cannot move."
        )
    splits = loop.residents(data)
    images = data.standardisation(data.test[: config.examined].images).numpy()
    blank = data.train.images.max(axis=0) == 0
    networks = {}
    for kind, shown in NETWORKS.items():
        for digit in shown:
            spectra, trials = [], []
            for trial in config.trials():
                stages = make_stages(kind, trial, len(data.classes))
                network, figures = prepared(opened, f"{kind}_{digit}", stages, digit, data, splits, trial)
                singular, directions = spectrum(network, images)
                figures |= structure(singular, directions, images, blank) | derivatives(network, images)
                spectra.append(singular / singular[0])
                trials.append(figures | by_layer(stages, images) if kind == CONVOLUTIONS else figures)
            mean = {"spectrum": np.mean(spectra, axis=0).tolist()}
            networks[f"{kind}, {digit}"] = jacobian_penalty.summarised(trials) | mean
    return {"networks": networks}


def make_stages(kind: str, config: JacobianStructureConfig, classes: int) -> dict[str, Any]:
    """Makes the stages of a network, to be applied one after the other, without their weights."""
    import sonnet as snt
    import tensorflow as tf

    stages: dict[str, Any] = {}
    sizes = [classes] if kind == CONVOLUTIONS else [config.width, 100, classes]
    for index, channels in enumerate(config.channels if kind == CONVOLUTIONS else ()):
        stages[f"convolution {index}"] = snt.Conv2D(channels, 3, name=f"conv_{index}")
        stages[f"ReLU {index}"] = tf.nn.relu
        stages[f"pooling {index}"] = functools.partial(tf.nn.max_pool2d, ksize=2, strides=2, padding="SAME")
    return stages | {"flatten": snt.Flatten(), "dense": snt.nets.MLP(sizes)}


def prepared(
    opened: "Study",
    name: str,
    stages: Mapping[str, Any],
    digit: str,
    data: "Dataset",
    splits: Mapping[str, Any],
    config: JacobianStructureConfig,
) -> "tuple[snt.Module, Figures]":
    """Makes a network of stages and trains it, unless it is the untrained one; returns it with its accuracy."""
    import sonnet as snt
    import tensorflow as tf

    from weirdonetworks.algebra.transforms import rotation
    from weirdonetworks.lab import seeds
    from weirdonetworks.lab.data.augmentation import RandomTransform

    network = snt.Sequential(list(stages.values()))
    height, width, channels = data.test.images.shape[1:]
    if digit == UNTRAINED:
        tf.random.set_seed(seeds.derive(config.random_seed, "weights")[0])
        network(tf.zeros([1, height, width, channels]))
        return network, {}
    turns = [rotation(height, width, angle) for angle in range(0, 360, 5)] if digit == TURNED else []
    objective = digits.classifier(data, RandomTransform(turns) if turns else None)
    trained = opened.train(name, lambda: network, objective, splits, config)
    return network, {"accuracy": {UPRIGHT: trained.final["test_accuracy"]}}


def structure(singular: "Floats", directions: "Floats", images: "Images", blank: "npt.NDArray[np.bool_]") -> "Figures":
    """Counts the sensitive directions, and measures what lies along the others.

    Raises:
      ValueError: If all singular values are 0.
    """
    import numpy as np
    import tensorflow as tf

    from weirdonetworks.measure.jacobian import InvariantDirections

    if not singular[0]:
        raise ValueError("network must change with its input at some image, and has no unit that does. Take it wider.")
    vectors = {name: field(tf.constant(images)).numpy() for name, field in fields().items() if name != WHITE}
    if blank.any():
        pixels = np.eye(blank.size)[blank.ravel()]
        vectors = {"pixels without ink": pixels.reshape(-1, *blank.shape)} | vectors
    sensitive: dict[str, float] = {}
    shares: Figures = {}
    for tolerance in TOLERANCES:
        rank = int((singular > tolerance * singular[0]).sum())
        found = InvariantDirections(singular[:rank], directions[:rank], bound=float(tolerance * singular[0]))
        sensitive[f"{tolerance:g}"] = rank
        shares[f"share/{tolerance:g}"] = {
            "by chance": found.dimension / blank.size,
            **{name: float(found.share(each).mean()) for name, each in vectors.items()},
        }
    return {"sensitive": sensitive, **shares}


def derivatives(network: "snt.Module", images: "Images") -> "Figures":
    """Measures the derivatives along the velocities of images, beside those along noise and velocities of others."""
    import numpy as np
    import tensorflow as tf

    from weirdonetworks.measure.jacobian import jacobian_along
    from weirdonetworks.measure.lie_derivative import IMAGE_GENERATORS

    def of_another(move: "VectorField") -> "VectorField":
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


def by_layer(stages: Mapping[str, Any], images: "Images") -> "Figures":
    """Measures what each layer adds to the Lie derivatives of the whole."""
    import numpy as np

    from weirdonetworks.measure.lie_derivative import IMAGE_GENERATORS, lie_derivative_by_layer

    moves = [IMAGE_GENERATORS[name] for name in LAYERED]
    added = np.stack(lie_derivative_by_layer(list(stages.values()), images, moves), axis=1).astype(np.float64)
    figures = {}
    for name, layers in zip(LAYERED, added, strict=True):
        whole = layers.sum(axis=0)
        sizes = np.linalg.norm(layers.reshape(len(layers), -1), axis=1) / np.linalg.norm(whole)
        parts = (layers * whole).sum(axis=(1, 2)) / np.square(whole).sum()
        figures[f"size_by_layer/{name}"] = dict(zip(stages, sizes.tolist(), strict=True))
        figures[f"part_by_layer/{name}"] = dict(zip(stages, parts.tolist(), strict=True))
    return figures


def fields() -> "dict[str, VectorField]":
    """Lists the vector fields along which networks are differentiated."""
    from weirdonetworks.measure.lie_derivative import IMAGE_GENERATORS

    return {WHITE: white_noise, "smooth noise": smooth_noise, **IMAGE_GENERATORS}


def white_noise(images: "tf.Tensor") -> "tf.Tensor":
    """Draws white noise of the shape of images, the same each time."""
    import tensorflow as tf

    return tf.random.stateless_normal(tf.shape(images), (0, 1), dtype=images.dtype)


def smooth_noise(images: "tf.Tensor") -> "tf.Tensor":
    """Draws noise of the power spectrum of each image `[images, height, width, 1]`, and so of its length."""
    import tensorflow as tf

    noise, image = (tf.signal.fft2d(tf.cast(each[..., 0], tf.complex64)) for each in (white_noise(images), images))
    return tf.cast(tf.math.real(tf.signal.ifft2d(image * tf.sign(noise))), images.dtype)[..., None]


def draw(found: Any) -> "Figure":
    """Draws the spectra, the derivatives along motions, and the parts of layers; before training dashed or hollow."""
    from weirdonetworks.lab import plots

    figure, (values, motions, layers) = plots.row(3, widths=[1.2, 1.1, 1.4], height=4.2)
    networks: Mapping[str, Any] = found["networks"]
    for index, (name, each) in enumerate(networks.items()):
        colour, trained = plots.COLOURS[index], "accuracy" in each
        line = "-" if trained else "--"
        values.plot(range(1, len(each["spectrum"]) + 1), each["spectrum"], line, color=colour, label=name)
        compared = [spread["mean"] for spread in each["over_another"].values()]
        motions.plot(compared, range(len(compared)), "o", color=colour, fillstyle="full" if trained else "none")
    values.set(yscale="log", ylim=(3e-4, 1.3), xlabel="direction", title="singular values over the largest")
    _name_rows(motions, next(iter(networks.values()))["over_another"])
    motions.axvline(1, color="0.6", linestyle=":")
    motions.set_xlim(left=0)
    motions.set_title("derivative over another image's")
    _draw_layers(layers, networks)
    figure.legend(*values.get_legend_handles_labels(), loc="outside lower center", ncols=len(networks), frameon=False)
    return figure


def _draw_layers(axes: "Axes", networks: Mapping[str, Any]) -> None:
    from weirdonetworks.lab import plots

    before, after = (f"{CONVOLUTIONS}, {digit}" for digit in NETWORKS[CONVOLUTIONS])
    colour = plots.COLOURS[list(networks).index(before)]
    for index, (motion, grey) in enumerate(zip(LAYERED, ("0.25", "0.55", "0.8"), strict=True)):
        parts = {
            name: [100 * spread["mean"] for spread in networks[name][f"part_by_layer/{motion}"].values()]
            for name in (before, after)
        }
        rows = [row + 0.25 * (index - 1) for row in range(len(parts[after]))]
        axes.barh(rows, parts[after], height=0.22, color=grey, label=motion)
        axes.plot(parts[before], rows, "o", color=colour, markersize=4, fillstyle="none")
    _name_rows(axes, networks[after][f"part_by_layer/{LAYERED[0]}"])
    axes.set(title=f"{CONVOLUTIONS}: part in the Lie derivative", xlabel="%")
    axes.legend(loc="upper right")


def _name_rows(axes: "Axes", names: Mapping[str, Any]) -> None:
    axes.set_yticks(range(len(names)), list(names))
    axes.invert_yaxis()


if __name__ == "__main__":
    flags.run(main, JacobianStructureConfig, RunOptions)
