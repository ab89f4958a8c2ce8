"""Does a penalty on its derivative make a plain network invariant?

usage: python -m weirdonetworks.experiments.jacobian_penalty [--flag=value ...]

Trains a plain perceptron on digits, upright or turned anew each time by any angle (augmentation), with a penalty on the
derivative of its logits along the rotation of its input, of several strengths, and without; and measures accuracy, the
variance of the probabilities as the image turns, and their Lie derivatives along rotation and, as a control, along
motions that nothing was said of:

    python -m weirdonetworks.experiments.jacobian_penalty --num_trials=3
"""

import dataclasses

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab.config import setting


@dataclasses.dataclass(frozen=True)
class JacobianPenaltyConfig(settings.DigitsConfig):
    """Settings of the experiment."""

    shrink: int = setting(1, "Make images smaller by this factor; 1 leaves them.", minimum=1)
    width: int = setting(300, "The width of the first hidden layer.", minimum=1)
    strengths: tuple[float, ...] = setting((0.01, 0.1, 1.0), "Strengths of the penalty beside 0.", minimum=0.0)
    examined: int = setting(
        1000, "Test images on which variance and derivatives are measured.", minimum=1, affects="measuring"
    )
