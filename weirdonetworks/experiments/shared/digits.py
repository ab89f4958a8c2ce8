"""Digits of reduced size and the networks on them, for the experiments on symmetry of the input.

Every network has a first layer of its kind, then dense layers:

    plain        dense on the pixels
    polynomial   linear in all monomials of the pixels up to a degree
    invariant    dense on the orbit sums of these monomials under quarter turns
    synchronous  dense on each quarter turn of the image, averaged
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import sonnet as snt
import tensorflow as tf

from weirdonetworks import InvariantMLP, PolynomialMLP, SynchronousMLP, lab
from weirdonetworks.algebra import image_rotations
from weirdonetworks.algebra.actions.transforms import rotation
from weirdonetworks.experiments.shared import settings

KINDS = ("plain", "polynomial", "invariant", "synchronous")


def load(study: lab.Study[settings.DigitsConfig], dataset: str | None = None) -> lab.Dataset:
    """Loads the study's data set, or the named one, its images reduced by `--shrink`.

    Raises:
      UsageError: If the images are not square, or as `datasets.configured`.
    """
    config = dataclasses.replace(study.config, dataset=dataset or study.config.dataset)
    data = study.load(config)
    height, width, channels = data.train.images.shape[1:]
    if height != width or channels != 1:
        raise lab.UsageError(
            f"dataset (={config.dataset}) must have square grey images, and has {height}x{width}x{channels}."
        )
    return lab.transformed.shrunk(data, config.shrink) if config.shrink > 1 else data


def maker(kind: str, side: int, degree: int, sizes: Sequence[int]) -> Callable[[], Any]:
    """Returns a function that makes a network of a kind.

    Args:
      kind: One of `KINDS`.
      side: Pixels a side.
      degree: The highest degree of monomials.
      sizes: The widths of the layers, first that of the kind's own layer.

    Raises:
      ValueError: If there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind (={kind!r}) must be one of {', '.join(KINDS)}.")
    group = image_rotations(side, side)
    if kind == "plain":
        return lambda: snt.Sequential([snt.Flatten(), snt.nets.MLP(sizes)])
    if kind == "polynomial":
        return lambda: PolynomialMLP(sizes, degree)
    if kind == "invariant":
        return lambda: InvariantMLP(group, degree, sizes)
    return lambda: SynchronousMLP(group, sizes[:1], sizes[1:])


def fitting_width(of_width: Callable[[int], Callable[[], Any]], shape: Sequence[int], budget: int) -> int:
    """Finds the greatest width at which the network that `of_width(width)` makes has at most `budget` parameters.

    Args:
      of_width: Maps a width to a function that makes the network.
      shape: The shape of an input of the network.
      budget: The largest number of parameters.

    Raises:
      UsageError: As `widest`.
    """

    def parameters(width: int) -> int:
        network = of_width(width)()
        network(tf.ones([1, *shape]))  # Of sets, all items are present.
        return lab.state.count_parameters(network)

    return widest(parameters, budget)


def widest(parameters: Callable[[int], int], budget: int) -> int:
    """Finds the greatest width with `parameters(width) <= budget`; the number of parameters must rise with the width.

    >>> widest(lambda width: 10 * width, budget=95)
    9

    Raises:
      UsageError: If the budget is below `parameters(1)`.
    """
    if parameters(1) > budget:
        raise lab.UsageError(f"parameters (={budget}) must be at least {parameters(1)}, those of the least width.")
    low, high = 1, 2
    while parameters(high) <= budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters(middle) <= budget else (low, middle)
    return low


def accuracies(trained: Sequence[lab.Trained]) -> dict[str, Any]:
    """Gives the `parameters` of a network and the `study.final` accuracies of its trials."""
    keys = [key for key in ("validation_accuracy", "test_accuracy") if key in trained[0].final]
    return {"parameters": trained[0].parameters, **{key: lab.final(trained, key) for key in keys}}


def probabilities(network: Callable[[tf.Tensor], tf.Tensor], data: lab.Dataset) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the function from uint8 images of a data set to a classifier's probabilities."""
    return lambda images: tf.nn.softmax(network(data.standardisation(images)))


def quarter_turns(data: lab.Dataset) -> lab.RandomTransform:
    """Makes the augmentation by random quarter turns."""
    return lab.RandomTransform(image_rotations(data.side, data.side))


def any_turns(data: lab.Dataset) -> lab.RandomTransform:
    """Makes the augmentation by random multiples of 5 degrees."""
    return lab.RandomTransform([rotation(data.side, data.side, angle) for angle in range(0, 360, 5)])
