"""Steps of the experiment `topology`: train, measure, draw, table."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf
from matplotlib.collections import LineCollection

from weirdonetworks import lab
from weirdonetworks.algebra.groups.permutations import inverse
from weirdonetworks.experiments.topology import TopologyConfig, graph_layout
from weirdonetworks.measure import topology

Floats = npt.NDArray[np.float64]
LEAST_DEVIATION = 0.02  # Its square is added to each pixel's variance, so that rarely inked pixels do not dominate.
THRESHOLDS = np.linspace(0, 0.6, 121)
OFFSETS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
DRAWN_ROWS = (12, 16)  # The image rows whose pixels' weights are drawn; all 784 would be too fine to see.


def run(study: lab.Study[TopologyConfig]) -> None:
    """Trains the networks and measures them."""
    config = study.config
    if study.options.dump_json:
        graph_layout.check()
    data = study.load()
    if data.train.images.shape[-1] != 1:
        raise lab.UsageError(f"dataset (={config.dataset}) must have images of one channel.")
    shuffled = [Shuffled(data, trial.random_seed) for trial in config.trials()]
    trained = study.trials([training(*each) for each in zip(shuffled, config.trials(), strict=True)])
    trials = [Trial(images, each.network, config) for images, each in zip(shuffled, trained, strict=True)]
    study.finish(measure(trials, config), lambda found: draw(found, trials[0]))


class Shuffled:
    """A data set with its pixels in a random order.

    Attributes:
      shape: The images' height and width.
      pixels: The shuffled pixels of the training images, `[images, pixels]`.
      back: The permutation that restores the order of the grid, as an index.
      standardise: The standardisation of shuffled pixels.
      splits: The shuffled splits, on the device.
    """

    def __init__(self, data: lab.Dataset, seed: int):
        self.shape: tuple[int, int] = data.train.images.shape[1:3]
        order = lab.seeds.generator(seed, "pixels").permutation(math.prod(self.shape))
        self.back = inverse(order)
        shuffled = lab.transformed.each_split(data, lambda _, images: _flat(images)[:, order].reshape(images.shape))
        self.splits = shuffled.residents
        self.pixels = _flat(shuffled.train.images)
        self.standardise = _Pixels(self.pixels)


class Trial:
    """The weights and the graph of one trial.

    Attributes:
      shuffled: The trained weights as they are.
      weights: The weights in the order of the grid, `trained` and `closed_form`.
      recovery: For each of the two, precision and recall of the graph of its partial correlations.
      has_ink: Whether each pixel is inked in any training image.
      graph: The edges of the trained graph at the configured threshold.
      edges: The edges of the true pixel grid.
    """

    def __init__(self, images: Shuffled, layer: Any, config: TopologyConfig):
        height, width = self.shape = images.shape
        self.shuffled = layer.w.numpy().astype(np.float64)
        exact = topology.denoiser(images.standardise(images.pixels), config.strength)
        back = np.ix_(images.back, images.back)
        self.weights = {"trained": self.shuffled[back], "closed_form": exact[back]}
        self.has_ink = images.pixels.max(axis=0)[images.back] > 0
        self.edges = topology.grid_edges(height, width, self.has_ink)
        links = {name: topology.partial_correlations(weights) for name, weights in self.weights.items()}
        for each in links.values():
            each[~self.has_ink] = each[:, ~self.has_ink] = 0
        levels = np.append(THRESHOLDS, config.threshold)
        self.recovery = {name: topology.recovery(each, self.edges, levels) for name, each in links.items()}
        self.graph = topology.recovered_edges(links["trained"], config.threshold)

    @property
    def distance(self) -> float:
        """The distance of the trained weights from the closed form, over the latter's size."""
        exact = self.weights["closed_form"]
        return float(np.linalg.norm(self.weights["trained"] - exact) / np.linalg.norm(exact))

    def mean_weight(self, name: str, offset: tuple[int, int]) -> float:
        """Averages the weights between inked pixels at an offset (rows, columns)."""
        height, width = self.shape
        down, right = offset
        points = np.arange(height * width).reshape(height, width)
        one, other = points[: height - down, : width - right].ravel(), points[down:, right:].ravel()
        inked = self.has_ink[one] & self.has_ink[other]
        return float(self.weights[name][one[inked], other[inked]].mean())


