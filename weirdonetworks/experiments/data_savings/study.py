"""Steps of the experiment `data_savings`: train, measure, draw, table."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from weirdonetworks import lab
from weirdonetworks.experiments.data_savings import DataSavingsConfig
from weirdonetworks.experiments.shared import comparison, digits


def run(study: lab.Study[DataSavingsConfig]) -> None:
    """Trains the networks and measures them."""
    config = study.config
    data = lab.transformed.turned(digits.load(study), 90, config.data_seed)
    if config.sizes[-1] > len(data.train):
        raise lab.UsageError(f"sizes: {config.sizes[-1]} must be at most {len(data.train)}, the training images.")
    networks = {}
    for contestant in contestants(data, config):
        width = digits.fitting_width(contestant.of_width, data, config.parameters)
        trained = [train(study, contestant, width, data, size) for size in config.sizes]
        accuracies = [lab.final(of_size, "test_accuracy") for of_size in trained]
        means = [each["mean"] for each in accuracies]
        networks[contestant.name] = {
            "width": width,
            "parameters": trained[0][0].parameters,
            "test_accuracy": accuracies,
            "images_needed": [images_needed(config.sizes, means, target) for target in config.targets],
        }
    study.finish({"sizes": config.sizes, "targets": config.targets, "networks": networks}, draw)


def contestants(data: lab.Dataset, config: DataSavingsConfig) -> Sequence[comparison.Contestant]:
    """Lists the networks to compare on a data set."""
    return [
        comparison.of_kind("plain", data),
        comparison.of_kind("plain", data, name="plain + augmentation", augment=digits.quarter_turns(data)),
        comparison.of_kind("synchronous", data),
        comparison.of_kind("invariant", data, config.degree),
    ]


def train(
    study: lab.Study[DataSavingsConfig], contestant: comparison.Contestant, width: int, data: lab.Dataset, size: int
) -> list[lab.Trained]:
    """Trains a network on `size` images, each trial on its own."""
    name, most = f"{contestant.name}_{size}", study.config.sizes[-1]
    make = functools.partial(contestant.of_width, width)
    objective = lab.classifier(data, augment=contestant.augment)
    trainings = []
    for trial in study.config.trials():
        train = lab.datasets.Resident(some(data.train, size, most, trial.random_seed))
        splits = data.residents | {"train": train}
        trainings.append(lab.Training(name, make, objective, splits, trial, {"size": size, "most": most}))
    return study.trials(trainings)


def some(split: lab.Split, size: int, length: int, seed: int) -> lab.Split:
    """Draws a subset of the examples, nested for one seed, and repeats it to a length."""
    drawn = lab.seeds.generator(seed, "subset").permutation(len(split))[:size]
    return split[np.resize(drawn, length)]


def images_needed(sizes: Sequence[int], accuracies: Sequence[float], target: float) -> float | None:
    """Interpolates the number of images from which on an accuracy is reached, linearly in its logarithm.

    >>> images_needed([100, 10_000], [0.8, 0.9], target=0.85)
    1000.0
    >>> images_needed([100, 10_000], [0.8, 0.9], target=0.95) is None
    True

    Returns:
      The number; the first size if that is enough, None if the last is not.
    """
    if accuracies[-1] < target:
        return None
    last = max((index for index, accuracy in enumerate(accuracies) if accuracy < target), default=None)
    if last is None:
        return float(sizes[0])
    around = slice(last, last + 2)
    return float(np.exp(np.interp(target, accuracies[around], np.log(sizes[around]))).round(6))


def described(name: str) -> str:
    """Says which invariant network this is, in tables and plots; the others' names say it.

    >>> described("invariant"), described("plain")
    ('invariant polynomial', 'plain')
    """
    return "invariant polynomial" if name == "invariant" else name


def draw(found: Any) -> lab.plots.Figure:
    """Draws the accuracy against the number of images."""
    figure, (axes,) = lab.plots.grid(1, heights=3.8)
    for name, each in found["networks"].items():
        style: Any = {"marker": "o", "capsize": 3, "label": described(name)}
        lab.plots.error_bars(axes, found["sizes"], each["test_accuracy"], **style)
    axes.set(title="digits turned by quarters", xlabel="training images", ylabel="test accuracy (%)", xscale="log")
    axes.legend(loc="lower right", frameon=False)
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    reached, needed = [], []
    for name, each in found["networks"].items():
        reached.append([described(name), f"{each['parameters']:,}", *map(lab.percent, each["test_accuracy"])])
        numbers = ["not reached" if number is None else f"{number:,.0f}" for number in each["images_needed"]]
        needed.append([described(name), *numbers])
    header = ["test accuracy", "parameters", *(lab.counted(size, "image") for size in found["sizes"])]
    yield lab.table(header, reached)
    yield lab.table(["images needed for", *map("{:.1%}".format, found["targets"])], needed)
