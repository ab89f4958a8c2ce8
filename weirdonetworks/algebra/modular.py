"""Linear algebra modulo a prime on NumPy arrays, and the way back from residues to rationals.

Exact results over the rationals come from arithmetic modulo primes below 2^26: sums of a few such products fit a 64-bit
integer, and matrix products run in floating point without rounding once a factor is split into two halves.
"""

import math
from collections.abc import Sequence

import numpy as np

from weirdonetworks.algebra.arrays import Ints

LARGEST = 2**26
PANEL = 64  # Rows eliminated one by one before a matrix product takes care of all others.
SUMMED = 2**14  # A half below 2^13 times a residue below 2^26, so many times, stays below 2^53.


def prime_below(number: int) -> int:
    """Gives the largest prime below a number above 2."""
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
    """Brings a matrix of residues to reduced row echelon form.

    >>> pivots, rows = echelon(np.array([[2, 4, 1], [1, 2, 1]]), 7)
    >>> pivots.tolist(), rows.tolist()
    ([0, 2], [[1, 2, 0], [0, 0, 1]])

    Args:
      matrix: Residues, `[rows, columns]`.
      prime: The prime.
      most: A bound on the rank, if one is known: the rows left over once it is reached are not looked at.

    Returns:
      The pivot columns, `[rank]`, rising, and the non-zero rows of the form, `[rank, columns]`.
    """
    columns = matrix.shape[1]
    pivots, rows = np.zeros(0, np.intp), np.zeros((0, columns), np.intp)
    for start in range(0, len(matrix), PANEL):
        if len(pivots) >= (columns if most is None else most):
            break
        panel = matrix[start : start + PANEL]
        panel = (panel - matmul(panel[:, pivots], rows, prime)) % prime
        found, panel = _eliminate(panel, prime)
        # A row has zeros left of its pivot, so the new rows cannot disturb the leading entries of the old ones.
        rows = np.vstack([(rows - matmul(rows[:, found], panel, prime)) % prime, panel])
        pivots = np.concatenate([pivots, found])
    order = np.argsort(pivots)
    return pivots[order], rows[order]


def cokernel(relations: Ints, prime: int, least: int = 0) -> tuple[Ints, Ints]:
    """Divides a space by the span of some rows.

    >>> kept, projection = cokernel(np.array([[1, 2, 0]]), 7)  # e_0 = -2 e_1
    >>> kept.tolist(), projection.tolist()
    ([1, 2], [[5, 0], [1, 0], [0, 1]])

    Args:
      relations: Residues, `[relations, size]`.
      prime: The prime.
      least: A bound from below on the dimension left, if one is known.

    Returns:
      The unit vectors that are a basis of the quotient, as indices `[left]`, and the images of all of them in that
      basis, `[size, left]`.
    """
    size = relations.shape[1]
    pivots, rows = echelon(relations, prime, size - least)
    kept = np.setdiff1d(np.arange(size), pivots)
    projection = np.zeros((size, len(kept)), np.intp)
    projection[kept, np.arange(len(kept))] = 1
    projection[pivots] = -rows[:, kept] % prime
    return kept, projection


def kernel(matrix: Ints, prime: int) -> tuple[Ints, Ints]:
    """Finds the vectors that a matrix of residues takes to zero.

    >>> leading, vectors = kernel(np.array([[1, 1, 1]]), 7)
    >>> leading.tolist(), vectors.tolist()
    ([0, 1], [[1, 0, 6], [0, 1, 6]])

    Returns:
      A basis in reduced row echelon form: the leading columns, `[dimension]`, and the vectors, `[dimension, columns]`.
    """
    # Eliminated from the right, the columns left over are the leading ones of the kernel.
    kept, projection = cokernel(matrix[:, ::-1], prime)
    return matrix.shape[1] - 1 - kept[::-1], projection.T[::-1, ::-1]


def inverse(value: int, prime: int) -> int:
    """Inverts a residue.

    Raises:
      ZeroDivisionError: If the prime divides the value.
    """
    if value % prime == 0:
        raise ZeroDivisionError(f"{prime} divides {value}.")
    return pow(value, -1, prime)


def invert(matrix: Ints, prime: int) -> Ints:
    """Inverts a regular matrix of residues."""
    size = len(matrix)
    _, rows = echelon(np.hstack([matrix % prime, np.eye(size, dtype=np.intp)]), prime)
    return rows[:, size:]


def rationals(residues: Sequence[int], modulus: int) -> list[tuple[int, int]] | None:
    """Finds the fractions with given residues (Wang 1981): numerator and denominator at most sqrt(modulus / 2).

    >>> rationals([3, 338], 1013)
    [(3, 1), (1, 3)]

    Args:
      residues: Integers in [0, modulus).
      modulus: A product of distinct primes.

    Returns:
      Pairs of numerator and denominator > 0, or None if a residue has no such fraction.
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
    found, kept = [], []
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
        kept.append(index)
    return np.array(found, np.intp), panel[kept]
