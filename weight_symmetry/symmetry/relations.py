"""Coloured vertices and labelled relations between them: what a permutation of units must preserve.

A part of a mask that has one set of movable units along its axes colours these units, by their entries; a part with two
labels the pairs of their units. Where the same set is along several axes, as in recurrent weights, each further axis
has a copy of it, and where more than two sets are, as for the heads of attention, all but one are joined to a set of
their tuples. A relation ties each copy to its unit and each tuple to its members, so that they move with these alone.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from weight_symmetry.masks import Mask
from weight_symmetry.symmetry.masked_units import Numbers, distinct

Labels: TypeAlias = npt.NDArray[Any]
Hashes: TypeAlias = npt.NDArray[np.uint64]

SMALL = 2**16  # Labels below are not numbered anew, which takes a sort.


@dataclasses.dataclass(frozen=True, eq=False)
class _Entries:
    """The pairs of a relation whose label is not the commonest one, sorted by the vertex on one side.

    Attributes:
      firsts: The vertices on this side that have any.
      starts: Where the pairs of each of these begin.
      others: The vertex on the other side, for each pair.
      labels: The label of each pair.
    """

    firsts: Numbers
    starts: Numbers
    others: Numbers
    labels: Numbers

    def sums(self, colours: Numbers, salt: int, size: int) -> Hashes:
        """Sums two hashes of each pair's label and other colour, `[size, 2]`, over the pairs of each vertex."""
        found = np.zeros((size, 2), np.uint64)
        if len(self.others):
            kinds = int(self.labels.max()) + 1
            numbers = (colours[self.others] * kinds + self.labels).astype(np.uint64)
            for column in range(2):
                hashes = _hashed(numbers, 2 * salt + column)
                found[self.firsts, column] = np.add.reduceat(hashes, self.starts)
        return found


@dataclasses.dataclass(frozen=True, eq=False)
class Relation:
    """A label for each pair of vertices of two different sets.

    Attributes:
      one: The number of a set.
      other: The number of the other.
      labels: Integers, `[vertices of one, vertices of other]`.
    """

    one: int
    other: int
    labels: Labels
    _listed: dict[int, _Entries] = dataclasses.field(default_factory=dict, repr=False)

    @functools.cached_property
    def _commonest(self) -> int:
        return int(np.bincount(self.labels.ravel()).argmax())

    def entries(self, side: int) -> _Entries:
        """Lists the pairs whose label is not the commonest one, by the vertices of `one` (0) or of `other` (1)."""
        if side not in self._listed:
            labels = self.labels.T if side else self.labels
            firsts, others = np.nonzero(labels != self._commonest)
            starts = np.flatnonzero(np.diff(firsts, prepend=-1))
            self._listed[side] = _Entries(firsts[starts], starts, others, labels[firsts, others].astype(np.intp))
        return self._listed[side]


