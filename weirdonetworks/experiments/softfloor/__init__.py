"""Trains networks with rounded hidden units: a soft floor that sharpens over the epochs, or straight-through gradients.

usage: python -m weirdonetworks.experiments.softfloor [--flag=value ...]

    python -m weirdonetworks.experiments.softfloor --num_trials=3
    python -m weirdonetworks.experiments.softfloor --levels=3 --factor_end=1e-12
"""

from weirdonetworks.lab import StudyConfig, setting


class SoftfloorConfig(StudyConfig, epochs=15, learning_rate=0.003):
    """Settings of the experiment."""

    levels: tuple[int, ...] = setting(
        (2, 4, 8), "Numbers of values of a hidden unit.", minimum=2, may_be_empty=False, affects="measuring"
    )
    hidden_sizes: tuple[int, ...] = setting(
        (100, 100), "The widths of the hidden layers.", minimum=1, may_be_empty=False
    )
    factor_start: float = setting(10.0, "The soft floor's factor in the first epoch.", minimum=1e-30, maximum=1e30)
    factor_end: float = setting(1e-6, "Its factor in the last epoch, by equal ratios.", minimum=1e-30, maximum=1e30)

    def factor(self, epoch: int) -> float:
        """Computes the factor of the epoch after `epoch` finished ones.

        >>> [round(SoftfloorConfig(epochs=3, factor_end=0.1).factor(epoch), 6) for epoch in range(3)]
        [10.0, 1.0, 0.1]
        """
        import numpy as np

        return float(np.geomspace(self.factor_start, self.factor_end, max(self.epochs, 2))[epoch])
