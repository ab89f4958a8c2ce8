"""Monomials of one degree as index rows: listing, ranking, exponents, and orbits under permutations.

A monomial of degree d in x_0, ..., x_{n-1} is written as its d indices in increasing order, `[0, 0, 2]` for x_0^2 x_2,
and the monomials of a degree are ordered lexicographically by these rows:

    x_0^2, x_0 x_1, ..., x_0 x_{n-1}, x_1^2, x_1 x_2, ..., x_{n-1}^2

This is the order of `itertools.combinations_with_replacement`, and at degree 2 that of `numpy.triu_indices`. The index
of a monomial in it, its rank, is computed from the row by binomial coefficients (the combinatorial number system), and
the row from the rank, without a table of all C(n + d - 1, d) monomials.
"""

import functools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, array, at_least, shown, written
from weirdonetworks.algebra.groups.orbits import Orbits, join
from weirdonetworks.algebra.groups.permutations import as_permutations

CHUNK = 2**18  # Rows processed at a time: a few megabytes.
LISTED = 2**30  # The most indices of monomials that are listed: 8 GB.
TABULATED = 2**27  # The most binomial coefficients that are tabulated: 1 GB.


def count(n: int, degree: int) -> int:
    """Counts the monomials of one degree: C(n + degree - 1, degree).

    Those of all degrees up to d number C(n + d, d), which is `count(n + 1, d)`.

    >>> count(784, 2)
    307720

    Args:
      n: The number of variables, at least 1.
      degree: The degree, at least 0.

    Raises:
      ValueError: If an argument is too small.
    """
    n, degree = at_least("n", n, 1), at_least("degree", degree, 0)
    return math.comb(n + degree - 1, degree)


def monomials(n: int, degree: int) -> Ints:
    """Lists the monomials of one degree.

    >>> monomials(3, 2).tolist()
    [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]]

    Args:
      n: The number of variables, at least 1.
      degree: The degree, at least 0. Degree 0 has one monomial, the empty row.

    Returns:
      The index rows, `[count(n, degree), degree]`, each increasing, in lexicographic order.

    Raises:
      ValueError: If an argument is too small, or there are 2^62 monomials or more.
    """
    return at(np.arange(_listed(n, degree)), n, degree)


def at(ranks: npt.ArrayLike, n: int, degree: int) -> Ints:
    """Returns the index rows of monomials of given ranks; the inverse of `index_of`.

    >>> at([0, 307719], 784, 2).tolist()
    [[0, 0], [783, 783]]

    Args:
      ranks: Integers in [0, count(n, degree)), of any shape.
      n: The number of variables.
      degree: The degree.

    Returns:
      The index rows, `[*ranks.shape, degree]`.

    Raises:
      ValueError: If a rank is out of range.
    """
    number, binomial = _number(n, degree), _binomials(n, degree)
    rest = number - 1 - _checked("ranks", ranks, number, f"for n = {n} and degree = {degree}")
    rows = np.empty((*rest.shape, degree), np.intp)
    for place in range(degree):
        column = binomial[degree - place]
        top = np.searchsorted(column, rest, side="right") - 1
        rest = rest - column[top]
        rows[..., place] = n + degree - 2 - place - top
    return rows


def index_of(indices: npt.ArrayLike, n: int) -> Ints:
    """Returns the ranks of monomials.

    >>> index_of([[0, 0], [2, 1]], 3).tolist()
    [0, 4]

    Args:
      indices: Index rows, `[..., degree]`, each in any order.
      n: The number of variables.

    Returns:
      The ranks, of shape `[...]`.

    Raises:
      ValueError: If an index is not in [0, n).
    """
    return _ranks(_checked_rows(indices, n), n)


