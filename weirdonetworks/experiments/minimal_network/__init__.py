"""What is the smallest network of each kind that reaches an accuracy?

usage: python -m weirdonetworks.experiments.minimal_network [--flag=value ...]

Searches, for each kind of network, the least width of its one hidden layer at which it reaches an accuracy:

    python -m weirdonetworks.experiments.minimal_network
    python -m weirdonetworks.experiments.minimal_network --turn=90 --targets=0.9,0.95

The width is doubled until the mean validation accuracy reaches the target, then found by bisection. Accuracy is noisy
and need not rise with the width, so a smaller network may also reach the target; more `--num_trials` make that less
likely. The test accuracy is that of the network found. Images are 14 x 14 unless `--shrink=1`.
"""

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab import UsageError, setting


class MinimalNetworkConfig(settings.TurnedConfig, settings.MonomialsConfig):
    """Settings of the experiment."""

    targets: tuple[float, ...] = setting(
        (0.97, 0.98), "Validation accuracies to reach.", minimum=0.0, maximum=1.0, affects="measuring"
    )
    max_width: int = setting(1024, "Largest width to try.", minimum=1, affects="measuring")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation_size == 0:
            raise UsageError(
                "validation_size (=0) must be at least 1: the least width is sought by validation accuracy."
            )