def _flat(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return images.reshape(len(images), -1)


class _Pixels:
    """A standardisation of each pixel by its own mean and deviation."""

    def __init__(self, pixels: npt.NDArray[np.uint8]):
        means, variances = (f(pixels, axis=0, dtype=np.float64) for f in (np.mean, np.var))
        deviations = np.sqrt(variances / 255**2 + LEAST_DEVIATION**2)
        self.scale = (1 / (255 * deviations)).astype(np.float32)
        self.offset = (means / (255 * deviations)).astype(np.float32)

    def __call__(self, pixels: Any) -> Any:
        """Maps `[images, pixels]`, bytes in NumPy or float32 in TensorFlow, to float32."""
        return pixels * self.scale - self.offset


def training(images: Shuffled, config: TopologyConfig) -> lab.Training:
    """Describes the training of the layer from zero, where early stopping leaves directions of little variance."""
    return lab.Training(
        config.regulariser,
        lambda: snt.Linear(math.prod(images.shape), with_bias=False, w_init=snt.initializers.Zeros(), name="linear"),
        lambda layer: reproduction(layer, images.standardise, config.regulariser, config.strength),
        images.splits,
        config,
    )


def reproduction(layer: Any, standardise: _Pixels, regulariser: str, strength: float) -> lab.Objective:
    """Makes the objective of a linear autoencoder: `loss`, and the mean squared `error` of a pixel."""

    def objective(images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor) -> lab.Metrics:
        inputs = pixels = standardise(tf.reshape(tf.cast(images, tf.float32), [images.shape[0], -1]))
        if is_training and regulariser == "noise":
            inputs += strength**0.5 * tf.random.stateless_normal(pixels.shape, seed, alg="philox")
        loss = error = tf.reduce_mean(tf.square(layer(inputs) - pixels), axis=1)
        if regulariser == "ridge":
            loss += strength * tf.reduce_sum(tf.square(layer.w)) / pixels.shape[1]
        return {"loss": loss, "error": error}

    return objective


def measure(trials: list[Trial], config: TopologyConfig) -> dict[str, Any]:
    """Compares the graphs with the grid."""

    def metrics(trial: Trial, name: str) -> dict[str, Any]:
        recovery = trial.recovery[name]
        place = np.searchsorted(recovery.thresholds, config.threshold)
        return {
            "precision": float(recovery.precision[place]),
            "recall": float(recovery.recall[place]),
            "best_f1": float(recovery.balanced.max()),
            "mean_weights": {f"{down},{right}": trial.mean_weight(name, (down, right)) for down, right in OFFSETS},
        }

    first = trials[0]
    results = {
        "regulariser": config.regulariser,
        "strength": config.strength,
        "pixels": int(first.has_ink.sum()),
        "edges": len(first.edges),
        "threshold": config.threshold,
        "thresholds": first.recovery["trained"].thresholds,
        "distance": lab.spread([trial.distance for trial in trials]),
    }
    for name, recovery in first.recovery.items():
        curves = {"precision_curve": recovery.precision, "recall_curve": recovery.recall}
        results[name] = lab.spreads([metrics(trial, name) for trial in trials]) | curves
    return results


def draw(found: Mapping[str, Any], trial: Trial) -> lab.plots.Figure:
    """Draws the weights (shuffled, in order, closed form), precision and recall by threshold, and the graph."""
    figure, (shuffled, ordered, exact, curves, graph) = lab.plots.grid(3, 2, heights=(2.8, 3.4))
    first, last = (row * trial.shape[1] for row in DRAWN_ROWS)
    middle = slice(first, last)
    _draw_weights(shuffled, trial.shuffled[middle, middle], "weights, pixels shuffled")
    _draw_weights(ordered, trial.weights["trained"][middle, middle], "trained, pixels in order")
    image = _draw_weights(exact, trial.weights["closed_form"][middle, middle], "closed form, in order")
    figure.colorbar(image, ax=[shuffled, ordered, exact], shrink=0.8, label="weight")
    for name, style, label in (("trained", "-", "trained"), ("closed_form", "--", "closed form")):
        for key, colour in (("precision", lab.plots.COLOURS[0]), ("recall", lab.plots.COLOURS[1])):
            curve = [100 * share for share in found[name][f"{key}_curve"]]
            curves.plot(found["thresholds"], curve, style, color=colour, label=f"{key}, {label}")
    curves.axvline(found["threshold"], color="0.8", zorder=0)
    curves.set(title="neighbouring pixels found", xlabel="least partial correlation of an edge")
    curves.set_ylabel("precision and recall (%)")
    curves.legend(fontsize="small", loc="upper right", bbox_to_anchor=(1, 0.95), handlelength=1.4, labelspacing=0.3)
    _draw_graph(graph, trial)
    return figure


def _draw_weights(axes: lab.plots.Axes, weights: Floats, title: str) -> Any:
    image = axes.imshow(weights, cmap="RdBu", vmin=-0.25, vmax=0.25, interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[], xlabel="output pixel", ylabel="input pixel")
    return image


def _draw_graph(axes: lab.plots.Axes, trial: Trial) -> None:
    """Draws the largest connected component of the graph, pixels coloured by their true position."""
    if not len(trial.graph):
        axes.set(title="no edge above the threshold", xticks=[], yticks=[])
        return
    vertices, places = graph_layout.unfolded(trial.graph)
    place = dict(zip(vertices.tolist(), places, strict=True))
    lines = [(place[one], place[other]) for one, other in trial.graph.tolist() if one in place and other in place]
    axes.add_collection(LineCollection(lines, colors="0.6", linewidths=0.6))
    height, width = trial.shape
    rows, columns = vertices // width / (height - 1), vertices % width / (width - 1)
    colours = np.stack([rows, np.full(len(rows), 0.35), columns], axis=1)
    axes.scatter(places[:, 0], places[:, 1], s=4, c=colours, zorder=2)
    pixels = lab.counted(int(trial.has_ink.sum()), "pixel")
    title = f"the graph found: its largest connected\npart, {len(vertices):,} of {pixels} with ink"
    axes.set(title=title, xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    # Early stopping has no closed form of its own.
    suffix = f", ridge of {found['strength']:g}" if found["regulariser"] == "early_stopping" else ""
    rows = [
        [label, _precision(found[name]), *(lab.percent(found[name][key]) for key in ("recall", "best_f1"))]
        for name, label in (("trained", "trained"), ("closed_form", f"closed_form{suffix}"))
    ]
    edges = lab.counted(found["edges"], "pair")
    pixels = f"Ink is ever on {lab.counted(found['pixels'], 'pixel')}, with {edges} of neighbours."
    yield f"regulariser: {found['regulariser']}\n{pixels}"
    header = ["graph", "precision", "recall", "F1 at its best threshold"]
    yield lab.table(header, rows)


def _precision(found: Mapping[str, Any]) -> str:
    """Formats the precision over the trials whose graph has an edge; it is 1 by convention for the others."""
    shares = zip(found["precision"]["values"], found["recall"]["values"], strict=True)
    values = [precision for precision, recall in shares if recall or precision < 1]
    return lab.percent(lab.spread(values)) if values else "no edge found"
