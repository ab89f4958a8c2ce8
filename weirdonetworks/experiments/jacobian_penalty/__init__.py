"""Does a penalty on its derivative along rotations make a network invariant?

usage: python -m weirdonetworks.experiments.jacobian_penalty [--flag=value ...]

Trains a perceptron on digits, upright or with augmentation by random rotations, with a penalty on the derivative of its
logits along rotations of its input, of several strengths, and without. Measures accuracy, the variance of the
probabilities under rotation, and their Lie derivatives along rotation and, as a control, along motions without penalty:

    python -m weirdonetworks.experiments.jacobian_penalty --num_trials=3
"""

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab import setting


class JacobianPenaltyConfig(settings.DigitsConfig, shrink=1):
    """Settings of the experiment."""

    width: int = setting(300, "The width of the first hidden layer.", minimum=1)
    strengths: tuple[float, ...] = setting(
        (0.01, 0.1, 1.0), "Weights of the penalty, beside 0.", minimum=0.0, affects="measuring"
    )
    examined: int = setting(
        1000, "Test images on which variance and derivatives are measured.", minimum=1, affects="measuring"
    )
