"""Does a network stay stable under rotation if its gradients are projected off that of the transformation variance?

usage: python -m weirdonetworks.experiments.projected_gradient [--flag=value ...]

Trains a small network on upright digits by gradient descent, in these ways, each at each of --rates, and measures
accuracy and stability while the digits are turned through 360 degrees:

    plain         nothing is done for stability: the control
    projected     steps go along the gradient of the loss less its component along that of the variance
    augmentation  digits are turned at random in training
    penalty       the transformation variance counts in the loss, --penalties times

The first two start from random weights, from a constant network, its last layer zero, and from an invariant one, the
weights of its first layer averaged over the rotations (under quarter turns it is invariant exactly, under others as far
as turning pixels lets it); so what the start does and what the projection does can be told apart. The others start from
random weights.

    python -m weirdonetworks.experiments.projected_gradient --num_trials=3

A projected step keeps the variance of its batch, to first order: the smaller the steps, the better it is kept. Where a
network is invariant the variance is least, its gradient zero, and the first step is not projected.
"""

import dataclasses

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab.config import setting


@dataclasses.dataclass(frozen=True)
class ProjectedGradientConfig(settings.DigitsConfig):
    """Settings of the experiment."""

    epochs: int = setting(4, "Passes over the training data.", minimum=1)
    # Plain gradient descent: what Adam and momentum make of a projected gradient is not orthogonal any more.
    optimizer: str = setting("Momentum", "The optimizer.", choices=("Adam", "Momentum"))
    momentum: float = setting(0.0, "Momentum, for --optimizer=Momentum.", minimum=0.0, maximum=1.0)
    learning_rate: float = setting(1.0, "What --rates are multiplied by.", minimum=0.0, short="lr")
    rates: tuple[float, ...] = setting(
        (0.3, 0.1, 0.03),
        "Learning rates at the start; every training is done at each.",
        minimum=0.0,
        may_be_empty=False,
    )
    penalties: tuple[float, ...] = setting((10.0, 100.0), "What the variance counts in the loss.", minimum=0.0)
    width: int = setting(128, "Units in the first of two hidden layers; the second has 64.", minimum=1)
    turns: int = setting(12, "The rotations trained with, evenly over 360 degrees.", minimum=2, maximum=360)
    examined: int = setting(1000, "Test images on which stability is measured.", minimum=1, affects="measuring")
    # On a processor epochs of this kind take as long with XLA, and it compiles every training anew.
    execution: str = setting("graph", "How an epoch is compiled.", choices=("auto", "xla", "graph"))
