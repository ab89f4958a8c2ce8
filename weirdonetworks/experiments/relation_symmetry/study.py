"""Steps of the experiment `relation_symmetry`: train, measure, draw, table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks import DeepSets, lab
from weirdonetworks.algebra import Action, MatrixGroup, coordinates, items
from weirdonetworks.experiments.relation_symmetry import RelationSymmetryConfig
from weirdonetworks.experiments.shared import digits, set_networks
from weirdonetworks.measure.jacobian import VectorField, jacobian_along
from weirdonetworks.measure.precision import in_dtype
from weirdonetworks.measure.stability import invariance_error

NETWORKS = ("plain", "deep_sets", "relation", "relation_of_differences", "relation_of_distances")
LEAST = 1e-4  # Smaller values are drawn as this: 0 has no logarithm.
Model: TypeAlias = Callable[[tf.Tensor], tf.Tensor]
Floats: TypeAlias = npt.NDArray[np.float64]


def run(study: lab.Study[RelationSymmetryConfig]) -> None:
    """Trains the networks and measures them."""
    task, label = make_task(study.config)
    measure = Measure(task, label, study.config)
    networks = {kind: train(study, kind, task, measure) for kind in NETWORKS}
    study.finish({"distances": measure.distances, "label": measure(label), "networks": networks}, draw)


def make_task(config: RelationSymmetryConfig) -> tuple[lab.Task, Model]:
    """Draws the sets; returns the task, and its label function, which computes in the type of its argument."""
    counts = {"train": config.examples, "test": config.examples // 10}
    drawn = {}
    for split, count in counts.items():
        rng = lab.seeds.generator(config.data_seed, "sets", "points of the plane", split)
        centres = config.centres * rng.standard_normal((count, 1, 2))
        drawn[split] = (centres + rng.standard_normal((count, config.points, 2))).astype(np.float32)
    lengths = largest_distance(tf.constant(drawn["train"], tf.float64)).numpy()
    mean, deviation = float(lengths.mean()), float(lengths.std())

    def label(sets: tf.Tensor) -> tf.Tensor:
        return (largest_distance(sets) - mean) / deviation

    train, test = (
        lab.Examples(sets, label(tf.constant(sets, tf.float64)).numpy().astype(np.float32)) for sets in drawn.values()
    )
    return lab.Task("largest_distance", "number", 1, train, test, tolerance=0.1), label


def largest_distance(sets: tf.Tensor) -> tf.Tensor:
    """Computes the largest distance between two points of each set `[sets, points, 2]`, as `[sets, 1]`."""
    # The root is taken last: it has no derivative at the distance of a point from itself.
    return tf.sqrt(tf.reduce_max(squared_distances(sets), axis=1))


def differences(sets: tf.Tensor) -> tf.Tensor:
    """Lists the differences x_i - x_j of each set `[sets, points, 2]`, as `[sets, points^2, 2]`."""
    return tf.reshape(sets[:, :, None] - sets[:, None], [-1, sets.shape[1] ** 2, sets.shape[2]])


def squared_distances(sets: tf.Tensor) -> tf.Tensor:
    """Lists the squared distances between points of each set `[sets, points, 2]`, as `[sets, points^2, 1]`."""
    return tf.reduce_sum(differences(sets) ** 2, axis=2, keepdims=True)


def moved(sets: npt.NDArray[np.float32], distances: Sequence[float], seed: int) -> Floats:
    """Moves each set by each distance, in a random direction of its own: `[distances, sets, points, 2]`."""
    angles = lab.seeds.generator(seed, "directions").uniform(0, 2 * np.pi, (len(sets), 1))
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=2)
    return sets + np.reshape(distances, (-1, 1, 1, 1)) * directions


def make(kind: str, width: int, task: lab.Task) -> snt.Module:
    """Makes a network of a kind, one of `NETWORKS`."""
    of_pairs = {"relation_of_differences": differences, "relation_of_distances": squared_distances}
    if kind not in of_pairs:
        return set_networks.make(kind, width, task)
    # On the set of pairs, DeepSets is a relation network that sees no more of a pair than this.
    return snt.Sequential([of_pairs[kind], DeepSets([width, width], [width, task.outputs])], name=kind)


class Measure:
    """The error and the symmetries of models that map sets `[sets, points, 2]` to `[sets, 1]` in float64."""

    def __init__(self, task: lab.Task, label: Model, config: RelationSymmetryConfig):
        """Moves the test sets of a task.

        Args:
          task: The task.
          label: Its label function.
          config: The settings.
        """
        self.distances = [0.0, *config.distances]
        self._labels = task.test.labels
        self._tests = moved(task.test.images, self.distances, config.data_seed)
        self._examined = self._tests[:, : config.examined]
        self._actions = {"permutation": items(config.points), "mirror": mirror(config.points)}
        self._zoom = self._derivatives(label)["zoom"][:, 0]

    def __call__(self, model: Model) -> dict[str, float]:
        """Measures a model.

        Returns:
          `error/<distance>`: the root mean square error on the test sets moved so far, in standard deviations of the
          label, whose mean is 0;
          `permutation`, `mirror`: the root mean square, over sets, of the largest change of the output under the group,
          in standard deviations of the output;
          `translation/<distance>`, `rotation`, `zoom`: the root mean square derivative along a motion, in proportion to
          that along random directions of the same length;
          `zoom_slope`, `zoom_error`: the mean derivative along the zoom, and its root mean square distance from that of
          the label, both in proportion to the label's.
        """
        outputs = [model(tf.constant(sets)).numpy() for sets in self._tests]
        along = self._derivatives(model)
        metrics = {}
        for place, distance in enumerate(self.distances):
            metrics[f"error/{distance:g}"] = rms(outputs[place] - self._labels)
            metrics[f"translation/{distance:g}"] = share(along["translation"][:, place], along["any"][:, place])
        for name, action in self._actions.items():
            changes = invariance_error(model, self._examined[0], action, dtype=tf.float64).absolute
            metrics[name] = share(changes, outputs[0].std())
        for name in ("rotation", "zoom"):
            metrics[name] = share(along[name][:, 0], along["any"][:, 0])
        zoom = along["zoom"][:, 0]
        metrics["zoom_slope"] = float(zoom.mean() / self._zoom.mean())
        metrics["zoom_error"] = share(zoom - self._zoom, self._zoom)
        return metrics

    def _derivatives(self, model: Model) -> dict[str, Floats]:
        """Computes the `derivatives` at the examined sets, `[fields, 1 + distances, sets]`."""
        places, count, *shape = self._examined.shape
        along = derivatives(model, self._examined.reshape(-1, *shape))
        return {name: each.reshape(-1, places, count) for name, each in along.items()}


def train(study: lab.Study[RelationSymmetryConfig], kind: str, task: lab.Task, measure: Measure) -> dict[str, Any]:
    """Trains a network, and measures it before and after."""

    def make_built() -> snt.Module:
        network = make(kind, width, task)
        network(tf.constant(task.train.images[:1]))
        return network

    def measured(network: snt.Module) -> dict[str, float]:
        return measure(in_dtype(network, tf.float64))

    width = digits.fitting_width(lambda width: make(kind, width, task), task, study.config.parameters)
    untrained = [measured(network) for network in study.untrained(make_built)]
    trained = study.repeat(kind, make_built, task, lambda network: lab.objectives.regression(network, task.tolerance))
    return {
        "width": width,
        "parameters": trained[0].parameters,
        "untrained": lab.spreads(untrained),
        "trained": lab.spreads([measured(each.network) for each in trained]),
    }


def rms(values: npt.ArrayLike) -> float:
    """Computes the root mean square.

    >>> rms([1.0, 7.0])
    5.0
    """
    return float(np.sqrt(np.mean(np.square(values))))


def share(part: npt.ArrayLike, whole: npt.ArrayLike) -> float:
    """Divides root mean squares; 0 where that of `whole` is 0, as for a constant network."""
    return rms(part) / size if (size := rms(whole)) else 0.0


def mirror(points: int) -> Action:
    """Gives the action of two elements that mirrors sets of points of the plane left to right, keeping their mean.

    >>> action = mirror(2)
    >>> action.apply(action.elements(), [[[0.0, 5.0], [4.0, 6.0]]])[1].tolist()
    [[[4.0, 5.0], [0.0, 6.0]]]
    """
    mean = np.full((points, points), 1 / points)
    left_to_right = np.diag([-1.0, 1.0])
    return coordinates(MatrixGroup([np.kron(mean, np.eye(2)) + np.kron(np.eye(points) - mean, left_to_right)]))


def derivatives(model: Model, sets: Floats) -> dict[str, Floats]:
    """Computes a model's derivatives along motions of each set, all points together moving by a length of 1.

    Args:
      model: Maps sets `[sets, points, 2]` to `[sets, 1]`.
      sets: `[sets, points, 2]`.

    Returns:
      For `translation`, `rotation` and `zoom`, the last two about the mean of the points, and for `any` direction,
      `[fields, sets]`: those are the coordinates' directions, whose mean square is that of random ones.
    """
    named = velocities(sets.shape[1])
    fields = [field for group in named.values() for field in group]
    along = jacobian_along(model, sets, fields, dtype=tf.float64)[:, :, 0]
    ends = np.cumsum([len(group) for group in named.values()])
    return dict(zip(named, np.split(along, ends[:-1]), strict=True))


def velocities(points: int) -> dict[str, list[VectorField]]:
    """Gives the fields of `derivatives`: the velocities of the points of each set, the sum of their squares 1."""

    def constant(direction: Floats) -> VectorField:
        unit = direction / np.linalg.norm(direction)
        return lambda sets: tf.broadcast_to(tf.constant(unit, sets.dtype), tf.shape(sets))

    def linear(matrix: Sequence[Sequence[float]]) -> VectorField:
        def velocity(sets: tf.Tensor) -> tf.Tensor:
            centred = sets - tf.reduce_mean(sets, axis=1, keepdims=True)
            velocities = tf.matmul(centred, tf.constant(matrix, sets.dtype))
            return velocities / tf.norm(velocities, axis=[1, 2], keepdims=True)

        return velocity

    return {
        "translation": [constant(np.tile(axis, (points, 1))) for axis in np.eye(2)],
        "rotation": [linear([[0.0, 1.0], [-1.0, 0.0]])],
        "zoom": [linear([[1.0, 0.0], [0.0, 1.0]])],
        "any": [constant(each.reshape(points, 2)) for each in np.eye(2 * points)],
    }


def _cell(spread: Mapping[str, Any]) -> str:
    deviation = f" ({_short(spread['deviation'])})" if len(spread["values"]) > 1 else ""
    return _short(spread["mean"]) + deviation


def _short(value: float) -> str:
    return f"{value:.3f}" if 1e-3 <= abs(value) < 1e3 else f"{value:.0e}" if value else "0"


def draw(found: Any) -> lab.plots.Figure:
    """Draws changes and derivatives, crosses before training; and derivative and error by distance, once trained."""
    nearest = f"{found['distances'][0]:g}"
    figure, panels = lab.plots.grid(2, 2, heights=3.1)
    _draw_metrics(panels[0], found, ["permutation", "mirror"])
    panels[0].set(title="under a finite transformation", ylabel="largest change of the output\n(standard deviations)")
    _draw_metrics(panels[1], found, [f"translation/{nearest}", "rotation", "zoom"])
    ratio = "derivative along the motion /\nalong a random direction"
    panels[1].set(title="under an infinitesimal motion", ylabel=ratio)
    _draw_by_distance(panels[2], found, "translation")
    panels[2].set(title="along translation, far from the data", ylabel=ratio)
    for axes in panels[:3]:
        axes.set(yscale="log", ylim=(LEAST / 2, 10))
        axes.set_yticks([LEAST, 1e-3, 1e-2, 0.1, 1, 10], ["≤0.0001", "0.001", "0.01", "0.1", "1", "10"], minor=False)
    _draw_by_distance(panels[3], found, "error")
    panels[3].set(title="error far from the data", ylabel="root mean square error\n(standard deviations of the label)")
    panels[3].set_yscale("log")
    handles = dict(zip(*reversed(panels[3].get_legend_handles_labels()), strict=True))
    handles["the exact label"] = panels[0].lines[-1]
    for marker, stage in (("x", "before training"), ("o", "trained")):
        handles[stage] = lab.plots.Line2D([], [], color="0.4", linestyle="", marker=marker, markersize=5)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return figure


def _draw_metrics(axes: lab.plots.Axes, found: Any, keys: Sequence[str]) -> None:
    """Draws some metrics, a group of points for each: crosses of the untrained, circles of the trained networks."""
    for index, (colour, each) in enumerate(zip(lab.plots.COLOURS, found["networks"].values(), strict=False)):
        places = np.arange(len(keys)) + 0.14 * (index - (len(found["networks"]) - 1) / 2)
        for stage, marker in (("untrained", "x"), ("trained", "o")):
            means = [max(each[stage][key]["mean"], LEAST) for key in keys]
            axes.plot(places, means, marker, color=colour, markersize=5)
    for place, key in enumerate(keys):
        axes.plot([place - 0.42, place + 0.42], 2 * [max(found["label"][key], LEAST)], color="0.6", zorder=0)
    axes.set_xlim(-0.5, len(keys) - 0.5)
    axes.set_xticks(range(len(keys)), [key.partition("/")[0] for key in keys])


def _draw_by_distance(axes: lab.plots.Axes, found: Any, metric: str) -> None:
    distances = [f"{distance:g}" for distance in found["distances"]]
    for index, (kind, each) in enumerate(found["networks"].items()):
        means = [max(each["trained"][f"{metric}/{distance}"]["mean"], LEAST) for distance in distances]
        # The dashes of every second line show the one that they cover.
        axes.plot(distances, means, ("o--", "o-")[index % 2], markersize=4, label=lab.words(kind))
    axes.set_xlabel("distance from the training data")


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    nearest, *further = (f"{distance:g}" for distance in found["distances"])
    here = [f"error/{nearest}", "permutation", "mirror", f"translation/{nearest}", "rotation"]
    here += ["zoom", "zoom_slope", "zoom_error"]
    there = [f"{metric}/{distance}" for metric in ("error", "translation") for distance in further]
    rows, moved_rows = [["the label", "", *(_short(found["label"][key]) for key in here)]], []
    for kind, each in found["networks"].items():
        for stage in ("untrained", "trained"):
            cells = [_cell(each[stage][key]) for key in here]
            rows.append([f"{lab.words(kind)}, {stage}", f"{each['parameters']:,}", *cells])
        moved_rows.append([lab.words(kind), *(_cell(each["trained"][key]) for key in there)])
    header = ["", "weights", *(lab.words(key.partition("/")[0]) for key in here)]
    yield f"on test sets\n{lab.table(header, rows)}"
    if further:
        header = ["", *(key.replace("/", ", by ") for key in there)]
        yield f"trained, and test sets moved\n{lab.table(header, moved_rows)}"
