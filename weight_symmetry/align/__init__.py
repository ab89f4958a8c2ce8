"""Are two trained networks the same up to the order of their hidden units?

usage: python -m weight_symmetry.align [--flag=value ...]

Trains pairs of networks from different seeds, permutes the hidden units of one to fit the other, and measures loss and
accuracy on the line between the two: not aligned, aligned by the weights, by activations, and by gradients of the loss
(straight-through, Sinkhorn). Of a model with batch norms, each also with the statistics measured anew at each point.

    python -m weight_symmetry.align --features=512,512,512 --num_trials=5
    python -m weight_symmetry.align --features=512,512,512 --width_factors=0.125,0.25,0.5,1
    python -m weight_symmetry.align --model=CIFAR10_CNN --dataset=CIFAR10 --data_dir=DIR
"""

import dataclasses

from weight_symmetry.models.widths import FILTERS
from weight_symmetry.run.config import ModelStudyConfig
from weirdonetworks.lab.config import setting
from weirdonetworks.lab.errors import UsageError


class AlignConfig(ModelStudyConfig):
    """Settings of the driver; the number of trials is that of pairs."""

    num_trials: int = setting(5, "Number of pairs, with consecutive seeds.", minimum=1, affects="measuring")
    width_factors: tuple[float, ...] = setting(
        (1.0,),
        "Factors of the hidden widths; pairs of each are trained.",
        minimum=1e-6,
        affects="measuring",
        may_be_empty=False,
    )
    points: int = setting(11, "Points on the line, the ends among them.", minimum=2, affects="measuring")
    match_steps: int = setting(
        100, "Gradient steps of straight_through and sinkhorn; 0: without these two.", minimum=0, affects="measuring"
    )
    match_batch: int = setting(
        500, "Images of each gradient step, and in the forward passes of activations.", minimum=1, affects="measuring"
    )
    line_images: int = setting(
        10000,
        "The first so many training images are used for matching and on the line.",
        minimum=1,
        affects="measuring",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.is_users and self.width_factors != (1.0,):
            raise UsageError(f"width_factors (={self.width_factors}) must be 1 for a model of your own.")

    def hidden(self, factor: float) -> tuple[int, ...]:
        """Returns the multiplied width of each hidden layer.

        >>> AlignConfig(features=(300, 100)).hidden(0.5)
        (150, 50)
        """
        widths = self.features if self.model == "MNIST_FC" else self.filters or FILTERS.get(self.model, ())
        return tuple(max(1, round(factor * width)) for width in widths)

    def widened(self, factor: float) -> "AlignConfig":
        """Returns the configuration with all hidden widths multiplied.

        >>> AlignConfig(features=(300, 100)).widened(0.5).features
        (150, 50)
        """
        wider = self.hidden(factor)
        if factor == 1:
            return self
        if self.model == "MNIST_FC":
            return dataclasses.replace(self, features=wider)
        return dataclasses.replace(self, filters=wider)
