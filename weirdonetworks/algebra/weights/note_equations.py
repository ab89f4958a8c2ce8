"""The linear equations between weights in the note "Permutation-invariant neural networks" (YKY, 2019).

The note equates the coefficients of `y_h` and `y_k` under the transposition of h and k. One rule gives its systems: the
weight of output h at a row of indices equals that of output k at the row with h and k exchanged. With redundant indices
the weights of x_h x_k and x_k x_h are an exception: they belong to one monomial, so only their sums must be equal, the
additive constraint.

With redundant indices the rule is stricter than equivariance, which constrains only the sum w[k, i, j] + w[k, j, i] for
each i != j (`definition_equations`); both allow the same functions.

That (21) is this rule is a reconstruction: it has seven families of equalities and one of sums, and as many classes as
the note's table (22). The seven families are also those of the author's program that counts the classes
(SymNN-count-colors-3 in github.com/Cybernetic1/symmetric-polynomial-NN).
"""

import collections
import dataclasses
import itertools
import math
from typing import Any

import numpy as np

from weirdonetworks.algebra.arrays import Ints, at_least, written
from weirdonetworks.algebra.groups.orbits import Orbits, join
from weirdonetworks.algebra.groups.permutation_groups import symmetric_group
from weirdonetworks.algebra.polynomials import monomials
from weirdonetworks.algebra.weights.weight_orbits import images, index_numbers, index_rows

ENTRIES = 10**8  # The largest dense matrix of equations: 800 MB, and a few copies while it is built.


@dataclasses.dataclass(frozen=True, eq=False)
class LinearEquations:
    """Homogeneous linear equations between weights: equalities of two weights, and sums equal to zero.

    >>> equations = linear_equations(3)  # Equal diagonal entries, and equal ones off it.
    >>> equations.classes.labels.tolist(), equations.dimension()
    ([[0, 1, 1], [1, 0, 1], [1, 1, 0]], 2)

    Attributes:
      classes: The classes of weights under the equalities; labels `[outputs, weights]`.
      additive: The coefficients of the other equations, `[equations, classes]`.
    """

    classes: Orbits
    additive: Ints

    def dimension(self) -> int:
        """Computes the dimension of the solution space exactly: the number of free parameters."""
        from sympy import QQ
        from sympy.polys.matrices import DomainMatrix

        rows: dict[int, dict[int, Any]] = collections.defaultdict(dict)
        for row, column in np.argwhere(self.additive).tolist():
            rows[row][column] = QQ(int(self.additive[row, column]))
        return len(self.classes) - DomainMatrix.from_dod(rows, self.additive.shape, QQ).rank()

    def matrix(self) -> Ints:
        """Returns the coefficients of all equations, `[equations, outputs * weights]`.

        First come the equalities of each weight with the first of its class, then the additive equations.

        >>> linear_equations(2).matrix().tolist()
        [[0, 1, -1, 0], [1, 0, 0, -1]]

        Raises:
          ValueError: If the matrix would have more than 10^8 entries.
        """
        labels, first = self.classes.labels.ravel(), self.classes.representatives
        others = np.setdiff1d(np.arange(labels.size), first)
        _check_entries(len(others) + len(self.additive), labels.size)
        equal = np.zeros((len(others), labels.size), np.intp)
        equal[np.arange(len(others)), first[labels[others]]] = 1
        equal[np.arange(len(others)), others] = -1
        sums = np.zeros((len(self.additive), labels.size), np.intp)
        sums[:, first] = self.additive
        return np.concatenate([equal, sums])


def linear_equations(n: int) -> LinearEquations:
    """Builds equation (15), for the linear layer `y_k = sum_i w[k, i] x_i`.

    For all h != k and i outside {h, k}: w[h, i] = w[k, i], w[h, h] = w[k, k], w[h, k] = w[k, h].

    >>> linear_equations(4).dimension()
    2

    Args:
      n: The number of inputs and outputs, at least 1.

    Raises:
      ValueError: If n is below 1, or the equations have more than 10^8 coefficients.
    """
    return _transposition_equations(n, 1, ordered=True)


