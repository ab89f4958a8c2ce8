"""Transformed data sets: images shrunk, rotated at random, or reduced to principal components."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.actions.transforms import rotation
from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.lab import seeds
from weirdonetworks.lab.data.datasets import Dataset, Split, Standardisation
from weirdonetworks.lab.errors import UsageError

Images = npt.NDArray[np.uint8]
LARGEST = 2**13  # Values of an image: their covariance is computed whole, and its eigenvectors.


def shrunk(data: Dataset, factor: int) -> Dataset:
    """Replaces each block of `factor` x `factor` pixels by its rounded mean, and recomputes the standardisation.

    Raises:
      UsageError: If the factor is below 1 or does not divide the images' sides.
    """
    height, width, channels = data.train.images.shape[1:]
    if factor < 1 or height % factor or width % factor:
        raise UsageError(f"shrink (={factor}) must divide the sides of the images, {height} x {width}.")

    def shrink(images: Images) -> Images:
        blocks = images.reshape(-1, height // factor, factor, width // factor, factor, channels)
        return _bytes(blocks.mean(axis=(2, 4)))

    changed = each_split(data, lambda name, images: shrink(images))
    return dataclasses.replace(changed, standardisation=Standardisation.of(changed.train.images))


def projected(data: Dataset, components: int) -> Dataset:
    """Projects images onto the first principal components of the training images, which limits their dimension.

    With `m` the mean of the training images and the columns of `U` the first eigenvectors of their covariance, a
    flattened image `x` becomes `m + U U^T (x - m)`, rounded and clipped to bytes: a function of so many numbers.

    Args:
      data: The data set.
      components: The number of components, from 1 to that of pixels and channels.

    Raises:
      UsageError: If the number is out of range, or the images are too large.
    """
    flat = data.train.images.reshape(len(data.train), -1)
    if not 1 <= components <= flat.shape[1]:
        raise UsageError(f"components (={components}) must be in [1, {flat.shape[1]}], the values of an image.")
    if flat.shape[1] > LARGEST:
        raise UsageError(f"components (={components}) must be 0, for images of more than {LARGEST:,} values.")
    mean = flat.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(flat, rowvar=False))
    basis = vectors[:, -components:]

    def project(images: Images) -> Images:
        centred = images.reshape(len(images), -1) - mean
        return _bytes(mean + centred @ basis @ basis.T).reshape(images.shape)

    changed = each_split(data, lambda name, images: project(images))
    return dataclasses.replace(changed, standardisation=Standardisation.of(changed.train.images))


def turned(data: Dataset, step: int, seed: int) -> Dataset:
    """Rotates each image about its centre by a random multiple of `step` degrees.

    Quarter turns (a step of 90, of square images) are exact; others interpolate between four pixels.

    Args:
      data: The data set.
      step: Degrees, in [1, 360]; the angles are its multiples below 360.
      seed: The seed of the angles, from which each split derives its own.

    Raises:
      UsageError: If the step is out of range.
    """
    if not 1 <= step <= 360:
        raise UsageError(f"step (={step}) must be in [1, 360] degrees.")

    return _turned(data, lambda rng, number: rng.integers(0, -(-360 // step), number) * step, seed)


def turned_within(data: Dataset, degrees: int, seed: int) -> Dataset:
    """Rotates each image about its centre by a random integer number of degrees in [-degrees, degrees].

    Args:
      data: The data set.
      degrees: The largest angle, in [0, 180].
      seed: The seed of the angles, from which each split derives its own.

    Raises:
      UsageError: If the degrees are out of range.
    """
    if not 0 <= degrees <= 180:
        raise UsageError(f"degrees (={degrees}) must be in [0, 180].")
    return _turned(data, lambda rng, number: rng.integers(-degrees, degrees + 1, number), seed)


def _turned(data: Dataset, draw: Callable[[np.random.Generator, int], Ints], seed: int) -> Dataset:
    def turn(name: str, images: Images) -> Images:
        angles = draw(seeds.generator(seed, "turn", name), len(images))
        result = np.empty_like(images)
        for angle in np.unique(angles):
            chosen = angles == angle
            result[chosen] = _bytes(rotation(images.shape[1], images.shape[2], float(angle)).apply(images[chosen]))
        return result

    return each_split(data, turn)


def each_split(data: Dataset, change: Callable[[str, Images], Images]) -> Dataset:
    """Replaces the images of each split by `change(name, images)`."""
    changed: Any = {name: Split(change(name, split.images), split.labels) for name, split in data.splits.items()}
    return dataclasses.replace(data, **changed)


def _bytes(values: npt.NDArray[np.float64]) -> Images:
    return np.rint(values).clip(0, 255).astype(np.uint8)
