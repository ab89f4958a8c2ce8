"""How accurate and how stable are networks that average over turns of the image inside?

usage: python -m weirdonetworks.experiments.synchronous_mnist [--flag=value ...]

Compares synchronous networks over the four quarter turns and over turns by any angle, and the average of a whole
network over the quarter turns, with a plain one of as many parameters, without and with augmentation:

    python -m weirdonetworks.experiments.synchronous_mnist --num_trials=3
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from weirdonetworks.experiments import comparison, digits
from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions, setting

if TYPE_CHECKING:
    from weirdonetworks.lab.data.datasets import Dataset


@dataclasses.dataclass(frozen=True)
class SynchronousConfig(comparison.ComparisonConfig):
    """What the experiment is told."""

    turns: int = setting(12, "How many turns the synchronous network over any angle sees.", minimum=1, maximum=360)


def main(config: SynchronousConfig, options: RunOptions) -> None:
    """Runs the experiment, and prints what it found."""
    startup.import_tensorflow()
    comparison.run("synchronous_mnist", contestants, config, options)


def contestants(data: "Dataset", config: SynchronousConfig) -> Sequence[comparison.Contestant]:
    """Lists the networks to compare on a data set."""
    from weirdonetworks.algebra import image_rotations
    from weirdonetworks.algebra.transforms import rotation
    from weirdonetworks.nets.synchronous import OrbitAverage, SynchronousMLP

    side, classes = data.train.images.shape[1], len(data.classes)
    quarters = image_rotations(side, side)
    some = [rotation(side, side, turn * 360 / config.turns) for turn in range(config.turns)]

    def synchronous(turns: Any) -> Callable[[int], Callable[[], Any]]:
        return lambda width: lambda: SynchronousMLP(turns, [width], [64, classes])

    def averaged(width: int) -> Callable[[], Any]:
        make = digits.maker("plain", side, 1, [width, 64, classes])
        return lambda: OrbitAverage(make(), quarters)

    return [
        comparison.Contestant("synchronous, 4 turns", synchronous(quarters)),
        comparison.Contestant(f"synchronous, {config.turns} turns", synchronous(some)),
        comparison.Contestant("averaged, 4 turns", averaged),
        *comparison.plain(data),
    ]


if __name__ == "__main__":
    flags.run(main, SynchronousConfig, RunOptions)
