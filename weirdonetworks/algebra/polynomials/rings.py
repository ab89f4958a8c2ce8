"""SymPy polynomials in the variables of a group, and conversions to coefficient vectors and exponent tables.

Polynomials of a group on n coordinates are elements of one sparse SymPy polynomial ring in x0, ..., x{n-1}.
`f.as_expr()` converts one to an expression.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, instance, listed
from weirdonetworks.algebra.fields import Exact, NumberField
from weirdonetworks.algebra.groups.matrix_groups import MatrixGroup
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.algebra.polynomials import monomials

Group: TypeAlias = PermutationGroup | MatrixGroup
Polynomial: TypeAlias = Any  # sympy.polys.rings.PolyElement; SymPy is imported on use.


def polynomial_ring(group: Group) -> Any:
    """Returns the SymPy ring of the polynomials of a group: in x0, ..., x{n-1}, over the field of its entries.

    >>> from weirdonetworks.algebra.groups.permutation_groups import cyclic_group
    >>> ring = polynomial_ring(cyclic_group(3))
    >>> x0, x1, x2 = ring.gens
    >>> (x0 + x1) ** 2
    x0**2 + 2*x0*x1 + x1**2

    Args:
      group: The group; the field is QQ for permutations, else `MatrixGroup.domain`.
    """
    instance("group", group, PermutationGroup, MatrixGroup)
    return _ring(group.dimension, group.domain)


def as_polynomial(polynomial: Any, ring: Any, name: str = "polynomial") -> Polynomial:
    """Converts a polynomial to an element of a ring.

    Args:
      polynomial: A SymPy expression, `Poly`, element of a polynomial ring, or number.
      ring: The SymPy ring.
      name: What messages call it.

    Raises:
      TypeError: If it is neither a SymPy object nor a number.
      ValueError: If it is not a polynomial, or has other variables or coefficients than the ring.
    """
    from sympy import Expr, SympifyError, sympify
    from sympy.polys.polyerrors import CoercionFailed

    if hasattr(polynomial, "ring") and polynomial.ring == ring:
        return polynomial
    try:
        expression = polynomial.as_expr() if hasattr(polynomial, "as_expr") else sympify(polynomial, strict=True)
    except (SympifyError, TypeError, AttributeError):
        expression = None
    if not isinstance(expression, Expr):
        raise TypeError(f"{name} (={polynomial!r}) must be a SymPy expression.")
    names = f"x0, ..., x{len(ring.symbols) - 1}" if len(ring.symbols) > 1 else "x0"
    if not expression.free_symbols <= set(ring.symbols):
        raise ValueError(f"{name} (={polynomial}) must be in the variables {names} of the group.")
    try:
        return ring.from_expr(expression.expand())
    except (ValueError, CoercionFailed):
        raise ValueError(f"{name} (={polynomial}) must be one in {names} with coefficients in {ring.domain}.") from None


def exponent_table(polynomials: Iterable[Polynomial]) -> tuple[Ints, npt.NDArray[Any]]:
    """Converts polynomials to arrays: f_k(x) = sum_m coefficients[k, m] x^exponents[m].

    >>> from weirdonetworks.algebra.groups.permutation_groups import cyclic_group
    >>> x0, x1 = polynomial_ring(cyclic_group(2)).gens
    >>> exponents, coefficients = exponent_table([x0 + x1, x0 * x1 / 2])
    >>> exponents.tolist(), coefficients.tolist()
    ([[1, 0], [0, 1], [1, 1]], [[1.0, 1.0, 0.0], [0.0, 0.0, 0.5]])

    Args:
      polynomials: Elements of one ring, at least one.

    Returns:
      The exponents of the monomials that occur, `[monomials, n]`, by degree, then in the order of `monomials`; and the
      coefficients, float64 or complex128, `[polynomials, monomials]`.

    Raises:
      TypeError: If they are not elements of one ring.
      ValueError: If no polynomial is given.
    """
    given = listed("polynomials", polynomials, "polynomials")
    if not given:
        raise ValueError("polynomials must hold at least one.")
    ring = getattr(given[0], "ring", None)
    if ring is None or any(getattr(each, "ring", None) != ring for each in given):
        raise TypeError("polynomials must be elements of one ring, such as `polynomial_ring(group)`.")
    occurring = sorted({exponents for polynomial in given for exponents in polynomial}, key=_sort_key)
    columns = {exponents: column for column, exponents in enumerate(occurring)}
    value: dict[Any, complex] = {}
    table = np.zeros((len(given), len(occurring)), np.complex128)
    for row, polynomial in enumerate(given):
        for exponents, coefficient in polynomial.items():
            if coefficient not in value:
                value[coefficient] = complex(ring.domain.to_sympy(coefficient))
            table[row, columns[exponents]] = value[coefficient]
    exponents = np.array(occurring, np.intp).reshape(len(occurring), len(ring.symbols))
    return exponents, table if np.any(table.imag) else table.real.copy()


def forms(polynomial: Polynomial) -> dict[int, list[tuple[tuple[int, ...], Any]]]:
    """Splits a polynomial into homogeneous parts: a list of terms (exponents, coefficient) for each degree."""
    parts: dict[int, list[tuple[tuple[int, ...], Any]]] = defaultdict(list)
    for exponents, coefficient in polynomial.items():
        parts[sum(exponents)].append((exponents, coefficient))
    return dict(parts)


def to_vector(field: NumberField, terms: Sequence[tuple[tuple[int, ...], Any]], degree: int) -> tuple[Exact, int]:
    """Converts the terms of a form to numerators `[count(n, degree), e]` of its coefficients and their denominator."""
    exponents = np.array([exponents for exponents, _ in terms], np.intp)
    numerators, denominator = field.read([coefficient for _, coefficient in terms])
    n = exponents.shape[1]
    vector = field.one(monomials.count(n, degree)) * 0
    vector[monomials.index_of(monomials.from_exponents(exponents), n)] = numerators
    return vector, denominator


def from_vector(ring: Any, field: NumberField, numerators: Exact, denominator: int, degree: int) -> Polynomial:
    """Converts the coefficients of a form, numerators `[count(n, degree), e]`, to a polynomial; undoes `to_vector`."""
    n = len(ring.symbols)
    present = np.flatnonzero(np.any(numerators != 0, axis=1))
    exponents = monomials.to_exponents(monomials.at(present, n, degree), n)
    return ring.from_dict(
        {
            tuple(row): field.write(numerators[place], denominator)
            for row, place in zip(exponents.tolist(), present, strict=True)
        }
    )


def numbered_ring(n: int, domain: Any) -> Any:
    """Makes the SymPy ring of polynomials in x0, ..., x{n-1} over a domain; its generators take memory of n squared."""
    from sympy import grlex
    from sympy.polys.rings import PolyRing

    return PolyRing([f"x{index}" for index in range(n)], domain, grlex)


_ring = functools.lru_cache(maxsize=64)(numbered_ring)  # Of groups, whose dimensions are small.


def _sort_key(exponents: tuple[int, ...]) -> tuple[Any, ...]:
    """Returns the sort key of a monomial: by degree, then in the order of `monomials`."""
    return (sum(exponents), *(-exponent for exponent in exponents))
