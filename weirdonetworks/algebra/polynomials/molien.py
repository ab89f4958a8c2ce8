"""The Molien series of a group, which counts its invariants, and the cycle index of a permutation group."""

from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import at_least, instance, written
from weirdonetworks.algebra.groups.matrix_groups import MatrixGroup, exact_parts, residues
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.algebra.polynomials import monomials
from weirdonetworks.algebra.polynomials.rings import Group, Polynomial

DEGREES = 10**6  # The largest degree of a series, a list of numbers of as many digits as the order has.
COUNTED = 10**8  # The largest number of monomials whose orbits are counted for groups too large to list.


def molien_series(group: Group, max_degree: int) -> list[int]:
    """Computes the Molien series: the dimensions of the spaces of invariant forms of each degree.

    These are the coefficients of (Molien 1897; Sturmfels, Algorithms in Invariant Theory, theorem 2.2.1)

        sum_d dim R[x]_d^G t^d = 1/|G| sum_g 1 / det(1 - t g).

    For a permutation group they are also the numbers of orbits of multisets of d points (Burnside).

    >>> from weirdonetworks.algebra.groups.permutation_groups import cyclic_group, symmetric_group
    >>> molien_series(cyclic_group(4), 6)
    [1, 1, 3, 5, 10, 14, 22]
    >>> molien_series(symmetric_group(784), 6)  # Numbers of partitions of 0, ..., 6.
    [1, 1, 2, 3, 5, 7, 11]

    Args:
      group: The group. Symmetric and alternating groups and their products have closed forms; for other permutation
        groups too large to list, the orbits of monomials are counted.
      max_degree: The largest degree, at least 0.

    Returns:
      The dimensions in degrees 0, ..., max_degree, computed exactly unless the group is in floating point.

    Raises:
      ValueError: If `max_degree` is negative, both the group and the monomials are too many to list, or a group in
        floating point is too inexact for the results to be integers.
    """
    max_degree = at_least("max_degree", max_degree, 0, DEGREES)
    instance("group", group, PermutationGroup, MatrixGroup)
    if isinstance(group, PermutationGroup):
        return group._elements.molien_series(max_degree) or _orbit_counts(group, max_degree)
    return _exact_series(group, max_degree) if group.exact else _float_series(group, max_degree)


def cycle_types(group: PermutationGroup) -> dict[tuple[int, ...], int]:
    """Counts the elements of each cycle type of a permutation group.

    >>> from weirdonetworks.algebra.groups.permutation_groups import symmetric_group
    >>> cycle_types(symmetric_group(3))
    {(3,): 2, (2, 1): 3, (1, 1, 1): 1}

    Args:
      group: The group. Symmetric and alternating groups on up to 40 points and their products have closed forms.

    Returns:
      The number of elements of each cycle type, written as cycle lengths in decreasing order.

    Raises:
      ValueError: If the group has too many elements to list.
    """
    types = instance("group", group, PermutationGroup)._elements.cycle_types
    if types is None:
        raise ValueError(
            f"group (={group!r}, of order {written(group.order)}) must be small enough to list for its cycle types. "
            "molien_series needs no list; sample(num, seed) draws random elements."
        )
    return dict(types)


def cycle_index(group: PermutationGroup) -> Polynomial:
    """Computes the cycle index 1/|G| sum_g s_1^(cycles of length 1) s_2^(cycles of length 2) ... (Polya 1937).

    Substituting s_k = 1 / (1 - t^k) gives the Molien series.

    >>> from weirdonetworks.algebra.groups.permutation_groups import symmetric_group
    >>> cycle_index(symmetric_group(3))
    1/6*s1**3 + 1/2*s1*s2 + 1/3*s3

    Args:
      group: The group.

    Returns:
      A SymPy polynomial in s1, ..., sn over the rational numbers.

    Raises:
      ValueError: If the group has too many elements to list.
    """
    from sympy import QQ, grlex
    from sympy.polys.rings import PolyRing

    degree = instance("group", group, PermutationGroup).degree
    ring = PolyRing([f"s{length}" for length in range(1, degree + 1)], QQ, grlex)
    terms = {}
    for lengths, number in cycle_types(group).items():
        exponents = np.bincount(lengths, minlength=group.degree + 1)[1:]
        terms[tuple(exponents.tolist())] = QQ(number, group.order)
    return ring.from_dict(terms)


def _orbit_counts(group: PermutationGroup, max_degree: int) -> list[int]:
    if monomials.count(group.degree, max_degree) > COUNTED:
        raise ValueError(
            f"max_degree (={max_degree}) must be smaller: the group is too large to list, and there are "
            f"{written(monomials.count(group.degree, max_degree))} monomials in {group.degree} variables to count."
        )
    return [1] + [len(group.orbits_on_monomials(degree)) for degree in range(1, max_degree + 1)]


def _exact_series(group: MatrixGroup, max_degree: int) -> list[int]:
    """Computes the series modulo primes, as its coefficients are integers in [0, number of monomials]."""
    field, _, denominator = exact_parts(group)
    series, modulus = [0] * (max_degree + 1), 1
    for prime, roots in field.split_primes():
        if denominator % prime == 0 or group.order % prime == 0:
            continue
        sums = _series_sum(residues(group, prime, roots[0]), max_degree, prime)
        mean = [int(value) * pow(group.order, -1, prime) % prime for value in sums]
        lift = pow(modulus, -1, prime)
        series = [old + modulus * ((new - old) * lift % prime) for old, new in zip(series, mean, strict=True)]
        modulus *= prime
        if modulus > monomials.count(group.dimension, max_degree):
            break
    return series


def _float_series(group: MatrixGroup, max_degree: int) -> list[int]:
    means = _series_sum(group.elements(), max_degree, None) / group.order
    rounded = np.round(means.real)
    if np.any(np.abs(means - rounded) > 1e-3):
        worst = int(np.argmax(np.abs(means - rounded)))
        raise ValueError(
            f"group (={group!r}) is too inexact: {means[worst]:.6g} invariants of degree {worst}. "
            "Construct it from exact numbers."
        )
    return [int(value) for value in rounded]


def _series_sum(elements: npt.NDArray[Any], max_degree: int, prime: int | None) -> npt.NDArray[Any]:
    """Sums the series of 1 / det(1 - t g) over matrices `[order, n, n]`, modulo a prime or in floating point."""

    def reduced(values: Any) -> Any:
        return values if prime is None else values % prime

    n = elements.shape[1]
    power, traces = elements, []
    for _ in range(n):
        traces.append(reduced(np.trace(power, axis1=1, axis2=2)))
        power = reduced(power @ elements)
    determinant = [np.ones_like(traces[0])]  # Coefficients of det(1 - t g), by Newton's identities.
    for k in range(1, n + 1):
        total = sum(reduced(determinant[k - i] * traces[i - 1]) for i in range(1, k + 1))
        determinant.append(-total / k if prime is None else reduced(-total * pow(k, -1, prime)))
    series = [np.ones_like(traces[0])]
    for degree in range(1, max_degree + 1):
        terms = [reduced(determinant[k] * series[degree - k]) for k in range(1, min(n, degree) + 1)]
        series.append(reduced(-sum(terms)))
    return np.array([reduced(values.sum()) for values in series])
