"""Permutation groups: order, elements, uniform samples, orbits and membership, from generators.

A permutation is an int array `s` with `s[i]` the image of point `i`, and acts on vectors by `(s.x)[s[i]] = x[i]`.
"""

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, array, at_least, instance, listed, shown, written
from weirdonetworks.algebra.groups import enumerations
from weirdonetworks.algebra.groups.orbits import Orbits, join
from weirdonetworks.algebra.groups.permutations import POINTS, as_permutations, compose, inverse
from weirdonetworks.algebra.polynomials import monomials

LISTED = 50_000  # The default limit of `elements`: above 8!, and 300 MB on 784 points.


class PermutationGroup:
    """A permutation group on n points, given by generators.

    It acts on vectors of n entries by `(s.x)[s[i]] = x[i]`, so `a.(b.x) = compose(a, b).x`. Order, elements and samples
    come from an enumeration of the elements by digits: in closed form for the groups that this package constructs, by
    the Schreier-Sims algorithm (Sims 1970; Holt, Eick & O'Brien, Handbook of Computational Group Theory, chapter 4) on
    first use for any other. Only `elements` lists the elements.

    >>> group = PermutationGroup([[1, 2, 3, 0], [1, 0, 3, 2]])
    >>> group.order, group.orbits().sizes.tolist(), group.contains([2, 1, 0, 3])
    (8, [4], True)

    Args:
      generators: Permutations of the same points, `[generators, n]`, at least one.

    Raises:
      TypeError: If a generator does not hold integers.
      ValueError: If there is no generator, one is no permutation, or they differ in size.
    """

    def __init__(self, generators: npt.ArrayLike | Iterable[npt.ArrayLike]) -> None:
        self._generators = _checked(generators)
        self._generators.flags.writeable = False

    @classmethod
    def _known(cls, generators: npt.ArrayLike, elements: enumerations.Enumeration) -> "PermutationGroup":
        """Makes a group whose enumeration is known in closed form."""
        group = cls(generators)
        group._elements = elements  # Takes the place of the cached property.
        return group

    def __repr__(self) -> str:
        return f"<PermutationGroup on {self.degree} points, {len(self._generators)} generators>"

    @functools.cached_property
    def _elements(self) -> enumerations.Enumeration:
        return enumerations.find(self._generators)

    @property
    def degree(self) -> int:
        """The number n of points."""
        return len(self._generators[0])

    @property
    def dimension(self) -> int:
        """The dimension n of the vectors it acts on, as for a `MatrixGroup`."""
        return self.degree

    @property
    def domain(self) -> Any:
        """The SymPy domain of the coefficients of its invariants: QQ."""
        from sympy import QQ

        return QQ

    @property
    def generators(self) -> Ints:
        """The generators, `[generators, n]`, read-only."""
        return self._generators

    @property
    def order(self) -> int:
        """The number of elements, exact."""
        return self._elements.order

    def elements(self, limit: int = LISTED) -> Ints:
        """Lists all elements, in a fixed order with the identity first.

        >>> PermutationGroup([[1, 2, 0]]).elements().tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1]]

        Args:
          limit: The largest number of elements to list.

        Returns:
          The elements, `[order, n]`; `x[..., inverse(elements)]` is the orbit of x.

        Raises:
          ValueError: If there are more than `limit`.
        """
        if self.order > limit:
            raise ValueError(
                f"limit (={limit}) must be at least the order of the group (={written(self.order)}). "
                "Use sample(num, seed) for random elements, or raise limit."
            )
        return enumerations.elements_between(self._elements, 0, self.order)

    def sample(self, num: int, seed: int) -> Ints:
        """Draws elements uniformly and independently, so with replacement.

        >>> PermutationGroup([[1, 2, 0]]).sample(2, seed=0).shape
        (2, 3)

        Args:
          num: The number of elements, at least 1.
          seed: The random seed, at least 0.

        Returns:
          The elements, `[num, n]`.

        Raises:
          ValueError: If an argument is too small.
        """
        rng = np.random.default_rng(at_least("seed", seed, 0))
        return enumerations.random_elements(self._elements, at_least("num", num, 1), rng)

    def contains(self, permutation: npt.ArrayLike) -> bool:
        """Tells whether a permutation of the n points is an element of the group.

        Raises:
          TypeError: If the permutation does not hold integers.
          ValueError: If it is not a permutation of n points.
        """
        candidate = as_permutations(permutation, "permutation")
        if candidate.shape != (self.degree,):
            raise ValueError(f"permutation (={shown(candidate)}) must permute the group's {self.degree} points.")
        return self._elements.contains(candidate)

    def __contains__(self, permutation: npt.ArrayLike) -> bool:
        return self.contains(permutation)

    @staticmethod
    def compose(first: npt.ArrayLike, second: npt.ArrayLike) -> Ints:
        """Composes permutations; see the function `compose`."""
        return compose(first, second)

    @staticmethod
    def inverse(permutation: npt.ArrayLike) -> Ints:
        """Inverts permutations; see the function `inverse`."""
        return inverse(permutation)

    def orbits(self) -> Orbits:
        """Computes the orbits of points.

        >>> PermutationGroup([[1, 0, 2]]).orbits().labels.tolist()
        [0, 0, 1]
        """
        return join(list(self._generators), self.degree)

    def orbits_on_pairs(self) -> Orbits:
        """Computes the orbits of ordered pairs of points, with labels `[n, n]`.

        A linear map W of R^n is equivariant, `W (s.x) = s.(W x)`, if and only if W[i, j] depends only on the orbit of
        (i, j).

        >>> PermutationGroup([[1, 2, 0]]).orbits_on_pairs().labels.tolist()
        [[0, 1, 2], [2, 0, 1], [1, 2, 0]]
        """
        pairs = [(row[:, None] * self.degree + row).ravel() for row in self._generators]
        return Orbits(join(pairs, self.degree**2).labels.reshape(self.degree, self.degree))

    def orbits_on_monomials(self, degree: int) -> Orbits:
        """Computes the orbits of the monomials of a degree in n variables, or multisets of that many points.

        >>> PermutationGroup([[1, 2, 0]]).orbits_on_monomials(2).labels.tolist()
        [0, 1, 1, 0, 1, 0]

        Args:
          degree: The degree, at least 1.

        Returns:
          The orbits, with labels in the order of `monomials.monomials(n, degree)`.

        Raises:
          ValueError: If the degree is below 1.
        """
        return monomials.orbits(self._generators, degree)

    def to_sympy(self) -> Any:
        """Converts the group to a SymPy `PermutationGroup`."""
        from sympy.combinatorics import Permutation, PermutationGroup as SymPyGroup

        return SymPyGroup([Permutation(row) for row in self._generators.tolist()])


