"""The size of what masks leave alive of a network of dense layers."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy.typing as npt

from weight_symmetry.symmetry import propagate

FLOAT = 4  # Bytes.


class LiveArchitecture(NamedTuple):
    """The units and weights that are left, and what they cost.

    >>> import numpy as np
    >>> live = live_architecture([np.ones((784, 300)), np.eye(300, 10)])  # 290 units have no outgoing connection.
    >>> live.sizes, live.weights
    ((784, 10, 10), 7850)

    Attributes:
      sizes: The number of inputs that are read, of the living units of each hidden layer, and of outputs.
      weights: The number of weights kept between them.
      flops: Additions and multiplications per example, two for each weight; biases and activations left out.
      size: Bytes: weights and biases as float32, and a bit for each connection between living units.
    """

    sizes: tuple[int, ...]
    weights: int
    flops: int
    size: int


def live_architecture(masks: Sequence[npt.ArrayLike]) -> LiveArchitecture:
    """Measures what is left of a network of dense layers under masks, as a sparse network would be stored.

    Counted as by Evci et al., Rigging the Lottery: Making All Tickets Winners (2020), appendix B.

    >>> import numpy as np
    >>> first, second = np.ones((4, 3)), np.ones((3, 2))
    >>> first[:2] = second[0] = 0  # Two inputs are not read, and nothing reads the first unit.
    >>> live_architecture([first, second])
    LiveArchitecture(sizes=(2, 2, 2), weights=8, flops=16, size=49)

    Args:
      masks: The masks of the layers, `[in, out]`.
    """
    kept = [mask for mask in propagate(masks) if mask is not None]
    living = [mask.any(axis=1) for mask in kept]
    sizes = (*(int(alive.sum()) for alive in living), kept[-1].shape[1])
    weights = sum(int(mask.sum()) for mask in kept)
    bits = sum(before * after for before, after in itertools.pairwise(sizes))
    return LiveArchitecture(sizes, weights, 2 * weights, FLOAT * (weights + sum(sizes[1:])) + math.ceil(bits / 8))
