"""Does symmetry save data?

usage: python -m weirdonetworks.experiments.data_savings [--flag=value ...]

Trains networks of as many parameters, plain and symmetric, on more and more digits turned by quarters, and says how
many images each of them needs to reach an accuracy:

    python -m weirdonetworks.experiments.data_savings --num_trials=3

Each seed draws its own images, the smaller sets out of the larger. All trainings have the same number of steps, those
that the largest set takes in --epochs passes: a smaller one is repeated until it is as long, so that a few images are
each seen as much more often.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weirdonetworks.experiments import comparison, digits
from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions, setting
from weirdonetworks.lab.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from weirdonetworks.lab.data.datasets import Dataset, Split


@dataclasses.dataclass(frozen=True)
class DataSavingsConfig(digits.MonomialsConfig):
    """What the experiment is told."""

    epochs: int = setting(6, "Passes over as many images as the largest set has.", minimum=1)
    sizes: tuple[int, ...] = setting(
        (100, 300, 1000, 3000, 10_000, 50_000), "Numbers of training images, rising.", minimum=1
    )
    targets: tuple[float, ...] = setting((0.8, 0.9, 0.95), "Accuracies to reach.", minimum=0.0, maximum=1.0)
    parameters: int = setting(200_000, "The most parameters a network may have.", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sizes or any(late <= early for early, late in itertools.pairwise(self.sizes)):
            raise UsageError(f"sizes (={self.sizes}) must rise, and be at least one.")


def main(config: DataSavingsConfig, options: RunOptions) -> None:
    """Runs the experiment, and prints what it found."""
    startup.import_tensorflow()
    from weirdonetworks.lab.records import tables
    from weirdonetworks.lab.training import study

    with study.opened("data_savings", config, options) as opened:
        if not opened.is_finished:
            opened.finish(find(opened, config, options), draw)
        found = opened.results
        rows = [
            [name, f"{each['parameters']:,}", *map(study.percent, each["test_accuracy"])]
            for name, each in found["networks"].items()
        ]
        header = ["test accuracy", "parameters", *(f"{size:,} images" for size in found["sizes"])]
        print(f"\n{tables.table(header, rows)}")
        rows = [
            [name, *("not reached" if number is None else f"{number:,.0f}" for number in each["images_needed"])]
            for name, each in found["networks"].items()
        ]
        print(f"\n{tables.table(['images needed for', *map('{:.1%}'.format, found['targets'])], rows)}")


def find(opened: Any, config: DataSavingsConfig, options: RunOptions) -> dict[str, Any]:
    """Trains the networks on each number of images."""
    from weirdonetworks.lab.data import transformed
    from weirdonetworks.lab.training import loop, study

    data = transformed.turned(digits.load(config, options), 90, config.data_seed)
    if config.sizes[-1] > len(data.train):
        raise UsageError(f"sizes: {config.sizes[-1]} must be at most {len(data.train)}, the training images.")
    side = data.train.images.shape[1]
    splits = loop.residents(data)
    networks = {}
    for contestant in contestants(data, config):
        width = digits.fitting_width(contestant.of_width, side, config.parameters)
        trained = [
            [_train(opened, contestant, width, data, splits, size, trial) for trial in config.trials()]
            for size in config.sizes
        ]
        accuracies = [study.spread([each.final["test_accuracy"] for each in of_size]) for of_size in trained]
        means = [each["mean"] for each in accuracies]
        networks[contestant.name] = {
            "width": width,
            "parameters": trained[0][0].parameters,
            "test_accuracy": accuracies,
            "images_needed": [images_needed(config.sizes, means, target) for target in config.targets],
        }
    return {"sizes": config.sizes, "targets": config.targets, "networks": networks}


def contestants(data: "Dataset", config: DataSavingsConfig) -> Sequence[comparison.Contestant]:
    """Lists the networks to compare on a data set."""
    from weirdonetworks.algebra import image_rotations
    from weirdonetworks.lab.data.augmentation import RandomTransform

    side = data.train.images.shape[1]
    augment = RandomTransform(image_rotations(side, side))
    return [
        comparison.of_kind("plain", data),
        comparison.of_kind("plain", data, name="plain + augmentation", augment=augment),
        comparison.of_kind("synchronous", data),
        comparison.of_kind("invariant", data, config.degree),
    ]


def _train(
    opened: Any,
    contestant: comparison.Contestant,
    width: int,
    data: "Dataset",
    splits: Mapping[str, Any],
    size: int,
    config: DataSavingsConfig,
) -> Any:
    """Trains a network on some of the images."""
    from weirdonetworks.lab.training.trainer import Resident

    return opened.train(
        f"{contestant.name}_{size}".replace(" ", "_"),
        contestant.of_width(width),
        digits.classifier(data, contestant.augment),
        {**splits, "train": Resident(some(data.train, size, config.sizes[-1], config.random_seed))},
        config,
    )


def some(split: "Split", size: int, length: int, seed: int) -> "Split":
    """Draws examples, fewer ones out of more, and repeats them to a length."""
    import numpy as np

    from weirdonetworks.lab import seeds

    drawn = seeds.generator(seed, "subset").permutation(len(split))[:size]
    return split[np.resize(drawn, length)]


def images_needed(sizes: Sequence[int], accuracies: Sequence[float], target: float) -> float | None:
    """Finds the number of images from which on an accuracy is reached, between two sizes by their logarithms.

    >>> images_needed([100, 10_000], [0.8, 0.9], target=0.85)
    1000.0
    >>> images_needed([100, 10_000], [0.8, 0.9], target=0.95) is None
    True

    Returns:
      The number, the first size where that is enough; None if the last is not.
    """
    import numpy as np

    if accuracies[-1] < target:
        return None
    last = max((index for index, accuracy in enumerate(accuracies) if accuracy < target), default=None)
    if last is None:
        return float(sizes[0])
    around = slice(last, last + 2)
    return float(np.exp(np.interp(target, accuracies[around], np.log(sizes[around]))).round(6))


def draw(found: Any) -> "Figure":
    """Draws the accuracy against the number of images."""
    from weirdonetworks.lab import plots

    figure, (axes,) = plots.row(1, widths=(1.7,), height=3.6)
    for name, each in found["networks"].items():
        axes.errorbar(
            found["sizes"],
            [100 * accuracy["mean"] for accuracy in each["test_accuracy"]],
            yerr=[100 * accuracy["deviation"] for accuracy in each["test_accuracy"]],
            marker="o",
            capsize=3,
            label=name,
        )
    axes.set(title="digits turned by quarters", xlabel="training images", ylabel="test accuracy, %", xscale="log")
    axes.legend(loc="lower right", frameon=False)
    return figure


if __name__ == "__main__":
    flags.run(main, DataSavingsConfig, RunOptions)
