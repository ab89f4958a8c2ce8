"""Permutation groups of the pixels of images: rotations, reflections and cyclic shifts.

The points are the entries of images `[height, width, channels]`, flattened: channel c of pixel (row, column) is number
`(row * width + column) * channels + c`. Channels move with their pixel, so `act(s, image.ravel())` is the
transformed image, flattened.
"""

import math

import numpy as np

from weirdonetworks.algebra.arrays import Ints, at_least
from weirdonetworks.algebra.groups import enumerations
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.algebra.groups.permutations import POINTS, inverse


def image_rotations(height: int, width: int, channels: int = 1) -> PermutationGroup:
    """Makes the group C4 of the rotations of a square image by multiples of 90 degrees.

    The generator rotates counter-clockwise, as `numpy.rot90` does; element k is the rotation by 90 k degrees.

    >>> image_rotations(28, 28).order
    4

    Args:
      height: The height of the images in pixels, at least 1.
      width: Their width in pixels, equal to the height.
      channels: The number of channels, at least 1.

    Raises:
      ValueError: If the image is not square, or an argument is too small.
    """
    points = _square(height, width, channels)
    return _listed([_moved(np.rot90(points))], [_moved(np.rot90(points, turns)) for turns in range(4)])


def image_dihedral(height: int, width: int, channels: int = 1) -> PermutationGroup:
    """Makes the group D4 of the eight symmetries of a square image: rotations and reflections.

    Its generators are the counter-clockwise rotation by 90 degrees and the left-right flip. Elements 0 to 3 are the
    rotations, elements 4 to 7 the flip followed by these.

    >>> image_dihedral(28, 28, channels=3).order
    8

    Args:
      height: The height of the images in pixels, at least 1.
      width: Their width in pixels, equal to the height.
      channels: The number of channels, at least 1.

    Raises:
      ValueError: If the image is not square, or an argument is too small.
    """
    points = _square(height, width, channels)
    mirrored = points[:, ::-1]
    elements = [np.rot90(start, turns) for start in (points, mirrored) for turns in range(4)]
    return _listed([_moved(np.rot90(points)), _moved(mirrored)], [_moved(element) for element in elements])


def image_translations(height: int, width: int, channels: int = 1) -> PermutationGroup:
    """Makes the group of the cyclic shifts of an image, with pixels wrapping around (a torus).

    Its generators shift down and to the right by one pixel; element i * width + j shifts by i rows and j columns.

    >>> image_translations(28, 28).order
    784

    Args:
      height: The height of the images in pixels, at least 1.
      width: Their width in pixels, at least 1.
      channels: The number of channels, at least 1.

    Raises:
      ValueError: If an argument is too small.
    """
    points = _points(height, width, channels)
    generators = [_moved(np.roll(points, 1, axis)) for axis in (0, 1)]
    return PermutationGroup._known(generators, enumerations.Torus(*points.shape))


def _points(height: int, width: int, channels: int) -> Ints:
    shape = at_least("height", height, 1), at_least("width", width, 1), at_least("channels", channels, 1)
    return np.arange(at_least("height * width * channels", math.prod(shape), 1, POINTS)).reshape(shape)


def _square(height: int, width: int, channels: int) -> Ints:
    points = _points(height, width, channels)
    if height != width:
        raise ValueError(
            f"height (={height}) and width (={width}) must be equal: only square images can be rotated by 90 "
            "degrees. Crop or pad the image, or use image_translations."
        )
    return points


def _moved(image: Ints) -> Ints:
    """Converts a transformed image of point numbers to the permutation: entry p is the point moved to p."""
    return inverse(image.ravel())


def _listed(generators: list[Ints], elements: list[Ints]) -> PermutationGroup:
    # On a single pixel all rotations and reflections are the identity.
    distinct = elements if len(set(map(bytes, elements))) == len(elements) else elements[:1]
    return PermutationGroup._known(generators, enumerations.ElementTable(np.stack(distinct)))
