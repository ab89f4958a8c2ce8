"""Linear algebra modulo a prime on NumPy arrays, and rational reconstruction.

Primes are below 2^26, so that sums of a few products of residues fit a 64-bit integer, and matrix products can be
computed in float64 without rounding by splitting one factor into high and low halves.
"""

import math
from collections.abc import Sequence

import numpy as np

from weirdonetworks.algebra.arrays import Ints

LARGEST = 2**26
PANEL = 64  # Rows eliminated one by one between matrix products with all others.
SUMMED = 2**14  # A sum of this many products of a half (< 2^13) and a residue (< 2^26) is below 2^53.


def prime_below(number: int) -> int:
    """Returns the largest prime below a number above 2."""
    from sympy import prevprime

    return int(prevprime(number))


def matmul(a: Ints, b: Ints, prime: int) -> Ints:
    """Multiplies matrices of residues, `[m, k]` by `[k, n]`.

    >>> matmul(np.array([[2, 3]]), np.array([[5], [7]]), 11).tolist()
    [[9]]
    """
    product = np.zeros((a.shape[0], b.shape[1]), np.intp)
    for start in range(0, a.shape[1], SUMMED):
        left, right = a[:, start : start + SUMMED], b[start : start + SUMMED].astype(np.float64)
        high, low = np.divmod(left, 2**13)
        upper = (high.astype(np.float64) @ right).astype(np.intp) % prime
        product += (upper * 2**13 + (low.astype(np.float64) @ right).astype(np.intp)) % prime
    return product % prime


def echelon(matrix: Ints, prime: int, most: int | None = None) -> tuple[Ints, Ints]:
    """Computes the reduced row echelon form of a matrix of residues.

    >>> pivots, rows = echelon(np.array([[2, 4, 1], [1, 2, 1]]), 7)
    >>> pivots.tolist(), rows.tolist()
    ([0, 2], [[1, 2, 0], [0, 0, 1]])

    Args:
      matrix: Residues, `[rows, columns]`.
      prime: The prime.
      most: An upper bound on the rank, at which elimination stops; None for none.

    Returns:
      The pivot columns, `[rank]`, increasing, and the non-zero rows of the form, `[rank, columns]`.
    """
    columns = matrix.shape[1]
    pivots, rows = np.zeros(0, np.intp), np.zeros((0, columns), np.intp)
    for start in range(0, len(matrix), PANEL):
        if len(pivots) >= (columns if most is None else most):
            break
        panel = matrix[start : start + PANEL]
        panel = (panel - matmul(panel[:, pivots], rows, prime)) % prime
        found, panel = _eliminate(panel, prime)
        # A row has zeros left of its pivot, so new rows do not change the leading entries of the old ones.
        rows = np.vstack([(rows - matmul(rows[:, found], panel, prime)) % prime, panel])
        pivots = np.concatenate([pivots, found])
    order = np.argsort(pivots)
    return pivots[order], rows[order]


def cokernel(relations: Ints, prime: int, least: int = 0) -> tuple[Ints, Ints]:
    """Computes the quotient of a space by the span of rows.

    >>> basis, projection = cokernel(np.array([[1, 2, 0]]), 7)  # e_0 = -2 e_1
    >>> basis.tolist(), projection.tolist()
    ([1, 2], [[5, 0], [1, 0], [0, 1]])

    Args:
      relations: Residues, `[relations, size]`.
      prime: The prime.
      least: A lower bound on the dimension of the quotient, at which elimination stops.

    Returns:
      The indices of unit vectors that are a basis of the quotient, `[dimension]`, and the images of all unit vectors in
      that basis, `[size, dimension]`.
    """
    size = relations.shape[1]
    pivots, rows = echelon(relations, prime, size - least)
    basis = np.setdiff1d(np.arange(size), pivots)
    projection = np.zeros((size, len(basis)), np.intp)
    projection[basis, np.arange(len(basis))] = 1
    projection[pivots] = -rows[:, basis] % prime
    return basis, projection


def kernel(matrix: Ints, prime: int) -> tuple[Ints, Ints]:
    """Computes the kernel of a matrix of residues.

    >>> leading, vectors = kernel(np.array([[1, 1, 1]]), 7)
    >>> leading.tolist(), vectors.tolist()
    ([0, 1], [[1, 0, 6], [0, 1, 6]])

    Returns:
      A basis in reduced row echelon form: the leading columns, `[dimension]`, and the vectors, `[dimension, columns]`.
    """
    # With elimination from the right, the columns without a pivot are the leading columns of the kernel.
    free, projection = cokernel(matrix[:, ::-1], prime)
    return matrix.shape[1] - 1 - free[::-1], projection.T[::-1, ::-1]


def inverse(value: int, prime: int) -> int:
    """Inverts a residue modulo a prime.

    Raises:
      ZeroDivisionError: If the prime divides the value.
    """
    if value % prime == 0:
        raise ZeroDivisionError(f"{prime} divides {value}.")
    return pow(value, -1, prime)


def invert(matrix: Ints, prime: int) -> Ints:
    """Inverts an invertible matrix of residues."""
    size = len(matrix)
    _, rows = echelon(np.hstack([matrix % prime, np.eye(size, dtype=np.intp)]), prime)
    return rows[:, size:]


def rationals(residues: Sequence[int], modulus: int) -> list[tuple[int, int]] | None:
    """Reconstructs fractions from residues (Wang 1981), with numerators and denominators up to sqrt(modulus / 2).

    >>> rationals([3, 338], 1013)
    [(3, 1), (1, 3)]

    Args:
      residues: Integers in [0, modulus).
      modulus: A product of distinct primes.

    Returns:
      Pairs (numerator, denominator > 0), or None if a residue has no such fraction.
    """
    bound, known = math.isqrt(modulus // 2), {0: (0, 1)}
    for residue in residues:
        if residue in known:
            continue
        (upper, lower), (above, below) = (modulus, residue), (0, 1)
        while lower > bound:  # Euclid's algorithm; every remainder is below * residue modulo the modulus.
            step = upper // lower
            (upper, lower), (above, below) = (lower, upper - step * lower), (below, above - step * below)
        if abs(below) > bound or math.gcd(lower, below) != 1:
            return None
        known[residue] = (lower, below) if below > 0 else (-lower, -below)
    return [known[residue] for residue in residues]


def _eliminate(panel: Ints, prime: int) -> tuple[Ints, Ints]:
    found, pivot_rows = [], []
    panel = panel.copy()
    for index in range(len(panel)):
        occupied = np.flatnonzero(panel[index])
        if not len(occupied):
            continue
        pivot = occupied[0]
        panel[index] = panel[index] * pow(int(panel[index, pivot]), -1, prime) % prime
        factors = panel[:, pivot].copy()
        factors[index] = 0
        others = np.flatnonzero(factors)
        panel[others] = (panel[others] - factors[others, None] * panel[index]) % prime
        found.append(pivot)
        pivot_rows.append(index)
    return np.array(found, np.intp), panel[pivot_rows]
