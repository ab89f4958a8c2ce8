"""Symmetric functions first, or dense layers first?

usage: python -m weirdonetworks.experiments.pooling_choice [--flag=value ...]

Trains synchronous networks over the quarter turns with every pooling, applied to the turned images themselves (first)
or to what shared dense layers make of them (inside):

    python -m weirdonetworks.experiments.pooling_choice --num_trials=3
"""

import dataclasses

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab.config import setting


@dataclasses.dataclass(frozen=True)
class PoolingChoiceConfig(settings.DigitsConfig):
    """Settings of the experiment."""

    parameters: int = setting(100_000, "The most parameters a network may have.", minimum=1)
    poolings: str = setting("", "The poolings to try, separated by commas; all if empty.")
    turn: int = settings.turn(90)
