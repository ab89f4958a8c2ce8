"""The monomials of a polynomial layer, the positions of their weights, and their conversion to SymPy."""

import itertools
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra import monomials as orders
from weirdonetworks.algebra.arrays import Ints, shown
from weirdonetworks.algebra.polynomials.rings import numbered_ring
from weirdonetworks.nets.polynomial.monomial_parts import Part, every, listed, without_squares


class Layout:
    """The monomials of a polynomial layer, divided into parts.

    >>> layout = Layout(range(1, 3), interaction_only=True)
    >>> layout.cut(3)
    >>> layout.table(2).tolist()
    [[0, 1], [0, 2], [1, 2]]

    Attributes:
      parts: The parts of each degree, once the number of variables is known.

    Args:
      degrees: The degrees of the monomials.
      interaction_only: Whether to exclude monomials with squares.
      chosen: The monomials to use, each once, as a table of exponents or index tuples; None for all.
    """

    def __init__(
        self, degrees: range, interaction_only: bool, chosen: npt.NDArray[Any] | Iterable[Sequence[int]] | None = None
    ) -> None:
        self.degrees = degrees
        self.interaction_only = interaction_only
        self.parts: dict[int, list[Part]] = {}
        self._width = None
        self._chosen = None if chosen is None else self._read(chosen)

    def _read(self, chosen: npt.NDArray[Any] | Iterable[Sequence[int]]) -> dict[int, Ints]:
        """Groups chosen monomials by degree."""
        if isinstance(chosen, np.ndarray):
            if chosen.ndim != 2 or chosen.dtype.kind not in "iu" or (chosen.size and chosen.min() < 0):
                raise ValueError(f"monomials (={shown(chosen)}) must be integer exponents >= 0, [monomials, n].")
            self._width = chosen.shape[1]
            rows = [indices(row) for row in chosen.tolist()]
        else:
            rows = _sorted_rows(chosen)
        if not rows:
            raise ValueError("monomials must hold at least one.")
        seen = set()
        for row in rows:
            if len(row) not in self.degrees:
                allowed = f"[{self.degrees[0]}, {self.degrees[-1]}]"
                raise ValueError(f"monomials: the degree (={len(row)}) of {row} must be in {allowed}.")
            if self.interaction_only and len(set(row)) < len(row):
                raise ValueError(f"monomials: {row} must have no square, for interaction_only is set.")
            if row in seen:
                raise ValueError(f"monomials must be distinct, and {row} occurs twice.")
            seen.add(row)
        by_degree = itertools.groupby(sorted(sorted(rows), key=len), key=len)
        return {degree: np.array(list(group)) for degree, group in by_degree}

    def count(self, n: int) -> int:
        """Counts the monomials in n variables by a formula."""
        if self._chosen is not None:
            return sum(map(len, self._chosen.values()))
        lowest, highest = self.degrees[0], self.degrees[-1]
        if self.interaction_only:
            return sum(math.comb(n, degree) for degree in range(lowest, min(highest, n) + 1))
        return math.comb(n + highest, n) - math.comb(n + lowest - 1, n)  # Those up to a degree d number C(n + d, n).

    def cut(self, n: int) -> None:
        """Divides the monomials in n variables into parts; raises a `ValueError` if they need others or are none."""
        self.n = n
        if self._chosen is None:
            parts = {degree: every(n, degree, self.interaction_only) for degree in self.degrees}
            self.parts = {degree: each for degree, each in parts.items() if each}
            if not self.parts:
                raise ValueError(f"degree (={self.degrees[-1]}) leaves no monomial without a square in {n} variables.")
            return
        if self._width not in (None, n):
            raise ValueError(f"monomials are in {self._width} variables, and the inputs have width {n}.")
        for rows in self._chosen.values():
            if rows.min() < 0 or rows.max() >= n:
                wrong = int(rows.max() if rows.max() >= n else rows.min())
                raise ValueError(f"monomials: index (={wrong}) must be in [0, {n}), the inputs having width {n}.")
        self.parts = {degree: listed(rows) for degree, rows in self._chosen.items()}

    def all_parts(self) -> list[Part]:
        """Lists the parts of all degrees."""
        return [part for parts in self.parts.values() for part in parts]

    def size(self, degree: int) -> int:
        """Counts the monomials of a degree."""
        return sum(len(part.rows) for part in self.parts[degree])

    def table(self, degree: int) -> Ints:
        """Lists the monomials of a degree in the order of `algebra.monomials`, as index rows."""
        if self._chosen is not None:
            return self._chosen[degree]
        return without_squares(self.n, degree) if self.interaction_only else orders.monomials(self.n, degree)

    def places(self, degree: int, rows: Ints) -> Ints:
        """Finds the row indices of monomials in `table(degree)`."""
        if self._chosen is None and not self.interaction_only:
            return orders.index_of(rows, self.n)
        if self._chosen is None:
            return orders.index_of(rows - np.arange(degree), self.n - degree + 1)
        return np.searchsorted(orders.index_of(self._chosen[degree], self.n), orders.index_of(rows, self.n))


def _sorted_rows(chosen: Iterable[Sequence[int]]) -> list[tuple[int, ...]]:
    """Sorts each index tuple in ascending order."""
    rows = []
    for row in chosen if np.iterable(chosen) else [chosen]:
        try:
            rows.append(tuple(sorted(map(operator.index, row))))
        except TypeError:
            raise TypeError(
                f"monomials must be tuples of integers such as (0, 0, 2) for x0^2 x2, and {row!r} is not."
            ) from None
    return rows


def indices(exponents: Sequence[int]) -> tuple[int, ...]:
    """Converts exponents to an index tuple.

    >>> indices([2, 0, 1])
    (0, 0, 2)
    """
    return tuple(index for index, exponent in enumerate(exponents) for _ in range(exponent))


def exponents(rows: Iterable[Sequence[int]], n: int) -> list[tuple[int, ...]]:
    """Converts index tuples to exponents.

    >>> exponents([(0, 0, 2)], 3)
    [(2, 0, 1)]
    """
    return [tuple(np.bincount(np.array(row, np.intp), minlength=n).tolist()) for row in rows]


def real_ring(n: int) -> Any:
    """Makes the SymPy ring of polynomials in x0, ..., x{n-1} with floating-point coefficients."""
    from sympy import RR

    return numbered_ring(n, RR)
