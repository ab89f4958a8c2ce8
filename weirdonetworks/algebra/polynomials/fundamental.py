"""Fundamental invariants: a minimal set of homogeneous generators of the ring of invariants."""

import math
from typing import Any

import numpy as np

from weirdonetworks.algebra import fields, modular
from weirdonetworks.algebra.arrays import at_least, instance
from weirdonetworks.algebra.groups.matrix_groups import MatrixGroup
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.algebra.polynomials.quotients import Quotient
from weirdonetworks.algebra.polynomials.rings import Group, Polynomial
from weirdonetworks.algebra.polynomials.spaces import Spaces, field_of, spaces, split_primes


def fundamental_invariants(group: Group, max_degree: int | None = None) -> list[Polynomial]:
    """Finds a minimal set of homogeneous generators of the ring of invariants.

    Degree by degree, the invariants outside the ideal of those found so far are new generators: by Hilbert's argument
    with the Reynolds operator, invariants that generate that ideal generate the ring (Derksen & Kemper, Computational
    Invariant Theory, section 2.2; King 2013). The search ends once the ideal contains all monomials of some degree, or
    n algebraically independent invariants have degrees with product |G| (reflection groups: Humphreys, Reflection
    Groups and Coxeter Groups, chapter 3); at the latest at Noether's bound |G|, for permutations also at Goebel's
    max(n, n (n-1) / 2).

    Membership in the ideal is decided modulo a prime that does not divide |G|, where the Molien series is the same, so
    generators modulo the prime lift to generators. That none is redundant is proved over the field of the group, by the
    rank of the products of generators of lower degree.

    >>> from weirdonetworks.algebra.groups.permutation_groups import symmetric_group
    >>> fundamental_invariants(symmetric_group(3))
    [x0 + x1 + x2, x0*x1 + x0*x2 + x1*x2, x0*x1*x2]

    Args:
      group: A permutation group or an exact matrix group.
      max_degree: The largest degree to search, at least 1; None for no limit.

    Returns:
      The generators, by degree, in `polynomial_ring(group)`. They generate all invariants up to `max_degree`.

    Raises:
      ValueError: If `max_degree` is below 1, the group is in floating point, or the computation would be too large.
    """
    limit = _bound(instance("group", group, PermutationGroup, MatrixGroup))
    if max_degree is not None:
        limit = min(limit, at_least("max_degree", max_degree, 1))
    invariants = spaces(group)
    for prime, root in split_primes(group):
        try:
            found = _search(group, invariants, limit, prime, root)
        except ZeroDivisionError:  # The prime divides a denominator.
            continue
        if found is not None:
            return [polynomial for degree in sorted(found) for polynomial in found[degree]]
    raise AssertionError("There are primes without end.")


def _bound(group: Group) -> int:
    """Returns Noether's bound on the degrees of generators, or for permutations Goebel's if it is lower."""
    if isinstance(group, PermutationGroup):
        return min(group.order, max(group.degree, math.comb(group.degree, 2)))
    return group.order


def _search(group: Group, invariants: Spaces, limit: int, prime: int, root: int) -> dict[int, list[Polynomial]] | None:
    """Finds the generators by degree, or None if computing modulo the prime gives a redundant one."""
    found: dict[int, list[Polynomial]] = {}
    quotient = Quotient(group.dimension, prime)
    for degree in range(1, limit + 1):
        quotient.advance()
        if quotient.dimension == 0:
            break
        space = invariants(degree)
        if not len(space):
            continue
        # The last first, whose monomials have small exponents: for the symmetric group these are the elementary ones.
        fresh = len(space) - 1 - quotient.divide(space.images(quotient.normal, prime, root)[::-1])
        if not len(fresh):
            continue
        if len(fresh) != _indecomposable(group, invariants, found, degree):
            return None
        found[degree] = [space.polynomial(index) for index in fresh]
        if _is_free(group, found, prime, root):
            break
    return found


def _is_free(group: Group, found: dict[int, list[Polynomial]], prime: int, root: int) -> bool:
    """Tells whether there are n generators, algebraically independent, with degrees whose product is |G|.

    They are independent if their Jacobian determinant is not zero at a random point modulo the prime.
    """
    generators = [generator for forms in found.values() for generator in forms]
    n = group.dimension
    if len(generators) != n or math.prod(sum(next(iter(each))) for each in generators) != group.order:
        return False
    field = field_of(group)
    point = np.random.default_rng(0).integers(1, prime, size=n)
    rows = []
    for generator in generators:
        exponents = np.array(list(generator), np.intp)
        numerators, denominator = field.read(list(generator.values()))
        coefficients = field.reduce(numerators, prime, root) * modular.inverse(denominator, prime) % prime
        row = []
        for variable in range(n):
            lowered = exponents - (np.arange(n) == variable)
            values = coefficients * exponents[:, variable] % prime
            for place, coordinate in enumerate(point.tolist()):
                powers = [pow(coordinate, max(power, 0), prime) for power in range(exponents.max() + 1)]
                values = values * np.array(powers)[np.maximum(lowered[:, place], 0)] % prime
            row.append(int(values.sum()) % prime)
        rows.append(row)
    return len(modular.echelon(np.array(rows), prime)[0]) == n


def _indecomposable(group: Group, invariants: Spaces, found: dict[int, list[Polynomial]], degree: int) -> int:
    """Computes, exactly, the dimension of the invariants of a degree modulo products of the generators found."""
    field, space = field_of(group), invariants(degree)
    places = space.leading_exponents()
    rows: list[Any] = []
    for lower, generators in found.items():
        for generator in generators:
            for other in invariants(degree - lower).polynomials:
                product = generator * other
                numerators, _ = field.read([product.get(place, field.domain.zero) for place in places])
                rows.append(numerators)
    if not rows:
        return len(space)
    products = np.stack(rows)
    largest = max(map(field.norm, products))
    leading, _, _ = fields.kernel(
        field,
        lambda prime, root: modular.kernel(field.reduce(products, prime, root), prime),
        lambda vectors, prime, root: not np.any(modular.matmul(vectors, field.reduce(products, prime, root).T, prime)),
        lambda norm: field.growth * largest * norm,
    )
    return len(leading)
