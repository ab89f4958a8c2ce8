"""Steps of the experiment `synchronous_mnist`: train, measure, draw, table."""

from collections.abc import Callable, Sequence
from typing import Any

from weirdonetworks.algebra import image_rotations
from weirdonetworks.algebra.actions.transforms import rotation
from weirdonetworks.experiments.shared import comparison, digits
from weirdonetworks.experiments.synchronous_mnist import SynchronousConfig
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.training.study import Study
from weirdonetworks.nets.averaged import OrbitAverage
from weirdonetworks.nets.synchronous import SynchronousMLP

table = comparison.table


def run(study: Study[SynchronousConfig]) -> None:
    """Trains the networks and measures them."""
    comparison.run(study, contestants)


def contestants(data: Dataset, config: SynchronousConfig) -> Sequence[comparison.Contestant]:
    """Lists the networks to compare on a data set."""
    side, classes = data.side, len(data.classes)
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
