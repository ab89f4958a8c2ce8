"""Steps of the driver `effective_symmetry`: train, prune, train again, exchange units, draw, table."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.stats

from weight_symmetry import symmetry
from weight_symmetry.effective_symmetry import EffectiveSymmetryConfig
from weight_symmetry.masks import Mask, Masks
from weight_symmetry.run.trained import NetworkTrial, Start, TrainedNetworks, Values, pruned
from weirdonetworks.lab import plots
from weirdonetworks.lab.data import transformed
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.records import tables
from weirdonetworks.lab.training.study import Study, formatted, percent, spread, spreads
from weirdonetworks.measure.unit_graph import UnitGraph

WEIGHTS = ("trained", "untrained")


def run(study: Study[EffectiveSymmetryConfig]) -> None:
    """Trains and prunes the networks of each width and data, and measures what exchanges of units cost."""
    config, data, found = study.config, study.load(), []
    projected = {number: transformed.projected(data, number) if number else data for number in config.components}
    for components, own in projected.items():
        for factor in config.width_factors:
            one = dataclasses.replace(config.widened(factor), components=(components,))
            networks = TrainedNetworks(one, study.options, study.directory, own, together=1)
            found.append({"width_factor": factor, "components": components, **examined(one, networks, own)})
    study.finish({"tolerances": config.tolerances, "networks": found}, draw)


def examined(config: EffectiveSymmetryConfig, networks: TrainedNetworks, data: Dataset) -> dict[str, Any]:
    """Trains and prunes networks of one width on one data set, and measures what exchanges of units cost."""
    numbers, found = range(config.num_trials), {}
    dense = networks.train(numbers, early=[0])
    for sparsity in config.sparsities:
        masks = [pruned(networks.holding(trial.values)[0], config, sparsity) for trial in dense]
        starts = [
            Start("pruned", {"sparsity": sparsity}, trial.values, own) for trial, own in zip(dense, masks, strict=True)
        ]
        sparse = networks.train(numbers, starts=starts)
        measured = {
            name: [measure(config, networks, data, own, mask) for own, mask in zip(values, masks, strict=True)]
            for name, values in (
                ("trained", [each.values for each in sparse]),
                ("untrained", [each.early[0] for each in dense]),
            )
        }
        found[f"{sparsity:g}"] = {
            "accuracy": spread([_accuracy(each) for each in sparse]),
            **{name: spreads(each) for name, each in measured.items()},
        }
    sizes = _sizes(networks, dense[0].values, data)
    return {
        "hidden": sizes,
        "all": sum(math.lgamma(size + 1) for size in sizes) / math.log(10),
        "dense": spread([_accuracy(each) for each in dense]),
        "sparse": found,
    }


def measure(
    config: EffectiveSymmetryConfig, networks: TrainedNetworks, data: Dataset, values: Values, arrays: Sequence[Mask]
) -> dict[str, Any]:
    """Counts permutations, as decimal logarithms; and tells the median cost, and how well distances order the costs."""
    (network,) = networks.holding(values)
    masks = Masks(network)
    masks.set(arrays)
    images = data.standardisation(data.test.images[: config.test_images])
    found = symmetry.effective(network, masks, images, is_training=False)
    costs = np.concatenate([each[np.triu_indices(len(each), 1)] for each in found.costs.values()])
    return {
        "exact": math.log10(found.exact_order),
        "median_cost": float(np.median(costs)),
        "distance_correlation": rank_correlation(found),
        **{f"{tolerance:g}": math.log10(found.permutations(tolerance)) for tolerance in config.tolerances},
    }


def rank_correlation(found: symmetry.EffectiveSymmetry) -> float:
    """Computes Spearman's rank correlation of distances and costs within a space, the mean over the spaces.

    It is 0 where all distances or all costs of a space are equal.
    """
    correlations = []
    for name, distances in found.distances.items():
        pairs = np.triu_indices(len(distances), 1)
        ranks = [scipy.stats.rankdata(each[pairs]) for each in (distances, found.costs[name])]
        ranks = [each - each.mean() for each in ranks]
        norms = float(np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1]))
        correlations.append(float(ranks[0] @ ranks[1]) / norms if norms else 0.0)
    return float(np.mean(correlations)) if correlations else 0.0


def _sizes(networks: TrainedNetworks, values: Values, data: Dataset) -> list[int]:
    (network,) = networks.holding(values)
    images = data.standardisation(data.test.images[:1])
    return [space.size for space in UnitGraph.trace(network, images, is_training=False).free]


def _accuracy(trial: NetworkTrial) -> float:
    return float(trial.records[-1]["test_accuracy"])


def draw(found: Any) -> plots.Figure:
    """Draws the number of permutations against the sparsity: at each tolerance, or at one of each network."""
    figure, panels = plots.grid(2, heights=3.2)
    networks, middle = found["networks"], sorted(found["tolerances"])[len(found["tolerances"]) // 2]
    if len(networks) == 1:
        own = {f"{each:g}": f"{each:.0%}" for each in found["tolerances"]}
        lines = [(networks[0], name, words, 1.0) for name, words in ({"exact": "exact"} | own).items()]
        unit = "log10 of the permutations"
    else:
        # Wider layers have more permutations; what can be compared is how many digits are left of their number.
        lines = [(each, f"{middle:g}", label(each), 100 / each["all"] if each["all"] else 0.0) for each in networks]
        unit = "log10 of the permutations,\n% of that of all"
    for axes, weights in zip(panels, WEIGHTS, strict=True):
        for each, name, words, scale in lines:
            places = [100 * float(sparsity) for sparsity in each["sparse"]]
            values = [sparse[weights][name] for sparse in each["sparse"].values()]
            plots.error_bars(axes, places, values, scale=scale, marker=".", label=words)
        if len(networks) == 1:
            axes.axhline(networks[0]["all"], color="0.6", linestyle=":", label="all permutations")
        axes.set(title=f"{weights} weights", xlabel="sparsity (%)", ylabel=unit)
    title = "each exchange changes the outputs by at most" + (f" {middle:.0%}" if len(networks) > 1 else "")
    columns = 4 if len(networks) > 1 else 6
    plots.legend(panels[0], title=title, ncols=columns)
    return figure


def label(network: Any) -> str:
    """Names a network by its hidden widths, and its data."""
    data = f", {tables.counted(network['components'], 'component')}" if network["components"] else ""
    return "-".join(map(str, network["hidden"])) + data


def table(found: Any) -> Iterator[str]:
    """Formats the decimal logarithms of the numbers of permutations as tables, two for each network."""
    names = ["exact", *(f"{each:g}" for each in found["tolerances"])]
    for network in found["networks"]:
        yield f"{label(network)}, dense: {percent(network['dense'])}; all permutations: 10^{network['all']:.1f}"
        for weights in WEIGHTS:
            rows = [
                [
                    f"{float(sparsity):.0%}",
                    percent(each["accuracy"]) if weights == "trained" else "-",
                    *(formatted(each[weights][name], ".1f") for name in names),
                    formatted(each[weights]["median_cost"], ".3f"),
                    formatted(each[weights]["distance_correlation"], ".2f"),
                ]
                for sparsity, each in network["sparse"].items()
            ]
            header = [f"log10, {weights}", "accuracy", "exact", *(f"up to {name}" for name in names[1:]), "median cost"]
            header += ["rank correlation of distances with costs"]
            yield tables.table(header, rows)