class Relations:
    """Sets of coloured vertices, and relations between them.

    Attributes:
      colours: For each set, the colours of its vertices, numbered from 0 in an order that depends on the relations
        alone, not on how the vertices are numbered.
    """

    def __init__(self, colours: Iterable[Numbers]):
        """Starts with sets of vertices of some colours."""
        self.colours = list(colours)
        self._labels: dict[tuple[int, int], Labels] = {}
        self._copies: dict[tuple[int, int], int] = {}
        self._tuples: dict[tuple[int, ...], int] = {}

    def relate(self, mask: Mask, sets: Sequence[int]) -> None:
        """Adds the relation given by a mask.

        Args:
          mask: `[fixed, vertices of the first set, of the second, ...]`.
          sets: The numbers of two sets or more.
        """
        seen: Counter[int] = Counter()
        own = []
        for each in sets:
            own.append(self._copy(each, seen[each]))
            seen[each] += 1
        sizes = [len(self.colours[each]) for each in own]
        largest = int(np.argmax(sizes))
        others = [place for place in range(len(own)) if place != largest]
        pairs = np.moveaxis(mask, 1 + largest, 1).reshape(len(mask), sizes[largest], -1)
        self._add(own[largest], self._joined([own[place] for place in others]), _labels(pairs))

    @functools.cached_property
    def relations(self) -> list[Relation]:
        """The relations, one at the most for any two sets."""
        return [Relation(*sets, labels) for sets, labels in self._labels.items()]

    def refine(self) -> None:
        """Splits colours until vertices of one colour have as many neighbours of each colour by each label.

        Colours are split by sums of hashes. That two different sums are equal, with a chance below 2^-100, only leaves
        colours unsplit, and what is said of vertices of a colour of their own is then made sure of, label by label.
        """
        self._split_by_hashes()
        while self._split_by_single_vertices():
            self._split_by_hashes()

    def movable(self) -> list[Numbers]:
        """Lists the vertices of each set that share their colour with others."""
        return [np.flatnonzero(np.bincount(own)[own] > 1) for own in self.colours]

    def _add(self, one: int, other: int, labels: Labels) -> None:
        """Adds labels of pairs, to those that there are."""
        if one > other:
            one, other, labels = other, one, labels.T
        if (one, other) in self._labels:
            labels = _ranks(self._labels[one, other].astype(np.intp) * (int(labels.max()) + 1) + labels)
        self._labels[one, other] = labels

    def _copy(self, number: int, count: int) -> int:
        if not count:
            return number
        if (number, count) not in self._copies:
            size = len(self.colours[number])
            self.colours.append(np.zeros(size, np.intp))
            self._copies[number, count] = len(self.colours) - 1
            self._add(number, len(self.colours) - 1, np.eye(size, dtype=np.uint8))
        return self._copies[number, count]

    def _joined(self, sets: Sequence[int]) -> int:
        if len(sets) == 1:
            return sets[0]
        if tuple(sets) not in self._tuples:
            sizes = [len(self.colours[each]) for each in sets]
            members = np.indices(sizes).reshape(len(sets), -1)
            self.colours.append(np.zeros(members.shape[1], np.intp))
            self._tuples[tuple(sets)] = len(self.colours) - 1
            for each, size, own in zip(sets, sizes, members, strict=True):
                incidence = (np.arange(size)[:, np.newaxis] == own).astype(np.uint8)
                self._add(each, len(self.colours) - 1, incidence)
        return self._tuples[tuple(sets)]

    def _split_by_hashes(self) -> None:
        sides: list[list[tuple[int, int, Relation]]] = [[] for _ in self.colours]
        for number, relation in enumerate(self.relations):
            sides[relation.one].append((2 * number, relation.other, relation))
            sides[relation.other].append((2 * number + 1, relation.one, relation))
        stale = [True] * len(sides)
        while any(stale):
            number = stale.index(True)
            stale[number] = False
            own = self.colours[number]
            if own.max() + 1 == len(own) or not sides[number]:
                continue
            sums = sum(
                relation.entries(side % 2).sums(self.colours[other], side, len(own))
                for side, other, relation in sides[number]
            )
            assert not isinstance(sums, int)
            self.colours[number], counts = distinct(np.column_stack([own.astype(np.uint64), sums]))
            if len(counts) > own.max() + 1:
                for _, other, _ in sides[number]:
                    stale[other] = True

    def _split_by_single_vertices(self) -> bool:
        """Splits colours by the labels to each vertex of a colour of its own; tells whether there was any to split."""
        seen: list[list[Labels]] = [[] for _ in self.colours]
        movable = self.movable()
        for relation in self.relations:
            for one, other, labels in (
                (relation.one, relation.other, relation.labels),
                (relation.other, relation.one, relation.labels.T),
            ):
                single = np.argsort(self.colours[one])  # In the order of colours, which no numbering changes.
                single = single[~np.isin(single, movable[one])]
                if len(single) and len(movable[other]):
                    seen[other].append(labels[np.ix_(single, movable[other])].T.astype(np.int64))
        split = False
        for number, rows in enumerate(seen):
            if rows:
                own = self.colours[number]
                kinds = np.zeros(len(own), np.intp)
                kinds[movable[number]], _ = distinct(np.hstack(rows))
                self.colours[number], counts = distinct(np.column_stack([own, kinds]))
                split |= len(counts) > own.max() + 1
        return split


def _hashed(numbers: Hashes, salt: int) -> Hashes:
    """Hashes numbers as splitmix64 does (Steele, Lea & Flood 2014)."""
    numbers = numbers + np.uint64((salt + 1) * 0x9E3779B97F4A7C15 % 2**64)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _labels(bits: Mask) -> Labels:
    """Numbers the distinct columns of bits, `[bits, ...]`, in an order that depends on their values alone."""
    if len(bits) == 1:
        return bits[0].view(np.uint8)
    labels = np.zeros(bits.shape[1:], np.intp)
    for row in bits:
        labels = 2 * labels + row
        if labels.max(initial=0) >= SMALL:
            labels = _ranks(labels)
    return labels if 2 ** len(bits) <= SMALL else _ranks(labels)


def _ranks(labels: Labels) -> Labels:
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
