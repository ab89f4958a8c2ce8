"""How accurate and how stable under rotation are networks that average over rotations of the image?

usage: python -m weirdonetworks.experiments.synchronous_mnist [--flag=value ...]

Compares synchronous networks over the quarter turns and over rotations by any angle, and the average of a whole network
over the quarter turns, with a plain one of equal size, without and with augmentation:

    python -m weirdonetworks.experiments.synchronous_mnist --num_trials=3
"""

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab import setting


class SynchronousConfig(settings.ComparisonConfig):
    """Settings of the experiment."""

    turns: int = setting(12, "Number of rotations of the synchronous network over any angle.", minimum=1, maximum=360)
