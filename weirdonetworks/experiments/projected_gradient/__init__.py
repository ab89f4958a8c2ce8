"""Does projecting gradients off that of the transformation variance preserve stability under rotation?

usage: python -m weirdonetworks.experiments.projected_gradient [--flag=value ...]

Trains a small network on upright digits by gradient descent, in these ways, each at each of --rates, and measures
accuracy and stability while the digits are turned through 360 degrees:

    plain         the control
    projected     the gradient of the loss is projected off that of the variance
    augmentation  digits are rotated at random in training
    penalty       the loss plus the transformation variance, --penalties times

The first two start from random weights, from a constant network, its last layer zero, and from an invariant one, the
weights of its first layer averaged over the rotations (exactly invariant under quarter turns, under others up to
interpolation); so the effects of start and projection can be told apart. The others start from random weights.

    python -m weirdonetworks.experiments.projected_gradient --num_trials=3

A projected step preserves the variance of its batch to first order: the smaller the steps, the better. Where a network
is invariant the variance is minimal, its gradient zero, and the first step is not projected.
"""

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab import setting


# Plain gradient descent: steps of Adam and momentum along projected gradients are not orthogonal to the variance's.
# On a CPU XLA saves no time here, and compiles every training anew.
class ProjectedGradientConfig(settings.DigitsConfig, epochs=4, optimizer="Momentum", momentum=0.0, execution="graph"):
    """Settings of the experiment."""

    learning_rate: float = setting(1.0, "Factor of all --rates.", minimum=0.0, short="lr")
    rates: tuple[float, ...] = setting(
        (0.3, 0.1, 0.03),
        "Initial learning rates; every training runs at each.",
        minimum=0.0,
        may_be_empty=False,
        affects="measuring",
    )
    penalties: tuple[float, ...] = setting(
        (10.0, 100.0), "Weights of the variance in the loss.", minimum=0.0, affects="measuring"
    )
    width: int = setting(128, "Units in the first of two hidden layers; the second has 64.", minimum=1)
    turns: int = setting(12, "Number of rotations in the variance, evenly over 360 degrees.", minimum=2, maximum=360)
    examined: int = setting(1000, "Test images on which stability is measured.", minimum=1, affects="measuring")
