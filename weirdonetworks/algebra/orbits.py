"""Orbits of a group on numbered items: one label an item, found from the generators without listing the group."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np

from weirdonetworks.algebra.arrays import Ints


@dataclasses.dataclass(frozen=True, eq=False)
class Orbits:
    """A partition of items into the orbits of a group.

    >>> orbits = Orbits(np.array([0, 1, 0, 0]))
    >>> len(orbits), orbits.sizes.tolist(), orbits.representatives.tolist()
    (2, [3, 1], [0, 1])
    >>> [orbit.tolist() for orbit in orbits]
    [[0, 2, 3], [1]]

    Attributes:
      labels: The orbit of each item, counted from 0 in the order of their first items. Its shape is that of the items:
        `[n]` for points, `[n, n]` for ordered pairs, `[count(n, degree)]` for monomials. So `free[labels]` shares one
        free weight along each orbit, and a sum over an orbit is a sum by label.
    """

    labels: Ints

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[Ints]:
        """Gives the items of each orbit in turn, rising, as indices into the flattened labels."""
        members = np.argsort(self.labels, axis=None, kind="stable")
        return iter(np.split(members, np.cumsum(self.sizes)[:-1]))

    @functools.cached_property
    def sizes(self) -> Ints:
        """The number of items in each orbit."""
        return np.bincount(self.labels.ravel())

    @functools.cached_property
    def representatives(self) -> Ints:
        """The first item of each orbit, as an index into the flattened labels."""
        labels = self.labels.ravel()
        highest = np.maximum.accumulate(labels)
        # Orbits are numbered as they first occur, so an item opens one exactly where the highest label so far rises.
        return np.flatnonzero(np.diff(highest, prepend=-1))


def join(maps: Sequence[Ints], size: int) -> Orbits:
    """Finds the orbits of the group that permutations of 0, ..., size - 1 generate.

    They are the components of the graph with edges from i to s[i]. Every item points at an item of its component, in
    the end at the first. A round hooks the higher of the two roots that a map connects to the lower, then flattens by
    pointer jumping. (After the connected-components scheme of Shiloach & Vishkin 1982, with minima in place of
    concurrent writes.)

    >>> join([np.array([1, 0, 2, 3]), np.array([0, 1, 3, 2])], 4).labels.tolist()
    [0, 0, 1, 1]

    Args:
      maps: Permutations of the items, each `[size]`.
      size: The number of items.

    Returns:
      The orbits.
    """
    root = np.arange(size)
    changed = True
    while changed:
        changed = False
        for image in maps:
            other = root[image]
            apart = np.flatnonzero(root != other)
            if not len(apart):
                continue
            changed = True
            here, there = root[apart], other[apart]
            np.minimum.at(root, np.maximum(here, there), np.minimum(here, there))
            root = _flatten(root)
    first = root == np.arange(size)
    return Orbits((np.cumsum(first) - 1)[root])


def _flatten(root: Ints) -> Ints:
    while True:
        higher = root[root]
        if np.array_equal(higher, root):
            return root
        root = higher
