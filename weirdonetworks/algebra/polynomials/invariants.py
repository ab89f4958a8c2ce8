"""Invariant polynomials: the Reynolds operator, bases of each degree, and a test of invariance.

A polynomial f is invariant under a group if f(g x) = f(x) for each element g.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.algebra.groups.matrix_groups import MatrixGroup, exact_generators, exact_parts
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.algebra.polynomials import monomials
from weirdonetworks.algebra.polynomials.molien import molien_series
from weirdonetworks.algebra.polynomials.rings import (
    Group,
    Polynomial,
    as_polynomial,
    forms,
    from_vector,
    polynomial_ring,
    to_vector,
)
from weirdonetworks.algebra.polynomials.spaces import WRITTEN, spaces
from weirdonetworks.algebra.polynomials.substitution import substitute, symmetric_power

SMALL = 1e-9  # In floating point, coefficients below this fraction of the largest count as zero.


def reynolds(polynomial: Any, group: Group) -> Polynomial:
    """Averages a polynomial over a group: R(f)(x) = 1/|G| sum_g f(g x).

    The result is invariant, and R(f) = f if f is; R(f h) = R(f) h for invariant h (Sturmfels, proposition 2.1.2). For
    permutation groups each monomial becomes the mean of its orbit, without listing the group.

    >>> import sympy
    >>> from weirdonetworks.algebra.groups.permutation_groups import symmetric_group
    >>> reynolds(sympy.Symbol("x0") ** 2, symmetric_group(3))
    1/3*x0**2 + 1/3*x1**2 + 1/3*x2**2

    Args:
      polynomial: A SymPy expression, `Poly` or ring element in x0, ..., x{n-1}.
      group: The group.

    Returns:
      The mean, in `polynomial_ring(group)`.

    Raises:
      TypeError: If the polynomial is not a SymPy object.
      ValueError: If it has other variables, coefficients outside the field of the group, or too large an orbit.
    """
    ring = polynomial_ring(group)
    given = as_polynomial(polynomial, ring)
    if isinstance(group, PermutationGroup):
        return _orbit_means(given, group, ring)
    mean = ring.zero
    for degree, terms in forms(given).items():
        mean += _mean(terms, degree, group, ring) if group.exact else _float_mean(terms, degree, group, ring)
    return mean


def is_invariant(polynomial: Any, group: Group) -> bool:
    """Tells whether a polynomial is invariant under the generators of a group; in floating point to 1e-9 relative.

    >>> import sympy
    >>> from weirdonetworks.algebra.groups.permutation_groups import cyclic_group
    >>> x0, x1, x2 = sympy.symbols("x0:3")
    >>> is_invariant(x0 * x1 + x1 * x2 + x2 * x0, cyclic_group(3)), is_invariant(x0 * x1, cyclic_group(3))
    (True, False)

    Raises:
      TypeError: If the polynomial is not a SymPy object.
      ValueError: If it has other variables, or coefficients outside the field of the group.
    """
    ring = polynomial_ring(group)
    given = as_polynomial(polynomial, ring)
    if isinstance(group, PermutationGroup):
        # The coefficient of f(s.x) at exponents a is that of f at a permuted by s.
        return all(
            given.get(tuple(exponents[image] for image in generator), 0) == coefficient
            for generator in group.generators.tolist()
            for exponents, coefficient in given.items()
        )
    return all(_form_is_invariant(terms, degree, group) for degree, terms in forms(given).items())


def invariant_basis(group: Group, degree: int) -> list[Polynomial]:
    """Computes a basis of the invariant forms of one degree.

    For a permutation group these are the orbit sums of the monomials. For an exact matrix group they are the solutions
    of f(g x) = f(x) over the generators g, in reduced echelon form, computed modulo primes and proved exact (see
    `fields.kernel`). Their number is the coefficient of the Molien series.

    >>> from weirdonetworks.algebra.groups.permutation_groups import cyclic_group
    >>> invariant_basis(cyclic_group(3), 2)
    [x0**2 + x1**2 + x2**2, x0*x1 + x0*x2 + x1*x2]

    Args:
      group: The group.
      degree: The degree, at least 0.

    Returns:
      The forms, in `polynomial_ring(group)`. Each has coefficient 1 at its first monomial in the order of `monomials`,
      and the others have 0 there.

    Raises:
      ValueError: If the degree is negative, there are too many monomials, or the group is in floating point and too
        inexact to find the invariants.
    """
    degree = at_least("degree", degree, 0)
    if isinstance(group, MatrixGroup) and not group.exact:
        return _float_basis(group, degree)
    return spaces(group)(degree).polynomials


def _orbit_means(given: Polynomial, group: PermutationGroup, ring: Any) -> Polynomial:
    generators = group.generators.tolist()
    rest, mean = dict(given), {}
    while rest:
        start = next(iter(rest))
        orbit, frontier = {start}, [start]
        while frontier:
            if len(orbit) * len(start) > WRITTEN:
                raise ValueError(
                    f"polynomial: a monomial of degree {sum(start)} has too large an orbit to write out. "
                    "Use group.orbits_on_monomials(degree), one label per monomial."
                )
            exponents = frontier.pop()
            for generator in generators:
                moved = tuple(exponents[image] for image in generator)
                if moved not in orbit:
                    orbit.add(moved)
                    frontier.append(moved)
        share = sum((rest.pop(member, ring.domain.zero) for member in orbit), ring.domain.zero) / len(orbit)
        if share:
            mean.update(dict.fromkeys(orbit, share))
    return ring.from_dict(mean)


def _mean(terms: Sequence[Any], degree: int, group: MatrixGroup, ring: Any) -> Polynomial:
    field, elements, bottom = exact_parts(group)
    vector, denominator = to_vector(field, terms, degree)
    total = np.sum([substitute(field, vector, element, degree) for element in elements], axis=0)
    return from_vector(ring, field, total, denominator * bottom**degree * group.order, degree)


def _form_is_invariant(terms: Sequence[Any], degree: int, group: MatrixGroup) -> bool:
    if not group.exact:
        floats = _float_vector(terms, degree, group.dimension)
        moved = [floats @ symmetric_power(generator, degree) for generator in group.generators]
        return all(np.allclose(each, floats, rtol=0, atol=SMALL * np.abs(floats).max()) for each in moved)
    field = exact_parts(group)[0]
    vector, _ = to_vector(field, terms, degree)
    return all(
        np.array_equal(substitute(field, vector, numerators, degree), vector * denominator**degree)
        for numerators, denominator in exact_generators(group)
    )


def _float_vector(terms: Sequence[Any], degree: int, n: int) -> npt.NDArray[np.complex128]:
    vector = np.zeros(monomials.count(n, degree), np.complex128)
    for exponents, coefficient in terms:
        vector[monomials.index_of(monomials.from_exponents([exponents])[0], n)] = complex(coefficient)
    return vector


def _float_polynomial(vector: npt.NDArray[Any], degree: int, ring: Any) -> Polynomial:
    n = len(ring.symbols)
    present = np.flatnonzero(np.abs(vector) > SMALL * np.abs(vector).max(initial=0))
    exponents = monomials.to_exponents(monomials.at(present, n, degree), n)
    real = ring.domain.is_RR
    return ring.from_dict(
        {
            tuple(row): ring.domain.convert(value.real if real else value)
            for row, value in zip(exponents.tolist(), vector[present].astype(complex).tolist(), strict=True)
        }
    )


def _float_mean(terms: Sequence[Any], degree: int, group: MatrixGroup, ring: Any) -> Polynomial:
    vector = _float_vector(terms, degree, group.dimension)
    total = sum(vector @ symmetric_power(element, degree) for element in group.elements())
    return _float_polynomial(total / group.order, degree, ring)


def _float_basis(group: MatrixGroup, degree: int) -> list[Polynomial]:
    """Computes the null space of the stacked S^T - 1 over the generators, by SVD, in echelon form."""
    number = molien_series(group, degree)[degree]
    powers = [symmetric_power(generator, degree) for generator in group.generators]
    size = len(powers[0])
    stacked = np.concatenate([power.T - np.eye(size) for power in powers])
    _, values, vectors = np.linalg.svd(stacked, full_matrices=False)
    zeros = int(np.count_nonzero(values < 1e-6 * max(1.0, values[0])))
    if zeros != number:
        raise ValueError(
            f"group (={group!r}) is too inexact for degree (={degree}): {zeros} invariants found, {number} by its "
            "Molien series. Construct it from exact numbers."
        )
    rows = vectors[size - number :].conj()
    done = 0
    for column in range(size):
        if done == number:
            break
        pivot = done + int(np.argmax(np.abs(rows[done:, column])))
        if abs(rows[pivot, column]) < 1e-6:
            continue
        rows[[done, pivot]] = rows[[pivot, done]]
        rows[done] /= rows[done, column]
        others = np.arange(number) != done
        rows[others] -= rows[others, column : column + 1] * rows[done]
        done += 1
    ring = polynomial_ring(group)
    return [_float_polynomial(row, degree, ring) for row in rows]