def quadratic_equations(n: int) -> LinearEquations:
    """Builds equation (21), for the quadratic layer `y_k = sum_ij w[k, i, j] x_i x_j` in redundant indices.

    For all h != k and i, j outside {h, k}, seven families of equalities,

        w[h, i, j] = w[k, i, j]    w[h, h, h] = w[k, k, k]    w[h, k, k] = w[k, h, h]
        w[h, h, j] = w[k, k, j]    w[h, j, h] = w[k, j, k]    w[h, k, j] = w[k, h, j]    w[h, j, k] = w[k, j, h]

    and the additive one, w[h, h, k] + w[h, k, h] = w[k, h, k] + w[k, k, h].

    >>> equations = quadratic_equations(4)
    >>> len(equations.classes), equations.dimension()
    (11, 8)

    Args:
      n: The number of inputs and outputs, at least 1.

    Raises:
      ValueError: If n is below 1, or the equations have more than 10^8 coefficients.
    """
    return _transposition_equations(n, 2, ordered=False)


def ordered_quadratic_equations(n: int) -> LinearEquations:
    """Builds equations (26) and (27), for the quadratic layer with one weight per monomial: equalities only.

    >>> len(ordered_quadratic_equations(4).classes)
    4

    Args:
      n: The number of inputs and outputs, at least 1.

    Raises:
      ValueError: If n is below 1, or the equations have more than 10^8 coefficients.
    """
    return _transposition_equations(n, 2, ordered=True)


def definition_equations(n: int, degree: int, ordered: bool) -> LinearEquations:
    """Builds the equations F(s.x) = s.F(x) between the coefficients of a layer, for generators s of S_n.

    The coefficients are the weights with ordered indices, and sums of weights with redundant indices.

    >>> definition_equations(4, 2, ordered=False).dimension()  # 4 functions, 4 * 6 zero functions.
    28

    Args:
      n: The number of inputs and outputs, at least 1.
      degree: The degree, at least 1.
      ordered: Whether there is one weight per monomial, or one per row of indices.

    Raises:
      ValueError: If n or the degree is below 1, or the equations have more than 10^8 coefficients.
    """
    n, degree = at_least("n", n, 1), at_least("degree", degree, 1)
    generators = symmetric_group(n).generators
    _check_entries(len(generators) * n * monomials.count(n, degree), _weights(n, degree, ordered))
    rows = index_rows(n, degree, ordered)
    summed = (monomials.index_of(rows, n) == np.arange(monomials.count(n, degree))[:, None]).astype(np.intp)
    coefficients = np.kron(np.eye(n, dtype=np.intp), summed)  # [outputs * monomials, outputs * weights]
    moved = [coefficients[images(s, s, degree)] for s in generators]
    each = Orbits(np.arange(n * len(rows)).reshape(n, -1))
    return LinearEquations(each, np.concatenate([image - coefficients for image in moved]))


def _transposition_equations(n: int, degree: int, ordered: bool) -> LinearEquations:
    """Equates the weights of outputs h and k under the transposition of h and k, for all h < k; degree 1 or 2."""
    n = at_least("n", n, 1)
    _check_entries(math.comb(n, 2), _weights(n, degree, ordered))
    rows = index_rows(n, degree, ordered)
    number = len(rows)
    maps, sums = [np.arange(n * number)], [np.zeros((0, n * number), np.intp)]
    for h, k in itertools.combinations(range(n), 2):
        exchange = np.arange(n)
        exchange[[h, k]] = k, h
        moved = exchange[rows]
        image = monomials.index_of(moved, n) if ordered else index_numbers(moved, n)
        # The two weights of the monomial x_h x_k.
        alike = (image != np.arange(number)) & (monomials.index_of(moved, n) == monomials.index_of(rows, n))
        plain = np.flatnonzero(~alike)
        equal = np.arange(n * number)
        equal[h * number + plain], equal[k * number + plain] = k * number + image[plain], h * number + image[plain]
        maps.append(equal)
        if np.any(alike):
            difference = np.zeros((1, n, number), np.intp)
            difference[0, h, alike], difference[0, k, alike] = 1, -1
            sums.append(difference.reshape(1, -1))
    classes = join(maps, n * number)
    member = classes.labels[:, None] == np.arange(len(classes))
    return LinearEquations(Orbits(classes.labels.reshape(n, -1)), np.concatenate(sums) @ member)


def _weights(n: int, degree: int, ordered: bool) -> int:
    """Counts the weights of a layer of n inputs and n outputs."""
    return n * (monomials.count(n, degree) if ordered else n**degree)


def _check_entries(equations: int, weights: int) -> None:
    if equations * weights > ENTRIES:
        raise ValueError(
            f"{written(equations)} equations of {written(weights)} weights have {written(equations * weights)} "
            f"coefficients, and must have at most {ENTRIES:,}. Use fewer inputs or a lower degree."
        )
