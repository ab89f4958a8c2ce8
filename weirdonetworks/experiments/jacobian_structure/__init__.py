"""What structure does the Jacobian of a trained network have, and what does a convolutional network conserve?

usage: python -m weirdonetworks.experiments.jacobian_structure [--flag=value ...]

Trains a perceptron on digits, upright or with augmentation by random rotations, and a small convolutional network on
upright ones, and measures the derivatives of their logits at upright test images; as a control, also before training:

    python -m weirdonetworks.experiments.jacobian_structure --num_trials=3

1. The spectrum of the Jacobians of all images, one above the other. A direction of the input is sensitive if its
   singular value is above a tolerance, as a share of the largest; all directions orthogonal to these are invariant.
   Then the share of squared length that lies along invariant directions: of pixels that have no ink in any training
   image, of smooth noise, and of the velocity of each image as it turns, moves, grows or shears. By chance it is the
   dimension of the invariant space over the number of pixels.
2. The derivative along these velocities v, the root mean square of |J v| over that of |v|: over that along white noise;
   and over that along the velocity of another image, which is as smooth and lies as much where ink is. The latter is
   below 1 where a motion of its own changes an image less for the network than one of another image does.
3. What each layer of the convolutional network adds to the Lie derivative of its logits: its size, as a root mean
   square over that of the whole, and its part in the whole, the product of the two over the square of the whole. Parts
   add up to 1. ReLU has some because velocities are differences of pixels, for which the chain rule is not exact.

Smooth noise is an image with the phases of its Fourier transform drawn at random.
"""

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab import UsageError, setting


class JacobianStructureConfig(settings.DigitsConfig, shrink=1):
    """Settings of the experiment."""

    width: int = setting(300, "The width of the perceptron's first hidden layer.", minimum=1)
    channels: tuple[int, ...] = setting(
        (8, 16), "The channels of the convolutions, each 3 x 3.", minimum=1, may_be_empty=False
    )
    examined: int = setting(500, "Test images at which derivatives are measured.", minimum=2, affects="measuring")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.examples == 1:
            raise UsageError("examples (=1) must be at least 2: each image is compared with another.")
