"""Steps of the experiment `monomial_subset`: train, measure, draw, table."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from weirdonetworks import PolynomialMLP, lab
from weirdonetworks.algebra import image_rotations, monomials
from weirdonetworks.experiments.monomial_subset import MonomialSubsetConfig
from weirdonetworks.experiments.shared import digits

CHOICES = ("random", "local", "representatives")
Monomials = list[tuple[int, ...]]


def run(study: lab.Study[MonomialSubsetConfig]) -> None:
    """Trains the networks and measures them."""
    config = study.config
    data = lab.transformed.turned(digits.load(study), config.turn, config.data_seed)
    side, degree = data.side, config.degree
    sizes = [config.width, 64, len(data.classes)]
    powers = [(pixel,) * lower for lower in range(1, degree + 1) for pixel in range(side * side)]

    def accuracy(choice: str, number: int, ranked: Mapping[int, Monomials]) -> dict[str, Any]:
        trainings = []
        for trial in config.trials():
            # The layer of all monomials is faster than that of a list.
            chosen = None if choice == "all" else [*powers, *ranked.get(trial.random_seed, [])[:number]]
            make = functools.partial(PolynomialMLP, sizes, degree, monomials=chosen)
            trainings.append(lab.Training(f"{choice}_{number}", make, lab.classifier(data), data.residents, trial))
        return {"choice": choice, "number": number, **digits.accuracies(study.trials(trainings))}

    subsets = [accuracy("none", 0, {})]
    for choice in CHOICES:
        ranked = {trial.random_seed: rank(choice, side, degree, trial.random_seed) for trial in config.trials()}
        most = len(ranked[config.random_seed])
        numbers = {min(number, most) for number in config.numbers} | ({most} if choice == "representatives" else set())
        subsets += [accuracy(choice, number, ranked) for number in sorted(numbers)]
    total = len(rank("random", side, degree, config.random_seed))
    subsets.append(accuracy("all", total, {}))
    study.finish({"subsets": subsets}, draw)


def rank(choice: str, side: int, degree: int, seed: int) -> Monomials:
    """Ranks the products of at least two different pixels, of degrees 2 to `degree`.

    Args:
      choice: `random`: all, shuffled. `local`: all, by the largest distance between two of their pixels (along rows or
        columns, whichever is larger), those at equal distance shuffled. `representatives`: of each orbit under quarter
        turns a random member, the orbits shuffled.
      side: Pixels a side.
      degree: The highest degree.
      seed: The seed.

    Returns:
      Index tuples, in the order of choice.
    """
    draw = lab.seeds.generator(seed, "monomials", choice)
    group = image_rotations(side, side)
    products: Monomials = []
    spans: list[int] = []
    for lower in range(2, degree + 1):
        ranks = draw.permutation(monomials.count(side * side, lower))
        if choice == "representatives":
            _, first = np.unique(group.orbits_on_monomials(lower).labels[ranks], return_index=True)
            ranks = ranks[first]
        rows = monomials.at(ranks, side * side, lower)
        rows = rows[rows[:, 0] != rows[:, -1]]  # Rising, so the others are powers of one pixel.
        places = np.stack(np.divmod(rows, side), axis=-1)
        products += map(tuple, rows.tolist())
        spans += np.abs(places[:, :, None] - places[:, None]).max(axis=(1, 2, 3)).tolist()
    shuffled = draw.permutation(len(products))
    if choice == "local":
        shuffled = shuffled[np.argsort(np.array(spans)[shuffled], kind="stable")]
    return [products[index] for index in shuffled]


def draw(found: Any) -> lab.plots.Figure:
    """Draws the accuracy by the number of products."""
    figure, (axes,) = lab.plots.grid(1, heights=3.6)
    subsets = found["subsets"]
    for choice in CHOICES:
        chosen = [each for each in subsets if each["choice"] == choice]
        accuracies = [each["test_accuracy"] for each in chosen]
        label = "representatives (one per orbit)" if choice == "representatives" else choice
        lab.plots.error_bars(axes, [each["number"] for each in chosen], accuracies, marker=".", capsize=3, label=label)
    for each, style in ((subsets[0], "--"), (subsets[-1], ":")):
        mean = 100 * each["test_accuracy"]["mean"]
        axes.axhline(mean, color="0.5", linestyle=style, label=f"{each['choice']} ({each['number']:,})")
    axes.set(title="accuracy by number of products", xlabel="products of two pixels used", xscale="log")
    axes.set_ylabel("test accuracy (%)")
    axes.legend(loc="lower right")
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    rows = [
        [each["choice"], f"{each['number']:,}", f"{each['parameters']:,}", lab.percent(each["test_accuracy"])]
        for each in found["subsets"]
    ]
    yield lab.table(["products of pixels", "how many", "parameters", "test accuracy"], rows)
