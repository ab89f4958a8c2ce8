"""Steps of the experiment `discover_symmetries`: measure, draw, table."""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks import lab
from weirdonetworks.algebra import image_dihedral
from weirdonetworks.algebra.arrays import Ints, written
from weirdonetworks.algebra.groups.permutations import compose, inverse
from weirdonetworks.experiments.discover_symmetries import DiscoverSymmetriesConfig
from weirdonetworks.measure import topology
from weirdonetworks.measure.discovery import Graph, discover_symmetries, kept_shares

# The elements of `image_dihedral`, in its order.
SQUARE = (
    *("identity", "quarter turn", "half turn", "three quarter turns"),
    *("left and right", "main diagonal", "top and bottom", "other diagonal"),
)
SHIFTS = ("one pixel right", "one pixel down", "half the width right")  # Cyclic.
RANDOM = 100  # Permutations drawn at random, over which the mean is taken.
GRAPHS = ("grid", "grid of inked pixels", "found in the images")
THRESHOLDS = np.linspace(0.02, 0.3, 29).round(2).tolist()
CURVES = ("quarter turn", "half turn", "left and right", "top and bottom", "one pixel right", "at random")


def run(study: lab.Study[Any]) -> None:
    """Makes the graphs and measures them, trial by trial."""
    config: DiscoverSymmetriesConfig = study.config
    if config.trials_backend == "batched" and config.num_trials > 1:
        raise lab.UsageError(
            "trials_backend (=batched) needs networks, and none is trained here: pass threads or auto."
        )
    data = study.recorded(lab.datasets.load(config.dataset, study.options.data_dir))
    images = data.train.images[: config.examples]
    if images.shape[1:] != (images.shape[1], images.shape[1], 1):
        raise lab.UsageError(f"dataset (={config.dataset}) must have square images of one channel.")
    seeds = range(config.random_seed, config.random_seed + config.num_trials)
    trials = [dataclasses.replace(config, random_seed=seed) for seed in seeds]
    workers = len(lab.machine.cores()) if config.trials_backend == "threads" else 1
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        measured = list(pool.map(functools.partial(measure, images), trials))
    results = measured[0]
    if len(measured) > 1:
        shares = [{name: graph["kept"] for name, graph in each["graphs"].items()} for each in measured]
        results["kept"] = lab.spreads(shares)
    study.finish(results, draw)


def measure(images: npt.NDArray[np.uint8], config: DiscoverSymmetriesConfig) -> dict[str, Any]:
    """Makes the graphs from images `[images, side, side, 1]`, and measures them.

    Raises:
      UsageError: If no edge is above the threshold.
      ImportError: If igraph is not installed.
    """
    side = images.shape[1]
    rng = lab.seeds.generator(config.random_seed, "pixels")
    order = rng.permutation(side * side)
    pixels = images.reshape(len(images), -1)[:, order]
    has_ink = pixels.max(axis=0) > 0
    # As `Graph.of_data` does, but once for all thresholds.
    weights = topology.denoiser(topology.standardised(pixels), config.strength)

    # The true places are used from here on alone: `place` is the place of each pixel after the shuffle.
    place = inverse(order)
    named = {name: compose(compose(place, each), order) for name, each in _permutations(side).items()}
    named["at random"] = np.stack([rng.permutation(side * side) for _ in range(RANDOM)])

    def kept(graph: Graph) -> dict[str, float]:
        return {name: float(kept_shares(graph, np.atleast_2d(each)).mean()) for name, each in named.items()}

    def measured(graph: Graph) -> dict[str, Any]:
        group = discover_symmetries(graph)
        moved = int((group.generators != np.arange(graph.vertices)).any(axis=0).sum())
        return {"edges": len(graph.edges), "symmetries": written(group.order), "moved": moved, "kept": kept(graph)}

    edges = [topology.grid_edges(side, side), topology.grid_edges(side, side, has_ink[place])]
    graphs = [*(Graph(place[each], side * side) for each in edges), Graph.of_weights(weights, config.threshold)]
    if not len(graphs[-1].edges):
        raise lab.UsageError(f"threshold (={config.threshold:g}) must be lower: no two pixels are joined.")
    by_threshold = {threshold: Graph.of_weights(weights, threshold) for threshold in THRESHOLDS}
    return {
        "pixels": int(has_ink.sum()),
        "threshold": config.threshold,
        "graphs": {name: measured(graph) for name, graph in zip(GRAPHS, graphs, strict=True)},
        "by_threshold": [
            {"threshold": threshold, "edges": len(graph.edges), "kept": kept(graph)}
            for threshold, graph in by_threshold.items()
            if len(graph.edges)
        ],
    }


def _permutations(side: int) -> dict[str, Ints]:
    """Names the permutations of the unshuffled pixels to measure."""
    points = np.arange(side * side).reshape(side, side)
    shifted = (np.roll(points, 1, axis=1), np.roll(points, 1, axis=0), np.roll(points, side // 2, axis=1))
    square = dict(zip(SQUARE, image_dihedral(side, side).elements(), strict=True))
    return square | {name: inverse(each.ravel()) for name, each in zip(SHIFTS, shifted, strict=True)}


def described(name: str) -> str:
    """Says in words what a permutation does.

    >>> described("left and right"), described("one pixel down"), described("half turn")
    ('mirrored: left and right', 'shifted: one pixel down', 'half turn')
    """
    doing = "mirrored: " if name in SQUARE[4:] else "shifted: " if name in SHIFTS else ""
    return doing + name


def draw(found: Any) -> lab.plots.Figure:
    """Draws the share of edges that permutations keep, of each graph and by threshold, of the first seed."""
    figure, (bars, curves) = lab.plots.grid(2, heights=4.0)
    names = list(found["graphs"][GRAPHS[0]]["kept"])
    thickness = 0.8 / len(GRAPHS)
    for index, (graph, each) in enumerate(found["graphs"].items()):
        places = np.arange(len(names)) + (index + 0.5) * thickness - 0.4
        bars.barh(places, [100 * each["kept"][name] for name in names], thickness, label=graph)
    lab.plots.name_rows(bars, map(described, names))
    bars.set(title="edges kept by each permutation", xlabel="edges kept (%)", xlim=(0, 100))
    lab.plots.legend(bars, loc="outside lower left", ncols=len(GRAPHS))
    thresholds = [each["threshold"] for each in found["by_threshold"]]
    for name in CURVES:
        curves.plot(thresholds, [100 * each["kept"][name] for each in found["by_threshold"]], label=described(name))
    curves.axvline(found["threshold"], color="0.8", zorder=0, label=f"threshold chosen, {found['threshold']:g}")
    curves.set(title="graph found, by threshold", xlabel="least partial correlation of an edge")
    curves.set(ylabel="edges kept (%)", ylim=(0, 102))
    curves.legend()
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    graphs = found["graphs"]
    rows = [[name, f"{each['edges']:,}", each["symmetries"], f"{each['moved']:,}"] for name, each in graphs.items()]
    yield lab.table(["graph", "edges", "symmetries", "pixels they move"], rows)
    kept = found.get("kept") or lab.spreads([{graph: each["kept"] for graph, each in graphs.items()}])
    rows = [
        [described(name), *(lab.formatted(kept[graph][name], ".1%") for graph in graphs)] for name in kept[GRAPHS[0]]
    ]
    yield lab.table(["share of edges kept by", *graphs], rows)
