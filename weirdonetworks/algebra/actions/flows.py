"""Actions of connected Lie groups, given by the generators of their one-parameter subgroups."""

from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.actions.base import Elements, Group
from weirdonetworks.algebra.actions.kinds import LinearAction
from weirdonetworks.algebra.arrays import array, at_least, shown

TERMS = 16  # Of the exponential series, for matrices of norm at most 1/2: the rest is below rounding.


class FlowAction(LinearAction):
    """A connected Lie group of matrices on the last axis of an example.

        t.x = exp(t_1 A_1 + ... + t_k A_k) x,    with the velocities A_1 x, ..., A_k x at t = 0

    The group is infinite: elements, given by their times t, `[k]`, can be drawn but not listed. Products of them are
    the whole group.
    """

    def __init__(self, generators: npt.NDArray[np.float64]) -> None:
        """Sets the generators A, `[k, n, n]`; use `flow`, which checks them."""
        count, size = generators.shape[:2]
        name = f"<flow of {count} generators on {size} coordinates>"
        super().__init__(name, None, size, lambda times: _exponential(np.tensordot(times, generators, 1)))
        self._generators = generators

    @property
    def is_group(self) -> bool:
        return True

    @property
    def is_finite(self) -> bool:
        return False

    @property
    def abstract_group(self) -> Group:
        raise ValueError(f"{self!r} has infinitely many elements, so none are listed. Draw some by sample(num, seed).")

    @property
    def generators(self) -> Elements:
        """The generators A, `[k, n, n]`: velocities, not elements of the group."""
        return self._generators

    def sample(self, num: int, seed: int) -> Elements:
        """Draws times from the standard normal distribution, `[num, k]`; the same ones for each flow of k generators.

        Raises:
          ValueError: If an argument is too small.
        """
        rng = np.random.default_rng(at_least("seed", seed, 0))
        return rng.normal(size=(at_least("num", num, 1), len(self._generators)))


def flow(generators: npt.ArrayLike) -> FlowAction:
    """Makes the action of the connected group with given generators on the last axis of an example.

    >>> turns = flow([[[0.0, -1.0], [1.0, 0.0]]])  # The rotations of the plane, by t radians.
    >>> turns.apply([[np.pi / 2]], [[1.0, 0.0]]).round(6).tolist()
    [[[0.0, 1.0]]]

    Args:
      generators: Real matrices A, `[k, n, n]`, at least one: skew-symmetric for rotations, the identity for scalings.

    Raises:
      TypeError: If an entry is not a real number.
      ValueError: If there is no generator, they are not square, or an entry is not finite.
    """
    given: Any = array("generators", generators)
    if given.dtype.kind not in "iuf":
        raise TypeError(f"generators (of type {given.dtype}) must be real numbers.")
    if given.ndim != 3 or not given.size or given.shape[1] != given.shape[2]:
        raise ValueError(
            f"generators of shape {given.shape} must be square matrices, [generators, n, n], at least one."
        )
    if not np.isfinite(given).all():
        raise ValueError(f"generators (={shown(given)}) must be finite.")
    return FlowAction(given.astype(np.float64))


def _exponential(matrices: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Computes the exponentials of matrices, `[..., n, n]`, by the series of a small part and repeated squaring."""
    norm = np.abs(matrices).sum(axis=-1).max(initial=0.0)
    squarings = max(int(np.ceil(np.log2(norm))) + 1, 0) if norm else 0
    small = matrices / 2.0**squarings
    term = np.broadcast_to(np.eye(matrices.shape[-1]), matrices.shape)
    result = term
    for order in range(1, TERMS):
        term = term @ small / order
        result = result + term
    for _ in range(squarings):
        result = result @ result
    return result
