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

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab.config import setting
from weirdonetworks.lab.errors import UsageError


@dataclasses.dataclass(frozen=True)
class DataSavingsConfig(settings.MonomialsConfig):
    """Settings of the experiment."""

    epochs: int = setting(6, "Passes over as many images as the largest set has.", minimum=1)
    sizes: tuple[int, ...] = setting(
        (100, 300, 1000, 3000, 10_000, 50_000), "Numbers of training images, rising.", minimum=1
    )
    targets: tuple[float, ...] = setting(
        (0.8, 0.9, 0.95), "Accuracies to reach.", minimum=0.0, maximum=1.0, affects="measuring"
    )
    parameters: int = setting(200_000, "The most parameters a network may have.", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sizes or any(late <= early for early, late in itertools.pairwise(self.sizes)):
            raise UsageError(f"sizes (={self.sizes}) must rise, and be at least one.")
