"""How accurate and how stable are networks that average over turns of the image inside?

usage: python -m weirdonetworks.experiments.synchronous_mnist [--flag=value ...]

Compares synchronous networks over the four quarter turns and over turns by any angle, and the average of a whole
network over the quarter turns, with a plain one of as many parameters, without and with augmentation:

    python -m weirdonetworks.experiments.synchronous_mnist --num_trials=3
"""

import dataclasses

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab.config import setting


@dataclasses.dataclass(frozen=True)
class SynchronousConfig(settings.ComparisonConfig):
    """Settings of the experiment."""

    turns: int = setting(12, "How many turns the synchronous network over any angle sees.", minimum=1, maximum=360)
