"""Bases of the spaces of invariant forms of one degree, in reduced echelon form.

For permutations these are orbit sums of monomials, stored as orbit labels; for matrices, coefficient vectors over a
number field. Each basis form has coefficient 1 at its leading monomial, the first in the order of `monomials`, where
the others have 0, so the coefficients of an invariant at the leading monomials are its coordinates.
"""

import abc
import functools
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from weirdonetworks.algebra import fields, modular
from weirdonetworks.algebra.arrays import Ints, instance, written
from weirdonetworks.algebra.fields import NumberField
from weirdonetworks.algebra.groups.matrix_groups import MatrixGroup, exact_generators, exact_parts
from weirdonetworks.algebra.groups.orbits import Orbits
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.algebra.polynomials import monomials
from weirdonetworks.algebra.polynomials.rings import Group, Polynomial, from_vector, polynomial_ring
from weirdonetworks.algebra.polynomials.substitution import symmetric_power

WRITTEN = 2 * 10**7  # The largest number of exponents in polynomials, which are Python objects: gigabytes.


class Space(abc.ABC):
    """The space of invariant forms of one degree of a group, with a basis.

    Attributes:
      group: The group.
      degree: The degree.
      leading: The ranks of the leading monomials of the basis, `[dimension]`, increasing.
    """

    group: Group
    degree: int
    leading: Ints

    def __len__(self) -> int:
        return len(self.leading)

    @abc.abstractmethod
    def images(self, normal: Ints, prime: int, root: int) -> Ints:
        """Applies a linear map of forms, `[monomials, k]`, to the basis modulo a prime: `[dimension, k]`."""

    @abc.abstractmethod
    def polynomial(self, index: int) -> Polynomial:
        """Returns basis form `index` as a SymPy polynomial."""

    @functools.cached_property
    def polynomials(self) -> list[Polynomial]:
        """The basis as SymPy polynomials."""
        return [self.polynomial(index) for index in range(len(self))]

    def leading_exponents(self) -> list[tuple[int, ...]]:
        """Returns the exponents of the leading monomials."""
        n = self.group.dimension
        return [tuple(row) for row in monomials.to_exponents(monomials.at(self.leading, n, self.degree), n).tolist()]


class OrbitSums(Space):
    """The orbit sums of a permutation group on the monomials of a degree."""

    def __init__(self, group: PermutationGroup, degree: int) -> None:
        self.group, self.degree = group, degree
        self._orbits = group.orbits_on_monomials(degree) if degree else Orbits(np.zeros(1, np.intp))
        self.leading = self._orbits.representatives

    @functools.cached_property
    def _members(self) -> Ints:
        return np.argsort(self._orbits.labels, kind="stable")

    @functools.cached_property
    def _starts(self) -> Ints:
        return np.cumsum(self._orbits.sizes) - self._orbits.sizes

    def images(self, normal: Ints, prime: int, root: int) -> Ints:
        return np.add.reduceat(normal[self._members], self._starts, axis=0) % prime

    def polynomial(self, index: int) -> Polynomial:
        n, number = self.group.dimension, len(self._orbits.labels)
        if n * number > WRITTEN:
            raise ValueError(
                f"degree (={self.degree}) gives {written(number)} monomials in {n} variables, too many to write out. "
                "Use group.orbits_on_monomials(degree), the same basis as one label per monomial."
            )
        rows = monomials.at(self._members[self._starts[index] :][: self._orbits.sizes[index]], n, self.degree)
        ring = polynomial_ring(self.group)
        return ring.from_dict(dict.fromkeys(map(tuple, monomials.to_exponents(rows, n).tolist()), ring.domain.one))


class Forms(Space):
    """The invariant forms of an exact matrix group: the kernel of S^T - 1, S the symmetric powers of the generators."""

    def __init__(self, group: MatrixGroup, degree: int) -> None:
        self.group, self.degree = group, degree
        self._field = exact_parts(group)[0]
        self._generators = exact_generators(group)
        self.leading, self._numerators, self._denominators = fields.kernel(
            self._field, self._modulo, self._vanishes, self._bound
        )

    def _differences(self, prime: int, root: int) -> Iterator[Ints]:
        """Yields S - 1 for each generator, cleared of denominators, modulo a prime: `c @ (S - 1)` is to be 0."""
        for numerators, denominator in self._generators:
            matrix = self._field.reduce(numerators, prime, root)
            moved = symmetric_power(matrix, self.degree, lambda values: values % prime)
            np.fill_diagonal(moved, (np.diagonal(moved) - pow(denominator, self.degree, prime)) % prime)
            yield moved

    def _modulo(self, prime: int, root: int) -> tuple[Ints, Ints]:
        # One generator after the other, as the forms invariant under the first span a small space.
        first, *others = self._differences(prime, root)
        _, vectors = modular.kernel(first.T, prime)
        for difference in others:
            _, combinations = modular.kernel(modular.matmul(vectors, difference, prime).T, prime)
            vectors = modular.matmul(combinations, vectors, prime)
        return modular.echelon(vectors, prime)

    def _vanishes(self, vectors: Ints, prime: int, root: int) -> bool:
        return not any(np.any(modular.matmul(vectors, each, prime)) for each in self._differences(prime, root))

    def _bound(self, norm: int) -> int:
        # norm(f(A x)) <= norm(f) (growth max_row norm(row of A))^degree.
        bounds: list[int] = []
        for numerators, denominator in self._generators:
            row = self._field.growth * max(map(self._field.norm, numerators))
            bounds.append(row**self.degree + denominator**self.degree)
        return norm * max(bounds)

    def images(self, normal: Ints, prime: int, root: int) -> Ints:
        inverses = np.array([modular.inverse(each, prime) for each in self._denominators], np.intp)
        rows = self._field.reduce(self._numerators, prime, root) * inverses[:, None] % prime
        return modular.matmul(rows, normal, prime)

    def polynomial(self, index: int) -> Polynomial:
        ring = polynomial_ring(self.group)
        return from_vector(ring, self._field, self._numerators[index], self._denominators[index], self.degree)


Spaces: TypeAlias = Callable[[int], Space]


def spaces(group: Group) -> Spaces:
    """Returns a cached function from degrees to the spaces of invariant forms of a group.

    Raises:
      ValueError: If the group is in floating point.
    """
    instance("group", group, PermutationGroup, MatrixGroup)
    if isinstance(group, PermutationGroup):
        return functools.cache(lambda degree: OrbitSums(group, degree))
    exact_parts(group)
    return functools.cache(lambda degree: Forms(group, degree))


def field_of(group: Group) -> NumberField:
    """Returns the number field of the invariants of an exact group."""
    return NumberField(polynomial_ring(group).domain)


def split_primes(group: Group) -> Iterator[tuple[int, int]]:
    """Yields primes modulo which a group has the same Molien series as in characteristic zero.

    These divide neither the order of the group nor a denominator of its entries. Each comes with a root, modulo the
    prime, of the minimal polynomial of the generator of the field.
    """
    denominator, order = 1, 1
    if isinstance(group, MatrixGroup):
        denominator, order = exact_parts(group)[2], group.order  # For permutations, no prime above n divides n!.
    for prime, roots in field_of(group).split_primes():
        if denominator % prime and order % prime and prime > group.dimension:
            yield prime, roots[0]
