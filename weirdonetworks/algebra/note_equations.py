"""The equations of the note "Permutation-invariant neural networks" (YKY, 2019), as exact linear systems.

The note lets the transposition of h and k act, compares the coefficients of `y_h` with those of `y_k`, and states what
must be equal. One rule gives its systems: the weight of output h at a row of indices equals that of output k at the row
with h and k exchanged. In redundant indices the weights of x_h x_k and x_k x_h are the exception: they belong to one
monomial, so their sums are equal, which is the additive constraint.

In redundant indices the rule asks for more than equivariance does, which constrains the sum w[k, i, j] + w[k, j, i]
alone for every i != j; `definition_equations` are those of the definition, for comparison. No function is lost.

That (21) is this rule is a reconstruction: it gives seven families of equalities and one of sums, and as many classes
as the note's table (22) has. The seven families are also those of the author's program that counts the classes
(SymNN-count-colors-3 in github.com/Cybernetic1/symmetric-polynomial-NN).
"""

import collections
import dataclasses
import itertools
import math
from typing import Any

import numpy as np

from weirdonetworks.algebra import monomials
from weirdonetworks.algebra.arrays import Ints, at_least, written
from weirdonetworks.algebra.groups import symmetric_group
from weirdonetworks.algebra.orbits import Orbits, join
from weirdonetworks.algebra.weight_orbits import images, index_numbers, index_rows

ENTRIES = 10**8  # Entries of a dense matrix of equations: 800 MB, and a few copies while it is made.


@dataclasses.dataclass(frozen=True, eq=False)
class LinearEquations:
    """Homogeneous linear equations between weights: some say that two are equal, the others that a sum is zero.

    Attributes:
      classes: The classes of weights that are equal by the equalities alone; labels `[outputs, weights]`.
      additive: The other equations as coefficients of the classes, `[equations, classes]`.
    """

    classes: Orbits
    additive: Ints

    def dimension(self) -> int:
        """Finds the dimension of the space of weights that satisfy all equations, exactly: the free parameters."""
        from sympy import QQ
        from sympy.polys.matrices import DomainMatrix

        rows: dict[int, dict[int, Any]] = collections.defaultdict(dict)
        for row, column in np.argwhere(self.additive).tolist():
            rows[row][column] = QQ(int(self.additive[row, column]))
        return len(self.classes) - DomainMatrix.from_dod(rows, self.additive.shape, QQ).rank()

    def matrix(self) -> Ints:
        """Writes all equations as a matrix of integers, `[equations, weights]`, of weights flattened.

        First come the equalities of each weight to the first of its class, then the additive equations.

        >>> linear_equations(2).matrix().tolist()
        [[0, 1, -1, 0], [1, 0, 0, -1]]

        Raises:
          ValueError: If it is too large to write out.
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
    """Writes equation (15), of the linear layer `y_k = sum_i w[k, i] x_i`.

    For all h != k and i outside {h, k}: w[h, i] = w[k, i], w[h, h] = w[k, k], w[h, k] = w[k, h].

    >>> linear_equations(4).dimension()
    2

    Args:
      n: The number of inputs and of outputs, at least 1.

    Raises:
      ValueError: If n is below 1, or the equations are too large to write out.
    """
    return _transposition_equations(n, 1, ordered=True)


def quadratic_equations(n: int) -> LinearEquations:
    """Writes equation (21), of the quadratic layer `y_k = sum_ij w[k, i, j] x_i x_j` in redundant indices.

    For all h != k and i, j outside {h, k}, seven families of equalities,

        w[h, i, j] = w[k, i, j]    w[h, h, h] = w[k, k, k]    w[h, k, k] = w[k, h, h]
        w[h, h, j] = w[k, k, j]    w[h, j, h] = w[k, j, k]    w[h, k, j] = w[k, h, j]    w[h, j, k] = w[k, j, h]

    and the additive one, w[h, h, k] + w[h, k, h] = w[k, h, k] + w[k, k, h].

    >>> equations = quadratic_equations(4)
    >>> len(equations.classes), equations.dimension()
    (11, 8)

    Args:
      n: The number of inputs and of outputs, at least 1.

    Raises:
      ValueError: If n is below 1, or the equations are too large to write out.
    """
    return _transposition_equations(n, 2, ordered=False)


def ordered_quadratic_equations(n: int) -> LinearEquations:
    """Writes equations (26) and (27), of the quadratic layer with one weight a monomial: equalities only.

    >>> len(ordered_quadratic_equations(4).classes)
    4

    Args:
      n: The number of inputs and of outputs, at least 1.

    Raises:
      ValueError: If n is below 1, or the equations are too large to write out.
    """
    return _transposition_equations(n, 2, ordered=True)


def definition_equations(n: int, degree: int, ordered: bool) -> LinearEquations:
    """Writes what F(s.x) = s.F(x) says of a layer's coefficients, for generators s of all permutations of n points.

    The coefficients are the weights with ordered indices, and sums of weights with redundant ones.

    >>> definition_equations(4, 2, ordered=False).dimension()  # 4 functions, and 4 * 6 weights that cancel out.
    28

    Args:
      n: The number of inputs and of outputs, at least 1.
      degree: The degree, at least 1.
      ordered: Whether there is one weight a monomial, or one a row of indices.

    Raises:
      ValueError: If n or the degree is below 1, or the equations are too large to write out.
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
    """Compares the weights of outputs h and k under the transposition of h and k, for all h < k; degree 1 or 2."""
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
        # Two weights of the one monomial that these rows make: x_h x_k.
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
            f"coefficients, and must have at most {ENTRIES:,}: use fewer inputs or a lower degree."
        )
