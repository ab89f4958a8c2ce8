"""The share of a layer's weights in the invariant subspace."""

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import instance, reals
from weirdonetworks.algebra.groups.orbits import Orbits


def invariant_share(weights: npt.ArrayLike, orbits: Orbits) -> float:
    """Computes the share of the squared norm of weights that lies in the invariant subspace.

    With the weights w `[coordinates, outputs]` and P the mean over each orbit of coordinates, |P w|^2 / |w|^2: 1 if the
    weights are equal along the orbits, so that each output is invariant, and on average orbits / coordinates if they
    are independent with mean 0 and equal variances (`chance`).

    >>> from weirdonetworks.algebra import cyclic_group
    >>> orbits = cyclic_group(2).orbits()
    >>> invariant_share([[3.0], [3.0]], orbits), invariant_share([[1.0], [-1.0]], orbits)
    (1.0, 0.0)

    Args:
      weights: The weights, `[coordinates, outputs]`.
      orbits: The orbits of the group on the coordinates.

    Raises:
      ValueError: If there are not as many weights as coordinates, or all are 0.
    """
    values = reals("weights", weights)
    instance("orbits", orbits, Orbits)
    if values.ndim != 2 or len(values) != len(orbits.labels):
        raise ValueError(f"weights (of shape {values.shape}) must be [{len(orbits.labels)}, outputs].")
    total = float(np.square(values).sum())
    if not total:
        raise ValueError("weights must not all be 0.")
    sums = np.stack([np.bincount(orbits.labels, column) for column in values.T], axis=1)
    return float((np.square(sums) / orbits.sizes[:, None]).sum()) / total


def chance(orbits: Orbits) -> float:
    """Computes the expected invariant share of independent weights of mean 0 and equal variances."""
    return len(instance("orbits", orbits, Orbits).sizes) / len(orbits.labels)
