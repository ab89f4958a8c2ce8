"""Steps of the experiment `synchronous_mnist`: train, measure, draw, table."""

from collections.abc import Callable, Sequence

from weirdonetworks import OrbitAverage, SynchronousMLP, lab
from weirdonetworks.algebra import image_rotations
from weirdonetworks.algebra.actions import ActionLike
from weirdonetworks.experiments.shared import comparison, digits
from weirdonetworks.experiments.synchronous_mnist import SynchronousConfig

table = comparison.table


def run(study: lab.Study[SynchronousConfig]) -> None:
    """Trains the networks and measures them."""
    comparison.run(study, contestants)


def contestants(data: lab.Dataset, config: SynchronousConfig) -> Sequence[comparison.Contestant]:
    """Lists the networks to compare on a data set."""
    side, classes = data.side, len(data.classes)
    quarters = image_rotations(side, side)
    some = digits.rotations(data, (turn * 360 / config.turns for turn in range(config.turns)))

    def synchronous(turns: ActionLike) -> Callable[[int], SynchronousMLP]:
        return lambda width: SynchronousMLP(turns, [width], [64, classes])

    def averaged(width: int) -> OrbitAverage:
        return OrbitAverage(digits.network("plain", side, 1, [width, 64, classes]), quarters)

    return [
        comparison.Contestant("synchronous, 4 turns", synchronous(quarters)),
        comparison.Contestant(f"synchronous, {config.turns} turns", synchronous(some)),
        comparison.Contestant("averaged, 4 turns", averaged),
        *comparison.plain(data),
    ]
