"""Random deformations of images, for augmentation: turned, sheared, zoomed, shifted, mirrored."""

import math

import numpy as np

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.algebra.transforms import ImageTransform, affine
from weirdonetworks.lab import seeds

# The greatest shear, change of size (as a share of it, across and upwards apart) and shift (as a share of the side).
SHEAR = 0.15
ZOOM = 0.15
SHIFT = 0.1


def deformations(side: int, count: int, max_turn: float, seed: int, fill: float = 0.0) -> list[ImageTransform]:
    """Draws deformations of square images, each even in its range: mirrored or not, zoomed, sheared, turned, shifted.

    >>> len(deformations(8, count=3, max_turn=30, seed=0))
    3

    Args:
      side: Pixels a side, at least 1.
      count: How many to draw, at least 1.
      max_turn: The greatest angle either way, in degrees, in [0, 180].
      seed: Draws them; the same seed draws the same ones for every side.
      fill: The value of everything outside the image.

    Returns:
      The deformations, bilinear. They form no group.

    Raises:
      TypeError: If a number of them is no integer.
      ValueError: If a number is out of its range.
    """
    side, count = at_least("side", side, 1), at_least("count", count, 1)
    if not 0 <= max_turn <= 180:
        raise ValueError(f"max_turn (={max_turn}) must be in [0, 180] degrees.")
    rng = seeds.generator(seed, "deformations")
    drawn = []
    for _ in range(count):
        angle = math.radians(rng.uniform(-max_turn, max_turn))
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        shear = np.array([[1.0, rng.uniform(-SHEAR, SHEAR)], [0.0, 1.0]])
        across, upwards = rng.uniform(1 - ZOOM, 1 + ZOOM, 2)
        zoom = np.diag([across * rng.choice([-1.0, 1.0]), upwards])
        move = (side * rng.uniform(-SHIFT, SHIFT, 2)).tolist()
        drawn.append(affine(side, side, turn @ shear @ zoom, move, fill=fill))
    return drawn
