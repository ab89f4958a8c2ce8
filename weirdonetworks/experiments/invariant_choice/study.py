"""Steps of the experiment `invariant_choice`: train, measure, draw, table."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from weirdonetworks import lab
from weirdonetworks.algebra import PermutationGroup, image_dihedral, image_rotations, monomials
from weirdonetworks.algebra.groups.orbits import Orbits
from weirdonetworks.experiments.invariant_choice import InvariantChoiceConfig
from weirdonetworks.experiments.shared import digits
from weirdonetworks.measure import invariant_weights

TRAINED_ON = {
    "upright": "trained on upright digits",
    "turned": "each digit turned once for all",
    "augmented": "turned anew in each epoch",
}
GROUPS = ("quarter turns", "left and right")
INKED = 5  # Least standard deviation, of 255, of an inked pixel and of its images under the symmetries of the square.


def run(study: lab.Study[InvariantChoiceConfig]) -> None:
    """Trains the networks and measures them."""
    config, upright = study.config, digits.load(study)
    sorts = {"upright": upright, "turned": lab.transformed.turned(upright, 90, config.data_seed)}
    sizes = [config.width, 64, len(upright.classes)]
    make = functools.partial(digits.network, "polynomial", upright.side, config.degree, sizes)
    shares, chance = measure(upright, config.degree)

    def hooks(network: Any) -> list[lab.Hook]:
        return [lab.Following(lambda: shares(network))]

    def measured(trained: lab.Trained) -> dict[str, Any]:
        end = shares(trained.network)
        by_epoch = {part: [at[part] for at in (*trained.records, end)] for part in chance}
        tests = {name: data.residents["test"] for name, data in sorts.items()}
        return {
            "accuracy": {name: trained.trainer.evaluate(test)["accuracy"] for name, test in tests.items()},
            "shares": {part: {"trained": end[part], "by_epoch": by_epoch[part]} for part in chance},
        }

    networks = {}
    for name in TRAINED_ON:
        data, augment = sorts.get(name, upright), digits.quarter_turns(upright) if name == "augmented" else None
        trained = study.repeat(name, make, data, lab.classifier(data, augment=augment), hooks=hooks)
        networks[name] = {"parameters": trained[0].parameters, **lab.spreads(list(map(measured, trained)))}
    study.finish({"chance": chance, "networks": networks}, draw)


def measure(data: lab.Dataset, degree: int) -> tuple[Callable[[Any], dict[str, float]], Mapping[str, float]]:
    """Prepares the measurement of invariant shares of a network's first layer.

    Returns:
      The function that gives a network's shares, by degree, group and pixels; and the shares of random weights.
    """
    side = data.side
    points = np.arange(side * side).reshape(side, side)
    mirror = PermutationGroup([points[:, ::-1].ravel()])
    groups = dict(zip(GROUPS, (image_rotations(side, side), mirror), strict=True))
    changes = data.train.images.std(axis=0).ravel()
    inked = np.min([changes[element] for element in image_dihedral(side, side).elements()], axis=0) >= INKED
    parts: dict[str, tuple[slice, Any, Orbits]] = {}
    start = 1  # The bias comes first.
    for lower in range(1, degree + 1):
        number = monomials.count(side * side, lower)
        rows = monomials.at(np.arange(number), side * side, lower)
        for group, elements in groups.items():
            orbits = elements.orbits_on_monomials(lower)
            for pixels, present in (("all", np.full(number, True)), ("inked", inked[rows].all(axis=1))):
                if present.any():
                    _, labels = np.unique(orbits.labels[present], return_inverse=True)
                    name = f"degree {lower}, {group}, {pixels} pixels"
                    parts[name] = slice(start, start + number), present, Orbits(labels)
        start += number

    def shares(network: Any) -> dict[str, float]:
        weights = network.polynomial.coefficients()
        return {
            name: invariant_weights.invariant_share(weights[place][present], orbits)
            for name, (place, present, orbits) in parts.items()
        }

    return shares, {name: invariant_weights.chance(orbits) for name, (_, _, orbits) in parts.items()}


def draw(found: Any) -> lab.plots.Figure:
    """Draws the shares above chance by epoch, a panel for each degree and set of pixels."""
    panels: dict[str, dict[str, str]] = {}
    for part in found["chance"]:
        degree, group, pixels = part.split(", ")
        panels.setdefault(f"{degree}, {pixels}", {})[group] = part
    figure, all_axes = lab.plots.pairs(len(panels), height=3.2)
    for axes, (title, parts) in zip(all_axes, panels.items(), strict=True):
        for (name, each), colour in zip(found["networks"].items(), lab.plots.COLOURS, strict=False):
            for group, part in parts.items():
                chance = found["chance"][part]
                above = [100 * (share - chance) / (1 - chance) for share in each["shares"][part]["by_epoch"]]
                style: Any = {"label": TRAINED_ON[name], "marker": "."} if group == GROUPS[0] else {"linestyle": ":"}
                axes.plot(range(len(above)), above, color=colour, **style)
        axes.axhline(0, color="0.5", linewidth=0.8, zorder=0)
        axes.set(title=f"weights of {title}", xlabel="epoch", ylim=(-5, 100))
        axes.set_ylabel("invariant part of squared weights\n(%; 0 = chance, 100 = all)")
    handles, names = all_axes[0].get_legend_handles_labels()
    handles += [lab.plots.Line2D([], [], color="0.3"), lab.plots.Line2D([], [], color="0.3", linestyle=":")]
    names += ["invariant under quarter turns", "control: under a left-right mirror"]
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    networks = found["networks"]
    rows = [[name, *map(lab.percent, each["accuracy"].values())] for name, each in networks.items()]
    yield lab.table(["trained on digits", "accuracy, upright", "accuracy, turned"], rows)
    rows = []
    for part, chance in found["chance"].items():
        shares = [lab.percent(each["shares"][part]["trained"]) for each in networks.values()]
        rows.append([part, f"{chance:.1%}", *shares])
    yield lab.table(["invariant share of the weights", "by chance", *networks], rows)
