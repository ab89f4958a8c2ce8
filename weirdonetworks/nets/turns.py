"""The quarter turns of square images, and their mirror images, as gathers of pixels."""

import numpy as np

from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.algebra.image_groups import image_dihedral, image_rotations
from weirdonetworks.algebra.permutations import inverse

GROUPS = {"C4": image_rotations, "D4": image_dihedral}
ORDERS = {"C4": 4, "D4": 8}


def checked_group(group: str) -> str:
    """Returns the name of a group as it is.

    Raises:
      ValueError: If there is no such group.
    """
    if group not in GROUPS:
        raise ValueError(f"group (={group!r}) must be one of {', '.join(GROUPS)}.")
    return group


def turns(group: str, side: int) -> Ints:
    """Gives each element as the pixels that it reads: a square x, flattened, becomes `x[turns(group, side)[g]]`.

    Elements 0 to 3 are quarter turns counter-clockwise, those of D4 from 4 to 7 the same after the exchange of left and
    right, as in `algebra.image_dihedral`; on a single pixel too, which all of them leave as it is.

    >>> turns("C4", 2)[1].tolist(), turns("D4", 1).shape
    ([1, 3, 0, 2], (8, 1))

    Args:
      group: `C4` or `D4`.
      side: The side of the square, at least 1.

    Returns:
      The gathers, `[|G|, side * side]`.
    """
    if side == 1:
        return np.zeros((len(turns(group, 2)), 1), np.intp)
    return inverse(GROUPS[group](side, side).elements())
