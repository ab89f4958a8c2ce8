"""Primary and secondary invariants: the Hironaka decomposition of the ring of invariants."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from weirdonetworks.algebra import modular, monomials
from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.algebra.groups import PermutationGroup
from weirdonetworks.algebra.invariants import is_invariant
from weirdonetworks.algebra.molien import molien_series
from weirdonetworks.algebra.polynomials import Group, Polynomial, as_polynomial, polynomial_ring
from weirdonetworks.algebra.quotients import Quotient
from weirdonetworks.algebra.spaces import Spaces, field_of, places, spaces

ATTEMPTS = 300  # Combinations tried for one primary invariant before another set of degrees is.
PRIMES = 3  # Primes that must all speak against a system of parameters before it is refused.


def primary_invariants(group: Group) -> list[Polynomial]:
    """Finds n invariant forms over whose polynomials all polynomials are a finite module: a system of parameters.

    Equivalently they have no common zero but the origin. Sets of degrees are tried by rising product, beginning with
    |G|, and passed over where the Molien series rules them out; for each, random forms tell whether it can be had, and
    then the simplest forms are chosen. The system is proved: modulo a prime, and so exactly, every monomial of high
    degree is in the ideal of the forms. Nothing proves that no system with a smaller product exists, as an unlucky draw
    may pass over it; a smaller product means fewer secondary invariants, no more.

    >>> from weirdonetworks.algebra.groups import cyclic_group
    >>> primary_invariants(cyclic_group(3))
    [x0 + x1 + x2, x0*x1 + x0*x2 + x1*x2, x0*x1*x2]

    Args:
      group: The group, permutations or exact matrices.

    Returns:
      The n forms, by degree, in `polynomial_ring(group)`. The product of their degrees is a multiple of |G|.

    Raises:
      ValueError: If the group is in floating point or too large for this machine.
    """
    invariants, ring = spaces(group), polynomial_ring(group)
    for prime, root in places(group):
        try:
            degrees, rows = _search(group, invariants, prime, root)
        except ZeroDivisionError:  # The prime divides a denominator.
            continue
        bases = [invariants(degree).polynomials for degree in degrees]
        return [
            sum((int(factor) * form for factor, form in zip(row, basis, strict=True) if factor), ring.zero)
            for row, basis in zip(rows, bases, strict=True)
        ]
    raise AssertionError("There are primes without end.")


def secondary_invariants(group: Group, primary: Sequence[Any] | None = None) -> list[Polynomial]:
    """Finds forms that make the invariants a free module over the polynomials in primary ones.

    That is the Hironaka decomposition (Sturmfels, section 2.3): with primary invariants p_1, ..., p_n, each invariant
    is sum_j h_j(p_1, ..., p_n) s_j in one way only, and the Molien series is

        sum_j t^(deg s_j) / prod_i (1 - t^(deg p_i)).

    Its numerator says how many secondary invariants each degree has; they are chosen independent of each other modulo
    the primary ones, which is checked modulo a prime and so holds exactly.

    >>> from weirdonetworks.algebra.groups import cyclic_group
    >>> secondary_invariants(cyclic_group(3))
    [1, x0**2*x2 + x0*x1**2 + x1*x2**2]

    Args:
      group: The group, permutations or exact matrices.
      primary: Primary invariants, as `primary_invariants` gives them, which it does if None.

    Returns:
      The forms, by degree, the first of them 1. They are prod_i deg p_i / |G| in number.

    Raises:
      ValueError: If `primary` is no system of n homogeneous invariants that vanish together only at the origin, or the
        group is in floating point or too large for this machine.
    """
    ring = polynomial_ring(group)
    given = primary_invariants(group) if primary is None else [as_polynomial(each, ring) for each in primary]
    _check(given, group)
    failures = 0
    for prime, root in places(group):
        try:
            found = _free_basis(given, group, prime, root)
        except ZeroDivisionError:  # The prime divides a denominator.
            continue
        if found is not None:
            return found
        failures += 1
        if failures == PRIMES:
            break
    raise ValueError(f"primary (={given}) must vanish together only at the origin, as primary_invariants gives them.")


def _search(group: Group, invariants: Spaces, prime: int, root: int) -> tuple[tuple[int, ...], list[Ints]]:
    """Finds the degrees of primary invariants, and the coordinates of each in the basis of its degree."""
    n = group.dimension
    for degrees in _admissible_degrees(group):
        if isinstance(group, PermutationGroup) and degrees == tuple(range(1, n + 1)):
            # The elementary symmetric polynomials always are a system: the sums of all square-free orbits of a degree.
            leading = [invariants(degree).leading_exponents() for degree in degrees]
            return degrees, [np.array([max(row) == 1 for row in rows], np.intp) for rows in leading]
        rng = np.random.default_rng(0)
        rows = [rng.integers(prime, size=len(invariants(degree))) for degree in degrees]
        if not _is_system(n, invariants, degrees, rows, prime, root):
            continue
        for careful in (False, True):
            chosen = _simple_forms(n, invariants, degrees, rows, prime, root, careful)
            if chosen is not None:
                return degrees, chosen
    raise AssertionError("Every finite group has primary invariants of degree |G| (Dade).")


def _simple_forms(
    n: int, invariants: Spaces, degrees: Sequence[int], rows: Sequence[Ints], prime: int, root: int, careful: bool
) -> list[Ints] | None:
    """Chooses simple forms of given degrees, one after the other, that are a system of parameters.

    Each is chosen so that those up to it are part of some system; `careful`, which is slow, so that the given random
    forms of the further degrees complete them to one.
    """
    rng, chosen = np.random.default_rng(0), list[Ints]()
    for place in range(n):
        for candidate in _candidates(len(rows[place]), rng):
            tried = [*chosen, candidate, *(rows[place + 1 :] if careful else [])]
            if _is_system(n, invariants, degrees[: len(tried)], tried, prime, root):
                chosen.append(candidate)
                break
        else:
            return None
    return chosen


def _admissible_degrees(group: Group) -> Iterator[tuple[int, ...]]:
    """Gives sets of degrees that the Molien series allows primary invariants to have, by product, then by sum."""
    for multiple in itertools.count(1):
        sets = list(_factorings(multiple * group.order, group.dimension, 1, group.order))
        for degrees in sorted(sets, key=lambda degrees: (sum(degrees), degrees)):
            numerator = _numerator(group, degrees)
            if min(numerator) >= 0 and sum(numerator) == multiple:
                yield degrees


def _factorings(number: int, parts: int, least: int, most: int) -> Iterator[tuple[int, ...]]:
    """Gives the ways to write a number as a product of so many factors, rising, each from least to most."""
    if parts == 1:
        if least <= number <= most:
            yield (number,)
        return
    for factor in range(least, most + 1):
        if factor**parts > number:
            return
        if number % factor == 0:
            for others in _factorings(number // factor, parts - 1, factor, most):
                yield (factor, *others)


def _numerator(group: Group, degrees: Sequence[int]) -> list[int]:
    """Multiplies the Molien series by prod (1 - t^d), up to the degree sum (d - 1) where a numerator must end."""
    return _times(molien_series(group, sum(degrees) - len(degrees)), degrees)


def _times(series: list[int], degrees: Sequence[int]) -> list[int]:
    """Multiplies a series by prod (1 - t^d), as far as it goes."""
    for step in degrees:
        series = [value - (series[power - step] if power >= step else 0) for power, value in enumerate(series)]
    return series


def _candidates(size: int, rng: np.random.Generator) -> Iterator[Ints]:
    """Gives coordinates to try, the simple ones first: basis forms from the last on, then growing combinations."""
    yield from np.eye(size, dtype=np.intp)[::-1]
    for attempt in range(ATTEMPTS):
        bound = 1 + attempt // 20
        yield rng.integers(-bound, bound + 1, size=size)


def _is_system(n: int, invariants: Spaces, degrees: Sequence[int], rows: Sequence[Ints], prime: int, root: int) -> bool:
    steps = sum(1 for _ in _quotients(n, invariants, degrees, rows, prime, root))
    return steps == sum(degrees) - len(degrees) + 1


def _quotients(
    n: int, invariants: Spaces, degrees: Sequence[int], rows: Sequence[Ints], prime: int, root: int
) -> Iterator[Quotient]:
    """Divides the polynomial ring by n forms, degree by degree, as long as they behave as a system of parameters.

    For a system, and no other forms, the quotient has dimensions prod (1 + t + ... + t^(d - 1)), zero from degree
    sum (d - 1) + 1 on. If it is zero there modulo a prime, it is so over the field of the group. Fewer than n forms are
    joined by random linear ones: that gives a system if and only if they are part of one.

    Args:
      n: The number of variables.
      invariants: The invariant forms of each degree.
      degrees: The degrees of the forms.
      rows: Their coordinates in the bases of these degrees, integers or residues.
      prime: The prime.
      root: The root of the field's generator modulo the prime.

    Yields:
      The quotient in the degrees 1, 2, ... up to sum (d - 1) + 1, or to the last with the dimension of a system's.
    """
    quotient, missing = Quotient(n, prime), n - len(degrees)
    random = np.random.default_rng(1).integers(prime, size=(missing, n))
    every = [1] * missing + list(degrees)
    for degree in range(1, sum(every) - n + 2):
        # No forms of the lower degrees have a smaller quotient than such as are part of a system.
        quotient.advance(_dimension(n, [lower for lower in every if lower < degree], degree))
        here = [row for row, its in zip(rows, degrees, strict=True) if its == degree]
        images = [random if degree == 1 else np.zeros((0, quotient.dimension), np.intp)]
        if here:
            basis = invariants(degree).images(quotient.normal, prime, root)
            images.append(modular.matmul(np.stack(here) % prime, basis, prime))
        quotient.divide(np.concatenate(images))
        if quotient.dimension != _dimension(n, [lower for lower in every if lower <= degree], degree):
            return
        yield quotient


def _dimension(n: int, degrees: Sequence[int], degree: int) -> int:
    """Gives the coefficient of t^degree in prod (1 - t^d) / (1 - t)^n, over forms of degrees d <= degree."""
    return _times([monomials.count(n, power) for power in range(degree + 1)], degrees)[degree]


def _free_basis(primary: list[Polynomial], group: Group, prime: int, root: int) -> list[Polynomial] | None:
    """Finds the secondary invariants, or None if the primary ones are no system modulo the prime."""
    field, invariants = field_of(group), spaces(group)
    degrees, rows = [], []
    for form in primary:
        degree = sum(next(iter(form)))
        places = invariants(degree).leading_exponents()
        numerators, denominator = field.read([form.get(place, field.domain.zero) for place in places])
        degrees.append(degree)
        rows.append(field.reduce(numerators, prime, root) * modular.inverse(denominator, prime) % prime)
    numerator = _numerator(group, degrees)
    secondary, reached = [polynomial_ring(group).one], 0
    for quotient in _quotients(group.dimension, invariants, degrees, rows, prime, root):
        reached = quotient.degree
        if reached >= len(numerator) or numerator[reached] <= 0:
            continue
        space = invariants(reached)
        images = space.images(quotient.normal, prime, root)[::-1]
        fresh, _ = modular.echelon(images.T, prime)
        if len(fresh) != numerator[reached]:
            return None
        secondary += [space.polynomial(len(space) - 1 - index) for index in fresh]
    return secondary if reached == len(numerator) else None


def _check(primary: list[Polynomial], group: Group) -> None:
    if len(primary) != group.dimension:
        raise ValueError(f"primary (of {len(primary)} polynomials) must hold {group.dimension}, one a variable.")
    for form in primary:
        if len({sum(exponents) for exponents in form}) != 1 or not sum(next(iter(form))):
            raise ValueError(f"primary must hold homogeneous polynomials of degree at least 1, and holds {form}.")
        if not is_invariant(form, group):
            raise ValueError(f"primary must hold invariants of the group, and holds {form}.")
