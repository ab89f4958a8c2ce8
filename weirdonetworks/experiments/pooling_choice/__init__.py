"""Should a synchronous network pool the images first, or dense features of them?

usage: python -m weirdonetworks.experiments.pooling_choice [--flag=value ...]

Trains synchronous networks over the quarter turns with every pooling, applied to the rotated images themselves (first)
or to shared dense features of them (inside):

    python -m weirdonetworks.experiments.pooling_choice --num_trials=3
"""

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab import setting


class PoolingChoiceConfig(settings.TurnedConfig, turn=90):
    """Settings of the experiment."""

    parameters: int = setting(100_000, "Largest number of parameters of a network.", minimum=1)
    poolings: str = setting("", "Poolings, separated by commas; all if empty.", affects="measuring")