def trivial_group(n: int) -> PermutationGroup:
    """Makes the trivial group on n points, n >= 1: the identity alone.

    >>> trivial_group(3).elements().tolist()
    [[0, 1, 2]]
    """
    only = np.arange(at_least("n", n, 1, POINTS))[None]
    return PermutationGroup._known(only, enumerations.ElementTable(only))


def cyclic_group(n: int) -> PermutationGroup:
    """Makes the cyclic group of the n cyclic shifts of n points, n >= 1, generated by i -> i + 1.

    >>> cyclic_group(5).order
    5
    """
    n = at_least("n", n, 1, POINTS)
    return PermutationGroup._known([np.roll(np.arange(n), -1)], enumerations.Polygon(n, reflections=False))


def dihedral_group(n: int) -> PermutationGroup:
    """Makes the dihedral group of the regular n-gon on its corners, n >= 1, generated by i -> i + 1 and i -> -i.

    Its order is 2n for n >= 3; for n <= 2 it is the cyclic group.

    >>> dihedral_group(4).order
    8
    """
    n = at_least("n", n, 1, POINTS)
    turn = np.roll(np.arange(n), -1)
    return PermutationGroup._known([turn, -np.arange(n) % n], enumerations.Polygon(n, reflections=True))


def symmetric_group(n: int) -> PermutationGroup:
    """Makes the symmetric group of all n! permutations of n points, n >= 1.

    >>> symmetric_group(20).order
    2432902008176640000
    """
    n = at_least("n", n, 1, POINTS)
    swap, turn = np.arange(n), np.roll(np.arange(n), -1)
    swap[:2] = swap[:2][::-1]
    return PermutationGroup._known([swap, turn], enumerations.Symmetric(n, even=False))


def alternating_group(n: int) -> PermutationGroup:
    """Makes the alternating group of the even permutations of n points, n >= 1.

    >>> alternating_group(4).order
    12
    """
    n = at_least("n", n, 1, POINTS)
    three, turn = np.arange(n), np.arange(n)
    start = 1 - n % 2  # A cycle of odd length is an even permutation.
    turn[start:] = np.roll(turn[start:], -1)
    if n >= 3:
        three[:3] = [1, 2, 0]
    return PermutationGroup._known([three, turn], enumerations.Symmetric(n, even=True))


def direct_product(*groups: PermutationGroup) -> PermutationGroup:
    """Makes the direct product of groups, acting on the disjoint union of their points, in order.

    >>> direct_product(cyclic_group(2), cyclic_group(3)).elements()[-1].tolist()
    [1, 0, 4, 2, 3]

    Raises:
      ValueError: If no group is given.
    """
    if not groups:
        raise ValueError("direct_product must be given at least one group.")
    generators, start = [], 0
    degree = sum(instance("groups", group, PermutationGroup).degree for group in groups)
    for group in groups:
        for generator in group.generators:
            whole = np.arange(degree)
            whole[start : start + group.degree] = start + generator
            generators.append(whole)
        start += group.degree
    return PermutationGroup._known(generators, enumerations.Product([group._elements for group in groups]))


def _checked(generators: Any) -> Ints:
    if isinstance(generators, np.ndarray) and generators.ndim == 2 and len(generators):
        return as_permutations(generators, "generators")
    rows = [array("generators", generator) for generator in listed("generators", generators, "permutations")]
    if not rows:
        raise ValueError("generators must hold at least one permutation, as trivial_group(n) does.")
    if any(row.ndim != 1 for row in rows):
        raise ValueError(f"generators (={generators!r}) must be a list of permutations, each a list of points.")
    for index, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"generators must permute the same points: generator 0 has {len(rows[0])}, "
                f"generator {index} has {len(row)}."
            )
    return as_permutations(np.stack(rows), "generators")
