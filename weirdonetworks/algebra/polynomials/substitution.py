"""Linear substitutions f(x) -> f(A x) on the coefficients of forms, and symmetric powers of matrices.

The coefficients of a form of degree d in n variables are a vector in the order of `monomials`. The rows of the
symmetric power S of A are the coefficients of the monomials of A x, so f(A x) has the coefficients `c @ S`.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.algebra.fields import Exact, NumberField
from weirdonetworks.algebra.polynomials import monomials


def symmetric_power(
    matrix: npt.NDArray[Any],
    degree: int,
    reduce: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] = lambda values: values,
) -> npt.NDArray[Any]:
    """Computes the symmetric power of A: the coefficients of the monomials of degree d in the entries of A x.

    >>> symmetric_power(np.array([[1, 1], [0, 2]]), 2).tolist()  # (x + y)^2, (x + y) 2y and (2y)^2
    [[1, 2, 1], [0, 2, 2], [0, 0, 4]]

    Args:
      matrix: A, `[n, n]`.
      degree: The degree d, at least 0.
      reduce: Applied to each partial sum, such as a reduction modulo a prime; the identity by default.

    Returns:
      The symmetric power, `[count(n, d), count(n, d)]`, in the dtype of the matrix.
    """
    n = len(matrix)
    power = np.ones((1, 1), matrix.dtype)
    for lower in range(degree):
        shifts = [monomials.times(n, lower, variable) for variable in range(n)]
        blocks = []
        for first in range(n):
            # The monomials with least index `first` are x_first times those in the variables from it on, the last ones.
            rest = power[len(power) - monomials.count(n - first, lower) :]
            block = np.zeros((len(rest), monomials.count(n, lower + 1)), matrix.dtype)
            for variable, shift in enumerate(shifts):
                block[:, shift] = reduce(block[:, shift] + rest * matrix[first, variable])
            blocks.append(block)
        power = np.concatenate(blocks)
    return power


def substitute(field: NumberField, form: Exact, matrix: Exact, degree: int) -> Exact:
    """Computes the coefficients of f(A x) exactly, by Horner's scheme.

    >>> import sympy
    >>> from weirdonetworks.algebra.fields import exact
    >>> field = NumberField(sympy.QQ)
    >>> swap = exact([[[0], [1]], [[1], [0]]])
    >>> substitute(field, exact([[3], [0], [5]]), swap, 2)[:, 0].tolist()
    [5, 0, 3]

    Args:
      field: The field of the coefficients of f and the entries of A.
      form: The coefficients of f, integers `[count(n, degree), e]`.
      matrix: A, integers `[n, n, e]`.
      degree: The degree of f.

    Returns:
      The coefficients of f(A x), `[count(n, degree), e]`.
    """
    n = len(matrix)
    # Row r of `tails` is the polynomial in A x of the terms of f that begin with the r-th row of `length` indices.
    tails = form[:, None, :]
    for length in range(degree, 0, -1):
        last, starts = _continuations(n, length)
        longer = np.zeros((len(last), monomials.count(n, degree - length + 1), field.degree), object)
        for variable in range(n):
            factor = matrix[last, variable][:, None, :]
            longer[:, monomials.times(n, degree - length, variable)] += field.multiply(factor, tails)
        tails = np.add.reduceat(longer, starts, axis=0)
    return np.asarray(tails[0], object)


@functools.lru_cache(maxsize=256)
def _continuations(n: int, length: int) -> tuple[Ints, Ints]:
    """Returns the last index of each monomial of a degree, and the starts of runs that agree in all other indices."""
    rows = monomials.monomials(n, length)
    changes = np.any(np.diff(rows[:, :-1], axis=0, prepend=-1) != 0, axis=1)
    changes[0] = True
    return rows[:, -1], np.flatnonzero(changes)
