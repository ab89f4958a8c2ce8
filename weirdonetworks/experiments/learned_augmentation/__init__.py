"""Does a network learn how far its images are turned?

usage: python -m weirdonetworks.experiments.learned_augmentation [--flag=value ...]

Turns each digit by an angle drawn from a range that is hidden from the network, and trains the network together with
the width of its own random rotations:

    python -m weirdonetworks.experiments.learned_augmentation --num_trials=3
"""

import dataclasses

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab.config import setting


@dataclasses.dataclass(frozen=True)
class LearnedAugmentationConfig(settings.DigitsConfig):
    """Settings of the experiment."""

    learning_rate: float = setting(0.005, "The learning rate at the start.", minimum=0.0, short="lr")
    weight_decay: float | None = setting(0.0, "Weight decay; it would draw the widths too.", minimum=0.0, short="wd")
    hidden_size: int = setting(32, "The width of the hidden layer.", minimum=1)
    ranges: tuple[int, ...] = setting(
        (0, 30, 60, 90), "By how many degrees, either way, images are turned at most.", minimum=0, maximum=180
    )
    strengths: tuple[float, ...] = setting(
        (0.0, 0.2, 0.25, 0.3), "What a radian of width is rewarded with.", minimum=0.0
    )
