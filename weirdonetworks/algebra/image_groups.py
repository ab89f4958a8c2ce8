"""Groups that move the pixels of images `[height, width, channels]`, flattened row by row with channels last.

Pixel (row, column), channel c is point `(row * width + column) * channels + c`, and each channel moves with its pixel,
so that `act(s, image.ravel())` is the moved image flattened.
"""

import numpy as np

from weirdonetworks.algebra import coordinates as _coordinates
from weirdonetworks.algebra.arrays import Ints, at_least
from weirdonetworks.algebra.groups import PermutationGroup
from weirdonetworks.algebra.permutations import inverse


def image_rotations(height: int, width: int, channels: int = 1) -> PermutationGroup:
    """Makes the group of the four quarter turns of a square image (C4).

    The generator turns counter-clockwise, as `numpy.rot90` does; element k is k quarter turns.

    >>> image_rotations(28, 28).order
    4

    Args:
      height: Rows, at least 1.
      width: Columns, as many as rows.
      channels: Values at each pixel, at least 1.

    Raises:
      ValueError: If the image is not square, or an argument is too small.
    """
    points = _square(height, width, channels)
    return _listed([_moved(np.rot90(points))], [_moved(np.rot90(points, turns)) for turns in range(4)])


def image_dihedral(height: int, width: int, channels: int = 1) -> PermutationGroup:
    """Makes the group of the eight symmetries of a square image (D4): quarter turns, and their mirror images.

    Its generators are the quarter turn counter-clockwise and the exchange of left and right. Elements 0 to 3 are the
    turns, elements 4 to 7 the same after that exchange.

    >>> image_dihedral(28, 28, channels=3).order
    8

    Args:
      height: Rows, at least 1.
      width: Columns, as many as rows.
      channels: Values at each pixel, at least 1.

    Raises:
      ValueError: If the image is not square, or an argument is too small.
    """
    points = _square(height, width, channels)
    mirrored = points[:, ::-1]
    elements = [np.rot90(start, turns) for start in (points, mirrored) for turns in range(4)]
    return _listed([_moved(np.rot90(points)), _moved(mirrored)], [_moved(element) for element in elements])


def image_translations(height: int, width: int, channels: int = 1) -> PermutationGroup:
    """Makes the group of the cyclic shifts of an image: what leaves at one side comes back at the other (a torus).

    Its generators shift down and right by one pixel; elements run through the shifts down, and for each through those
    to the right.

    >>> image_translations(28, 28).order
    784

    Args:
      height: Rows, at least 1.
      width: Columns, at least 1.
      channels: Values at each pixel, at least 1.

    Raises:
      ValueError: If an argument is too small.
    """
    points = _points(height, width, channels)
    generators = [_moved(np.roll(points, 1, axis)) for axis in (0, 1)]
    return PermutationGroup._known(generators, _coordinates.Torus(*points.shape))


def _points(height: int, width: int, channels: int) -> Ints:
    shape = at_least("height", height, 1), at_least("width", width, 1), at_least("channels", channels, 1)
    return np.arange(height * width * channels).reshape(shape)


def _square(height: int, width: int, channels: int) -> Ints:
    points = _points(height, width, channels)
    if height != width:
        raise ValueError(
            f"height (={height}) and width (={width}) must be equal: a quarter turn of an image that is not square "
            "does not fit its frame. Crop or pad the image, or use image_translations."
        )
    return points


def _moved(image: Ints) -> Ints:
    """Reads a permutation off the image of points that it makes: the entry of a place is the point that came there."""
    return inverse(image.ravel())


def _listed(generators: list[Ints], elements: list[Ints]) -> PermutationGroup:
    # On a single pixel all turns and reflections are the identity.
    distinct = elements if len(set(map(bytes, elements))) == len(elements) else elements[:1]
    return PermutationGroup._known(generators, _coordinates.Listed(np.stack(distinct)))
