"""Digits of reduced size and the networks on them, for the experiments on symmetry of the input.

Every network has a first layer of its kind, then dense layers:

    plain        dense on the pixels
    polynomial   linear in all monomials of the pixels up to a degree
    invariant    dense on the orbit sums of these monomials under quarter turns
    synchronous  dense on each quarter turn of the image, averaged
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sonnet as snt
import tensorflow as tf

from weirdonetworks import InvariantMLP, PolynomialMLP, SynchronousMLP, lab
from weirdonetworks.algebra import image_rotations
from weirdonetworks.algebra.actions.transforms import ImageTransform, rotation
from weirdonetworks.experiments.shared import settings

# Each made of the pixels a side, the degree of the monomials, and the widths of the layers.
KINDS: dict[str, Callable[[int, int, Sequence[int]], Any]] = {
    "plain": lambda side, degree, sizes: snt.Sequential([snt.Flatten(), snt.nets.MLP(sizes)]),
    "polynomial": lambda side, degree, sizes: PolynomialMLP(sizes, degree),
    "invariant": lambda side, degree, sizes: InvariantMLP(image_rotations(side, side), degree, sizes),
    "synchronous": lambda side, degree, sizes: SynchronousMLP(image_rotations(side, side), sizes[:1], sizes[1:]),
}


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


def network(kind: str, side: int, degree: int, sizes: Sequence[int]) -> Any:
    """Makes a network of a kind.

    Args:
      kind: One of `KINDS`.
      side: Pixels a side.
      degree: The highest degree of monomials.
      sizes: The widths of the layers, first that of the kind's own layer.
    """
    return KINDS[kind](side, degree, sizes)


def convolutions(channels: Sequence[int]) -> dict[str, Any]:
    """Names the stages of 3 x 3 convolutions, each with ReLU and max pooling, in their order, without variables."""
    stages: dict[str, Any] = {}
    for index, size in enumerate(channels):
        stages[f"convolution {index}"] = snt.Conv2D(size, 3, name=f"conv_{index}")
        stages[f"ReLU {index}"] = tf.nn.relu
        stages[f"pooling {index}"] = functools.partial(tf.nn.max_pool2d, ksize=2, strides=2, padding="SAME")
    return stages


def fitting_width(of_width: Callable[[int], Any], data: lab.Dataset | lab.Task, budget: int) -> int:
    """Finds the greatest width at which the network `of_width(width)` has at most `budget` parameters.

    Args:
      of_width: Makes the network of a width.
      data: The data set or task whose inputs it takes.
      budget: The largest number of parameters.

    Raises:
      UsageError: As `widest`.
    """

    def parameters(width: int) -> int:
        made = of_width(width)
        made(tf.ones([1, *data.train.images.shape[1:]]))  # Of sets, all items are present.
        return lab.state.count_parameters(made)

    return widest(parameters, budget)


def widest(parameters: Callable[[int], int], budget: int) -> int:
    """Finds the greatest width of at most a number of parameters, which must rise with the width.

    >>> widest(lambda width: 10 * width, budget=95)
    9

    Raises:
      UsageError: If the budget is below `parameters(1)`.
    """
    if parameters(1) > budget:
        raise lab.UsageError(f"parameters (={budget}) must be at least {parameters(1)}, those of the least width.")
    too_wide = least(lambda width: parameters(width) > budget)
    assert too_wide is not None, "some width is, where the number rises"
    return too_wide - 1


def least(holds: Callable[[int], bool], limit: float = math.inf) -> int | None:
    """Finds, by doubling and bisection, a width at which a condition holds; None if it holds at none up to the limit.

    >>> least(lambda width: width >= 11, limit=64)
    11
    >>> least(lambda width: width >= 90, limit=64) is None
    True
    """
    low, high = 0, 1
    while not holds(high):
        if high >= limit:
            return None
        low, high = high, int(min(2 * high, limit))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def accuracies(trained: Sequence[lab.Trained]) -> dict[str, Any]:
    """Gives the `parameters` of a network and the `study.final` accuracies of its trials."""
    keys = [key for key in ("validation_accuracy", "test_accuracy") if key in trained[0].final]
    return {"parameters": trained[0].parameters, **{key: lab.final(trained, key) for key in keys}}


def probabilities(network: Callable[[tf.Tensor], tf.Tensor], data: lab.Dataset) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the function from uint8 images of a data set to a classifier's probabilities."""
    return lambda images: tf.nn.softmax(network(data.standardisation(images)))


def rotations(data: lab.Dataset, angles: Iterable[float]) -> list[ImageTransform]:
    """Lists the rotations of a data set's images by some angles, in degrees."""
    return [rotation(data.side, data.side, angle) for angle in angles]


def quarter_turns(data: lab.Dataset) -> lab.RandomTransform:
    """Makes the augmentation by random quarter turns."""
    return lab.RandomTransform(image_rotations(data.side, data.side))


def any_turns(data: lab.Dataset) -> lab.RandomTransform:
    """Makes the augmentation by random multiples of 5 degrees."""
    return lab.RandomTransform(rotations(data, range(0, 360, 5)))
