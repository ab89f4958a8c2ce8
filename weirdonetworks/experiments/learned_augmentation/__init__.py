"""Does a network learn the range of rotations in its data?

usage: python -m weirdonetworks.experiments.learned_augmentation [--flag=value ...]

Rotates each digit by an angle drawn from a range, and trains a network together with the width of the random rotations
that it averages over:

    python -m weirdonetworks.experiments.learned_augmentation --num_trials=3
"""

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab import setting


class LearnedAugmentationConfig(settings.DigitsConfig, learning_rate=0.005):
    """Settings of the experiment."""

    weight_decay: float | None = setting(0.0, "Weight decay, of the widths too.", minimum=0.0, short="wd")
    hidden_size: int = setting(32, "The width of the hidden layer.", minimum=1)
    ranges: tuple[int, ...] = setting(
        (0, 30, 60, 90),
        "Largest rotations of images, either way, in degrees.",
        minimum=0,
        maximum=180,
        affects="measuring",
    )
    strengths: tuple[float, ...] = setting(
        (0.0, 0.2, 0.25, 0.3), "Weights of the reward per radian of width.", minimum=0.0, affects="measuring"
    )
