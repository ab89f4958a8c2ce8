"""Primary and secondary invariants: the Hironaka decomposition of the ring of invariants."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from weirdonetworks.algebra import modular
from weirdonetworks.algebra.arrays import Ints, listed
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.algebra.polynomials import monomials
from weirdonetworks.algebra.polynomials.invariants import is_invariant
from weirdonetworks.algebra.polynomials.molien import molien_series
from weirdonetworks.algebra.polynomials.quotients import Quotient
from weirdonetworks.algebra.polynomials.rings import Group, Polynomial, as_polynomial, polynomial_ring
from weirdonetworks.algebra.polynomials.spaces import Spaces, field_of, spaces, split_primes

ATTEMPTS = 300  # Random combinations tried for a primary invariant before giving up on it.
PRIMES = 3  # Given primary invariants are rejected if the test fails modulo this many primes.


def primary_invariants(group: Group) -> list[Polynomial]:
    """Finds primary invariants: a homogeneous system of parameters of the ring of invariants.

    These are n invariant forms with no common zero but the origin; equivalently, the polynomial ring is a finite module
    over the polynomials in them. Sets of degrees that the Molien series allows are tried by increasing product, from
    |G| on: random forms decide whether a set is possible, then simple forms are chosen. That they are a system of
    parameters is proved modulo a prime, and so exactly. That the product of degrees is minimal is not proved, as a
    random choice may fail; a smaller product would mean fewer secondary invariants.

    >>> from weirdonetworks.algebra.groups.permutation_groups import cyclic_group
    >>> primary_invariants(cyclic_group(3))
    [x0 + x1 + x2, x0*x1 + x0*x2 + x1*x2, x0*x1*x2]

    Args:
      group: A permutation group or an exact matrix group.

    Returns:
      The n forms, by degree, in `polynomial_ring(group)`. The product of their degrees is a multiple of |G|.

    Raises:
      ValueError: If the group is in floating point, or the computation would be too large.
    """
    invariants, ring = spaces(group), polynomial_ring(group)
    for prime, root in split_primes(group):
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
    """Finds secondary invariants: a basis of the ring of invariants as a free module over primary invariants.

    With primary invariants p_1, ..., p_n, each invariant is sum_j h_j(p_1, ..., p_n) s_j for unique polynomials h_j
    (the Hironaka decomposition; Sturmfels, section 2.3), and the Molien series is

        sum_j t^(deg s_j) / prod_i (1 - t^(deg p_i)).

    Its numerator counts the secondary invariants s_j of each degree. They are chosen linearly independent modulo the
    ideal of the primary ones, which is checked modulo a prime and so holds exactly.

    >>> from weirdonetworks.algebra.groups.permutation_groups import cyclic_group
    >>> secondary_invariants(cyclic_group(3))
    [1, x0**2*x2 + x0*x1**2 + x1*x2**2]

    Args:
      group: A permutation group or an exact matrix group.
      primary: Primary invariants; None for those of `primary_invariants(group)`.

    Returns:
      The prod_i deg p_i / |G| forms, by degree, the first of them 1.

    Raises:
      TypeError: If `primary` is no list of polynomials.
      ValueError: If `primary` is not n homogeneous invariants whose only common zero is the origin, the group is in
        floating point, or the computation would be too large.
    """
    ring = polynomial_ring(group)
    if primary is None:
        given = primary_invariants(group)
    else:
        given = [as_polynomial(each, ring, "primary") for each in listed("primary", primary, "polynomials")]
    _check(given, group)
    failures = 0
    for prime, root in split_primes(group):
        try:
            found = _free_basis(given, group, prime, root)
        except ZeroDivisionError:  # The prime divides a denominator.
            continue
        if found is not None:
            return found
        failures += 1
        if failures == PRIMES:
            break
    raise ValueError(f"primary (={given}) must have no common zero but the origin. Use primary_invariants(group).")


def _search(group: Group, invariants: Spaces, prime: int, root: int) -> tuple[tuple[int, ...], list[Ints]]:
    """Finds the degrees of primary invariants, and their coefficients in the bases of these degrees."""
    n = group.dimension
    for degrees in _admissible_degrees(group):
        if isinstance(group, PermutationGroup) and degrees == tuple(range(1, n + 1)):
            # The elementary symmetric polynomials are always a system: sums of all squarefree monomials of a degree.
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

    Each is chosen so that the forms so far are part of some system of parameters; if `careful`, which is slow, so that
    the random forms in `rows` of the remaining degrees complete them to one.
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
    """Yields the degrees of primary invariants that the Molien series allows, by product, then by sum."""
    for multiple in itertools.count(1):
        sets = list(_factorings(multiple * group.order, group.dimension, 1, group.order))
        for degrees in sorted(sets, key=lambda degrees: (sum(degrees), degrees)):
            numerator = _numerator(group, degrees)
            if min(numerator) >= 0 and sum(numerator) == multiple:
                yield degrees


def _factorings(number: int, parts: int, least: int, most: int) -> Iterator[tuple[int, ...]]:
    """Yields the factorings of a number into `parts` non-decreasing factors in [least, most]."""
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
    """Multiplies the Molien series by prod (1 - t^d), up to sum (d - 1), the largest degree of a numerator."""
    return _times(molien_series(group, sum(degrees) - len(degrees)), degrees)


def _times(series: list[int], degrees: Sequence[int]) -> list[int]:
    """Multiplies a truncated power series by prod (1 - t^d)."""
    for step in degrees:
        series = [value - (series[power - step] if power >= step else 0) for power, value in enumerate(series)]
    return series


def _candidates(size: int, rng: np.random.Generator) -> Iterator[Ints]:
    """Yields coefficient vectors to try: the basis from the last form on, then random ones of growing size."""
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
    """Divides the polynomial ring by n forms, degree by degree, as long as they can be a system of parameters.

    Forms are a system of parameters if and only if the quotient has the Hilbert series prod (1 + t + ... + t^(d - 1)),
    zero from degree sum (d - 1) + 1 on. If it is zero there modulo a prime, it is over the field of the group. Fewer
    than n forms are completed by random linear forms; they are part of a system if the completion is one.

    Args:
      n: The number of variables.
      invariants: The spaces of invariant forms.
      degrees: The degrees of the forms.
      rows: Their coefficients in the bases of these degrees, integers or residues.
      prime: The prime.
      root: The image of the field's generator modulo the prime.

    Yields:
      The quotient in the degrees 1, 2, ..., up to sum (d - 1) + 1 or the last degree with the dimension of a system of
      parameters.
    """
    quotient, missing = Quotient(n, prime), n - len(degrees)
    random = np.random.default_rng(1).integers(prime, size=(missing, n))
    every = [1] * missing + list(degrees)
    for degree in range(1, sum(every) - n + 2):
        # Of all forms of the lower degrees, those that are part of a system have the smallest quotient.
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
    """Returns the coefficient of t^degree in prod (1 - t^d) / (1 - t)^n, over the degrees d."""
    return _times([monomials.count(n, power) for power in range(degree + 1)], degrees)[degree]


def _free_basis(primary: list[Polynomial], group: Group, prime: int, root: int) -> list[Polynomial] | None:
    """Finds the secondary invariants, or None if the primary ones are no system of parameters modulo the prime."""
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
        raise ValueError(f"primary (of {len(primary)} polynomials) must hold {group.dimension}, one per variable.")
    for form in primary:
        if len({sum(exponents) for exponents in form}) != 1 or not sum(next(iter(form))):
            raise ValueError(f"primary must hold homogeneous polynomials of degree at least 1, and holds {form}.")
        if not is_invariant(form, group):
            raise ValueError(f"primary must hold invariants of the group, and holds {form}.")
