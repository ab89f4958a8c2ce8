"""Enumerations of permutation groups: bijections between mixed-radix digits and elements.

With a bijection from digits (c_1, ..., c_k), 0 <= c_i < m_i, to elements, the order of a group is the product of the
radices m_i, and uniform random digits give uniform random elements. Cyclic, dihedral, symmetric and alternating groups,
shifts and products have a bijection in closed form; for any other group it comes from the stabilizer chain of Schreier
and Sims.
"""

import abc
import functools
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.algebra.groups.orbits import join

CycleTypes: TypeAlias = Counter[tuple[int, ...]]

COUNTED = 2 * 10**7  # The largest elements x points listed to count cycle types: some seconds.
CHUNK = 2**18  # Elements x points listed at a time.


class Enumeration(abc.ABC):
    """A bijection from mixed-radix digits to the elements of a permutation group; digits of 0 give the identity.

    Attributes:
      degree: The number of points.
      radices: The radices m_1, ..., m_k of the digits.
    """

    def __init__(self, degree: int, radices: Sequence[int]) -> None:
        self.degree = degree
        self.radices = tuple(radices)

    @property
    def order(self) -> int:
        """The number of elements."""
        return math.prod(self.radices)

    @abc.abstractmethod
    def at(self, digits: Ints) -> Ints:
        """Returns the elements, `[num, degree]`, of digits `[num, len(radices)]`."""

    @abc.abstractmethod
    def contains(self, permutation: Ints) -> bool:
        """Tells whether a permutation of the points is an element."""

    @functools.cached_property
    def cycle_types(self) -> CycleTypes | None:
        """The number of elements of each cycle type, by listing them; None if there are too many to list."""
        if self.order * self.degree > COUNTED:
            return None
        types: CycleTypes = Counter()
        step = max(1, CHUNK // self.degree)
        for start in range(0, self.order, step):
            types.update(cycle_lengths(elements_between(self, start, min(start + step, self.order))))
        return types

    def molien_series(self, max_degree: int) -> list[int] | None:
        """Expands the Molien series 1/|G| sum_g prod 1 / (1 - t^c), over the cycle lengths c of g, up to a degree.

        Returns None if there are too many elements to list.
        """
        types = self.cycle_types
        if types is None:
            return None
        total = [0] * (max_degree + 1)
        for lengths, number in types.items():
            series = [1] + [0] * max_degree
            for length, many in Counter(lengths).items():
                powers = [math.comb(many + k - 1, k) for k in range(max_degree // length + 1)]
                series = [
                    sum(powers[k] * series[power - k * length] for k in range(power // length + 1))
                    for power in range(max_degree + 1)
                ]
            total = [so_far + number * value for so_far, value in zip(total, series, strict=True)]
        return [value // self.order for value in total]


class ElementTable(Enumeration):
    """An enumeration by a table of all elements, `[order, degree]`, the identity first."""

    def __init__(self, table: Ints) -> None:
        super().__init__(table.shape[1], (len(table),))
        self._table = table

    def at(self, digits: Ints) -> Ints:
        return self._table[digits[:, 0]]

    def contains(self, permutation: Ints) -> bool:
        return bool((self._table == permutation).all(axis=1).any())


class Polygon(Enumeration):
    """The cyclic group on the corners of a regular polygon, or with `reflections` the dihedral group: s(i) = c +- i."""

    def __init__(self, corners: int, reflections: bool) -> None:
        # On one or two corners each reflection equals a rotation.
        super().__init__(corners, (corners, 2 if reflections and corners > 2 else 1))

    def at(self, digits: Ints) -> Ints:
        return (digits[:, :1] + (1 - 2 * digits[:, 1:]) * np.arange(self.degree)) % self.degree

    def contains(self, permutation: Ints) -> bool:
        turned = np.array([[permutation[0], side] for side in range(self.radices[1])])
        return bool((self.at(turned) == permutation).all(axis=1).any())


class Torus(Enumeration):
    """The cyclic shifts of an image, channels last; the digits are the shifts down and to the right."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        super().__init__(height * width * channels, (height, width))
        self._shape = (height, width, channels)

    def at(self, digits: Ints) -> Ints:
        height, width, channels = self._shape
        row, column, channel = np.unravel_index(np.arange(self.degree), self._shape)
        rows, columns = (row + digits[:, :1]) % height, (column + digits[:, 1:]) % width
        return (rows * width + columns) * channels + channel

    def contains(self, permutation: Ints) -> bool:
        row, column, _ = np.unravel_index(permutation[0], self._shape)
        return bool(np.array_equal(self.at(np.array([[row, column]]))[0], permutation))


class Symmetric(Enumeration):
    """The symmetric or alternating group: digit c_k transposes positions k and k + c_k, for k = 0, 1, ..."""

    def __init__(self, degree: int, even: bool) -> None:
        super().__init__(degree, range(degree, 2 if even else 1, -1))
        self._even = even

    def at(self, digits: Ints) -> Ints:
        elements = np.tile(np.arange(self.degree), (len(digits), 1))
        if self._even and self.degree > 1:  # The last transposition makes the permutation even.
            digits = np.hstack([digits, np.count_nonzero(digits, axis=1)[:, None] % 2])
        rows = np.arange(len(digits))
        for place, step in enumerate(digits.T):
            other = elements[rows, place + step]
            elements[rows, place + step] = elements[:, place]
            elements[:, place] = other
        return elements

    def contains(self, permutation: Ints) -> bool:
        return not self._even or bool(is_even(permutation))

    @functools.cached_property
    def cycle_types(self) -> CycleTypes | None:
        """The number of elements of each cycle type: n! / prod(k^m_k m_k!) permutations have m_k cycles of length k."""
        if self.degree > 40:  # 40 points have 37,338 cycle types, and their number grows fast.
            return None
        from sympy.utilities.iterables import partitions

        types: CycleTypes = Counter()
        for parts in partitions(self.degree):
            if self._even and sum(many for length, many in parts.items() if length % 2 == 0) % 2:
                continue
            share = math.prod(length**many * math.factorial(many) for length, many in parts.items())
            lengths = tuple(itertools.chain.from_iterable([key] * parts[key] for key in sorted(parts, reverse=True)))
            types[lengths] = math.factorial(self.degree) // share
        return types

    def molien_series(self, max_degree: int) -> list[int]:
        """Expands prod_(i=1)^n 1 / (1 - t^i), times 1 + t^(n choose 2) for the alternating group (Vandermonde)."""
        series = [1] + [0] * max_degree
        for step in range(1, min(self.degree, max_degree) + 1):
            for power in range(step, max_degree + 1):
                series[power] += series[power - step]
        lag = math.comb(self.degree, 2)
        if self._even and self.degree > 1:
            series = [value + (series[power - lag] if power >= lag else 0) for power, value in enumerate(series)]
        return series


class Product(Enumeration):
    """A direct product of groups on disjoint sets of points, numbered factor after factor."""

    def __init__(self, parts: Sequence[Enumeration]) -> None:
        super().__init__(sum(part.degree for part in parts), [radix for part in parts for radix in part.radices])
        self._parts = tuple(parts)

    def at(self, digits: Ints) -> Ints:
        blocks, column, offset = [], 0, 0
        for part in self._parts:
            blocks.append(part.at(digits[:, column : column + len(part.radices)]) + offset)
            column, offset = column + len(part.radices), offset + part.degree
        return np.hstack(blocks)

    def contains(self, permutation: Ints) -> bool:
        offset = 0
        for part in self._parts:
            block = permutation[offset : offset + part.degree] - offset
            if block.min() < 0 or block.max() >= part.degree or not part.contains(block):
                return False
            offset += part.degree
        return True

    @functools.cached_property
    def cycle_types(self) -> CycleTypes | None:
        types: CycleTypes = Counter({(): 1})
        for part in self._parts:
            factor = part.cycle_types
            if factor is None or len(types) * len(factor) > COUNTED // self.degree:
                return None
            merged: CycleTypes = Counter()
            for (some, number), (others, times) in itertools.product(types.items(), factor.items()):
                merged[tuple(sorted(some + others, reverse=True))] += number * times
            types = merged
        return types

    def molien_series(self, max_degree: int) -> list[int] | None:
        series = [1] + [0] * max_degree
        for part in self._parts:
            factor = part.molien_series(max_degree)
            if factor is None:
                return None
            series = [sum(series[i] * factor[power - i] for i in range(power + 1)) for power in range(max_degree + 1)]
        return series


class StabilizerChain(Enumeration):
    """Any permutation group, by transversals along a chain of point stabilizers (Sims 1970).

    Each element is a unique product u_1 u_2 ... u_k with u_i in the i-th transversal, which has one element for each
    point in the orbit of base point i under the stabilizer of the base points before it.
    """

    def __init__(self, base: Sequence[int], transversals: Sequence[Ints], degree: int) -> None:
        super().__init__(degree, [len(transversal) for transversal in transversals])
        self._base, self._transversals = tuple(base), tuple(transversals)

    @classmethod
    def of(cls, generators: Ints) -> "StabilizerChain":
        """Builds the chain by SymPy's deterministic Schreier-Sims algorithm, so that every run has the same digits."""
        from sympy.combinatorics import Permutation, PermutationGroup

        group = PermutationGroup([Permutation(row) for row in generators.tolist()])
        base, transversals = group.base, group.basic_transversals
        tables = []
        for point, transversal in zip(base, transversals, strict=True):
            images = sorted(transversal, key=lambda image, point=point: (image != point, image))  # type: ignore[misc]
            tables.append(np.array([transversal[image].array_form for image in images], np.intp))
        return cls(base, tables, generators.shape[1])

    def at(self, digits: Ints) -> Ints:
        elements = np.tile(np.arange(self.degree), (len(digits), 1))
        for transversal, digit in zip(self._transversals[::-1], digits.T[::-1], strict=True):
            elements = np.take_along_axis(transversal[digit], elements, axis=1)
        return elements

    def contains(self, permutation: Ints) -> bool:
        for point, transversal in zip(self._base, self._transversals, strict=True):
            fitting = np.flatnonzero(transversal[:, point] == permutation[point])
            if not len(fitting):
                return False
            permutation = np.argsort(transversal[fitting[0]])[permutation]
        return bool(np.array_equal(permutation, np.arange(self.degree)))


def find(generators: Ints) -> Enumeration:
    """Finds an enumeration of the group generated by permutations `[generators, degree]`."""
    degree = generators.shape[1]
    if degree >= 9 and _holds_all_even(generators):
        return Symmetric(degree, even=bool(np.all([is_even(generator) for generator in generators])))
    return StabilizerChain.of(generators)


def is_even(permutation: Ints) -> bool:
    """Tells whether a permutation is even: points minus cycles is even."""
    (lengths,) = cycle_lengths(permutation[None])
    return (len(permutation) - len(lengths)) % 2 == 0


def cycle_lengths(elements: Ints) -> CycleTypes:
    """Counts the permutations `[num, degree]` of each cycle type, written as cycle lengths in decreasing order.

    >>> cycle_lengths(np.array([[1, 2, 0, 3], [1, 0, 3, 2]]))
    Counter({(2, 2): 1, (3, 1): 1})
    """
    num, degree = elements.shape
    first, power = np.tile(np.arange(degree), (num, 1)), elements
    for _ in range(max(degree - 1, 1).bit_length()):  # `first` is the least of 2^k successive images.
        first = np.minimum(first, np.take_along_axis(first, power, axis=1))
        power = np.take_along_axis(power, power, axis=1)
    counts = np.bincount((first + degree * np.arange(num)[:, None]).ravel(), minlength=num * degree)
    types, numbers = np.unique(np.sort(counts.reshape(num, degree), axis=1)[:, ::-1], axis=0, return_counts=True)
    return Counter({tuple(row[row > 0].tolist()): number for row, number in zip(types, numbers.tolist(), strict=True)})


def _holds_all_even(generators: Ints) -> bool:
    """Tries to prove that a group contains the alternating group; False may mean that no proof was found.

    A transitive group with an element that has a cycle of prime length p, degree / 2 < p < degree - 2, is
    alternating or symmetric (Jordan 1873). Random products of the generators soon include such an element; a fixed seed
    makes the search deterministic.
    """
    degree = generators.shape[1]
    primes = [p for p in range(degree // 2 + 1, degree - 2) if all(p % q for q in range(2, math.isqrt(p) + 1))]
    if not primes or len(join(list(generators), degree)) > 1:
        return False
    rng = np.random.default_rng(0)
    pool = generators[np.arange(max(10, len(generators))) % len(generators)].copy()
    for step in range(200):  # Product replacement: one random element of the pool is multiplied by another.
        to, by = rng.choice(len(pool), 2, replace=False)
        pool[to] = pool[to][pool[by]] if rng.integers(2) else pool[by][pool[to]]
        if step >= 50 and any(set(lengths) & set(primes) for lengths in cycle_lengths(pool[to][None])):
            return True
    return False


def elements_between(enumeration: Enumeration, start: int, stop: int) -> Ints:
    """Lists the elements number start, ..., stop - 1, the last digit changing fastest."""
    digits, rest = np.zeros((stop - start, len(enumeration.radices)), np.intp), np.arange(start, stop)
    for place in reversed(range(len(enumeration.radices))):
        rest, digits[:, place] = np.divmod(rest, enumeration.radices[place])
    return enumeration.at(digits)


def random_elements(enumeration: Enumeration, num: int, rng: np.random.Generator) -> Ints:
    """Draws elements uniformly, with replacement."""
    digits = np.zeros((num, len(enumeration.radices)), np.intp)
    for place, radix in enumerate(enumeration.radices):
        digits[:, place] = rng.integers(radix, size=num)
    return enumeration.at(digits)
