"""Are two trained networks the same up to the order of their hidden units?

usage: python -m weight_symmetry.align [--flag=value ...]

Trains pairs of networks from different seeds, rescales each to its least norm (unless `--nonormalise`), permutes the
hidden units of one to fit the other, and measures loss and accuracy on the line between the two: not aligned, aligned
by the weights, by activations, and by gradients of the loss (straight-through, Sinkhorn). Of a model with batch norms,
each also with the statistics measured anew at each point.

    python -m weight_symmetry.align --features=512,512,512 --num_trials=5
    python -m weight_symmetry.align --features=512,512,512 --width_factors=0.125,0.25,0.5,1
    python -m weight_symmetry.align --model=CIFAR10_CNN --dataset=CIFAR10 --data_dir=DIR
"""

from weight_symmetry.run.config import WidthStudyConfig
from weirdonetworks.lab.config import setting


class AlignConfig(WidthStudyConfig):
    """Settings of the driver; the number of trials is that of pairs."""

    num_trials: int = setting(5, "Number of pairs, with consecutive seeds.", minimum=1, affects="measuring")
    points: int = setting(11, "Points on the line, the ends among them.", minimum=2, affects="measuring")
    normalise: bool = setting(
        True,
        "Rescale both networks first, as far as their functions stay, to their least norms.",
        affects="measuring",
    )
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
