"""Does symmetry save data?

usage: python -m weirdonetworks.experiments.data_savings [--flag=value ...]

Trains plain and symmetric networks of equal size on more and more digits under random quarter turns, and interpolates
the number of images that each needs to reach an accuracy:

    python -m weirdonetworks.experiments.data_savings --num_trials=3

Each seed draws its own images, nested: smaller sets are subsets of larger ones. All trainings have the same number of
steps, --epochs passes over the largest set; smaller sets are repeated to its length.
"""

import itertools

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab import UsageError, setting


class DataSavingsConfig(settings.MonomialsConfig):
    """Settings of the experiment."""

    epochs: int = setting(6, "Passes over the largest training set; smaller ones get as many steps.", minimum=1)
    sizes: tuple[int, ...] = setting(
        (100, 300, 1000, 3000, 10_000, 50_000),
        "Numbers of training images, in rising order.",
        minimum=1,
        affects="measuring",
    )
    targets: tuple[float, ...] = setting(
        (0.8, 0.9, 0.95),
        "Accuracies whose number of images is interpolated.",
        minimum=0.0,
        maximum=1.0,
        affects="measuring",
    )
    parameters: int = setting(200_000, "Largest number of parameters of a network.", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sizes or any(late <= early for early, late in itertools.pairwise(self.sizes)):
            raise UsageError(f"sizes (={self.sizes}) must rise, and hold at least one.")