def to_exponents(indices: npt.ArrayLike, n: int) -> Ints:
    """Converts index rows to exponents.

    >>> to_exponents([[0, 0, 2]], 3).tolist()
    [[2, 0, 1]]

    Args:
      indices: Index rows, `[..., degree]`.
      n: The number of variables.

    Returns:
      The exponents, `[..., n]`.

    Raises:
      ValueError: If an index is not in [0, n).
    """
    rows = _checked_rows(indices, n)
    at_least("n", n, 1, LISTED // max(math.prod(rows.shape[:-1]), 1))
    exponents = np.zeros((*rows.shape[:-1], n), np.intp)
    flat = exponents.reshape(-1, n)
    for column in rows.reshape(len(flat), rows.shape[-1]).T:
        flat[np.arange(len(flat)), column] += 1
    return exponents


def from_exponents(exponents: npt.ArrayLike) -> Ints:
    """Converts exponents of one common degree to index rows; the inverse of `to_exponents`.

    >>> from_exponents([[2, 0, 1], [0, 3, 0]]).tolist()
    [[0, 0, 2], [1, 1, 1]]

    Args:
      exponents: Non-negative integers, `[monomials, n]`, each row of the same sum.

    Returns:
      The index rows, `[monomials, degree]`.

    Raises:
      ValueError: If an exponent is negative or the degrees differ.
    """
    table = array("exponents", exponents)
    if table.ndim != 2 or table.dtype.kind not in "iu" or (table.size and table.min() < 0):
        raise ValueError(f"exponents (={shown(table)}) must be integers >= 0 in a table [monomials, n].")
    degrees = table.sum(axis=1)
    if np.any(degrees != degrees[:1]):
        raise ValueError(f"exponents must have one common degree, and have {shown(degrees)}.")
    variables = np.broadcast_to(np.arange(table.shape[1]), table.shape)
    degree = int(degrees[0]) if len(degrees) else 0
    return np.repeat(variables.ravel(), table.ravel()).reshape(len(table), degree)


def times(n: int, degree: int, variable: int) -> Ints:
    """Returns the ranks of the monomials of a degree multiplied by a variable.

    >>> times(3, 1, 2).tolist()  # x_0 x_2, x_1 x_2 and x_2^2 among the monomials of degree 2
    [2, 4, 5]

    Returns:
      The rank of x_variable m in degree + 1 for each monomial m of the degree, in order; read-only.

    Raises:
      ValueError: If an argument is too small, or the variable is not in [0, n).
    """
    n, degree = at_least("n", n, 1), at_least("degree", degree, 0)
    return _times(n, degree, at_least("variable", variable, 0, n - 1))


@functools.lru_cache(maxsize=256)
def _times(n: int, degree: int, variable: int) -> Ints:
    rows = monomials(n, degree)
    moved = _ranks(np.concatenate([rows, np.full((len(rows), 1), variable)], axis=1), n)
    moved.flags.writeable = False
    return moved


def images(permutation: npt.ArrayLike, degree: int) -> Ints:
    """Returns the permutation of the monomials of one degree that a permutation of the variables induces.

    >>> images([1, 2, 0], 2).tolist()
    [3, 4, 1, 5, 2, 0]

    Args:
      permutation: An int array `s` of n entries; x_i goes to x_{s[i]}.
      degree: The degree, at least 0.

    Returns:
      A permutation of the ranks: the image of the monomial of rank r has rank `images[r]`.

    Raises:
      TypeError: If the permutation does not hold integers.
      ValueError: If it is no permutation.
    """
    points = as_permutations(permutation, "permutation")
    n = len(points)
    moved = np.empty(_listed(n, degree), np.intp)
    for part in _chunks(len(moved)):
        moved[part] = _ranks(points[at(np.arange(part.start, part.stop), n, degree)], n)
    return moved


def orbits(generators: npt.ArrayLike, degree: int) -> Orbits:
    """Computes the orbits of the monomials of one degree under a permutation group.

    The orbit sums are a basis of the invariant forms of the degree, and `labels` is the index that shares weights among
    monomials. Neither the group nor the monomials are listed: the cost is a few passes per generator over one integer
    per monomial.

    >>> orbits([[1, 2, 0]], 2).labels.tolist()
    [0, 1, 1, 0, 1, 0]

    Args:
      generators: Permutations that generate the group, `[generators, n]`.
      degree: The degree, at least 1.

    Returns:
      The orbits, with one label per monomial in order of rank.

    Raises:
      TypeError: If a generator does not hold integers.
      ValueError: If a generator is no permutation, or the degree is below 1.
    """
    degree, rows = at_least("degree", degree, 1), as_permutations(generators, "generators")
    if rows.ndim != 2:
        raise ValueError(f"generators (of shape {rows.shape}) must be permutations, [generators, n].")
    return join([images(row, degree) for row in rows], _listed(rows.shape[1], degree))


def _checked(name: str, values: npt.ArrayLike, stop: int, why: str) -> Ints:
    numbers = array(name, values)
    if numbers.size and not (numbers.dtype.kind in "iu" and numbers.min() >= 0 and numbers.max() < stop):
        raise ValueError(f"{name} (={shown(numbers)}) must be integers in [0, {stop}), {why}.")
    return numbers.astype(np.intp, copy=False)


def _checked_rows(indices: npt.ArrayLike, n: int) -> Ints:
    n = at_least("n", n, 1)
    rows = _checked("indices", indices, n, f"for n = {n}")
    if not rows.ndim:
        raise ValueError(f"indices (={rows}) must be rows, [..., degree].")
    return rows


def _number(n: int, degree: int) -> int:
    number = count(n, degree)
    if number >= 2**62:
        raise ValueError(f"n (={n}) and degree (={degree}) give more monomials than 64 bits can number.")
    return number


def _listed(n: int, degree: int) -> int:
    """Counts the monomials; raises a ValueError if they are too many to hold the variables of each."""
    number = _number(n, degree)
    if number * max(degree, 1) > LISTED:
        raise ValueError(f"n (={n}) and degree (={degree}) give {written(number)} monomials, too many to list.")
    return number


def _ranks(rows: Ints, n: int) -> Ints:
    degree = rows.shape[-1]
    number, binomial = _number(n, degree), _binomials(n, degree)
    rows = np.sort(rows, axis=-1)
    later = np.zeros(rows.shape[:-1], np.intp)
    for place in range(degree):
        later += binomial[degree - place][n + degree - 2 - place - rows[..., place]]
    return number - 1 - later


@functools.lru_cache(maxsize=64)
def _binomials(n: int, degree: int) -> tuple[Ints, ...]:
    """Tabulates C(m, r), m = 0, ..., r + n - 2, for each r up to the degree.

    No rank needs larger m, and all entries are below `count(n, degree)`.
    """
    if n * (degree + 1) > TABULATED:
        raise ValueError(f"n (={n}) and degree (={degree}) must be smaller, to tabulate binomial coefficients.")
    columns = [np.ones(n - 1, np.intp)]
    for _ in range(degree):
        columns.append(np.concatenate([[0], np.cumsum(columns[-1])]))
    return tuple(columns)


def _chunks(size: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK, size)) for start in range(0, size, CHUNK))
