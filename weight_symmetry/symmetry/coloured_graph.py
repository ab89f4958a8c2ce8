"""The coloured graph whose automorphisms are the joint symmetries of masks."""

import functools
import itertools
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from weight_symmetry.masks import Mask
from weight_symmetry.symmetry.masked_units import Bytes, Key, MaskedUnits, Numbers, distinct
from weight_symmetry.symmetry.relations import Relations
from weirdonetworks.measure.unit_tracing.axes import Units

_LIMIT = threading.Lock()


class _Classes:
    """The units of one set, in classes of units with equal entries in all masks.

    Attributes:
      of_unit: The class of each unit.
      counts: The number of units of each class.
      units: All units, class by class.
      starts: Where each class begins in `units`.
    """

    def __init__(self, entries: Bytes):
        self.of_unit, self.counts = distinct(entries)
        self.units = np.argsort(self.of_unit, kind="stable")
        self.starts = np.cumsum(self.counts) - self.counts

    @property
    def first(self) -> Numbers:
        """A unit of each class."""
        return self.units[self.starts]

    @property
    def sizes(self) -> Bytes:
        """The number of units of each class, as a row of bytes."""
        return self.counts.astype(np.int64)[:, np.newaxis].view(np.uint8)

    def in_order(self, classes: Numbers) -> Numbers:
        """Lists all units, taking the classes in a given order."""
        counts = self.counts[classes]
        shift = np.repeat(self.starts[classes] - (np.cumsum(counts) - counts), counts)
        order: Numbers = self.units[np.arange(len(self.units)) + shift]
        return order


class ColouredGraph:
    """The coloured graph of a network's unit classes: vertices for classes that may move, edges for connections.

    Units with equal entries in all masks form a class. Any permutation within classes is a symmetry, and every symmetry
    takes classes to classes, so the order of the group is that within the classes times that of the group of the
    classes, whose entries are those of any of their units.
    """

    def __init__(self, igraph: Any, masked: MaskedUnits, alive: Mapping[Units, Mask] | None = None):
        """Makes the graph.

        Args:
          igraph: The package.
          masked: The masks.
          alive: The units that there are; None for all.
        """
        self._igraph = igraph
        sets, blocks = masked.movable, masked.blocks
        if alive is not None:
            indices = {units: np.flatnonzero(alive[units]) for units in sets.values() if not alive[units].all()}
            sets = {key: units for key, units in sets.items() if alive[units].any()}
            blocks = [block for block in (each.taken(indices) for each in blocks) if block.mask.size]
        self._keys = list(sets)
        sizes = {units: units.size if alive is None else int(alive[units].sum()) for units in sets.values()}
        entries: dict[Units, list[Bytes]] = {units: [] for units in sizes}
        alone: dict[Units, list[Bytes]] = {units: [] for units in sizes}  # Beside units that never move.
        for block in blocks:
            movable = [place for place, units in enumerate(block.units) if units in sizes]
            for place in movable:
                entries[block.units[place]].append(block.rows(place))
            if len(movable) == 1:
                alone[block.units[movable[0]]].append(entries[block.units[movable[0]]][-1])
        self._classes = [
            _Classes(np.hstack(rows) if rows else np.zeros((sizes[units], 1), np.uint8))
            for units, rows in entries.items()
        ]
        first = {units: classes.first for units, classes in zip(sizes, self._classes, strict=True)}
        self._relations = Relations(
            distinct(np.hstack([classes.sizes, *(rows[first[units]] for rows in alone[units])]))[0]
            for units, classes in zip(sizes, self._classes, strict=True)
        )
        numbers = {units: number for number, units in enumerate(sizes)}
        for block in blocks:
            movable = [place for place, units in enumerate(block.units) if units in sizes]
            if len(movable) > 1:
                mask = block.taken(first).mask
                fixed = [place for place in range(mask.ndim) if place not in movable]
                free = [mask.shape[place] for place in movable]
                own = [numbers[block.units[place]] for place in movable]
                self._relations.relate(mask.transpose(*fixed, *movable).reshape(-1, *free), own)
        self._relations.refine()
        # A class with a colour of its own cannot move, and joins all classes of any other one colour alike.
        self._movable = self._relations.movable()
        self._offsets = list(itertools.accumulate(map(len, self._movable), initial=0))
        self._graph, self._vertex_colours = self._build()

    @functools.cached_property
    def order(self) -> int:
        """The order of the group acting on units."""
        within = (math.factorial(count) for classes in self._classes for count in classes.counts.tolist())
        return math.prod(within) * _count(self._graph, self._vertex_colours)

    @functools.cached_property
    def _moves(self) -> list[list[Numbers]]:
        """Generators of the group acting on classes: for each, the permutation of every set's classes."""
        found = []
        for images in self._graph.automorphism_group(color=self._vertex_colours):
            found.append([np.arange(len(classes.counts)) for classes in self._classes])
            for moved, movable, start in zip(found[-1], self._movable, self._offsets, strict=False):
                moved[movable] = movable[np.array(images[start : start + len(movable)], int) - start]
        return found

    def generators(self) -> list[dict[Key, Numbers]]:
        """Returns generators of the group acting on units: two or fewer per class, then those of whole classes."""
        found: list[dict[Key, Numbers]] = []
        for key, classes in zip(self._keys, self._classes, strict=True):
            for start, count in zip(classes.starts.tolist(), classes.counts.tolist(), strict=True):
                members = classes.units[start : start + count]
                for cycle in [members[:2]] * (count > 1) + [members] * (count > 2):
                    images = np.arange(len(classes.units))
                    images[cycle] = np.roll(cycle, -1)
                    found.append({key: images})
        for move in self._moves:
            lifted: dict[Key, Numbers] = {}
            for key, classes, moved in zip(self._keys, self._classes, move, strict=True):
                if (moved != np.arange(len(moved))).any():
                    lifted[key] = np.empty(len(classes.units), np.intp)
                    lifted[key][classes.units] = classes.in_order(moved)
            found.append(lifted)
        return found

    def orbits(self) -> dict[Key, list[list[int]]]:
        """Returns the orbits of units, by set."""
        found: dict[Key, list[list[int]]] = {}
        for index, (key, classes) in enumerate(zip(self._keys, self._classes, strict=True)):
            number = len(classes.counts)
            pairs = [np.stack([np.arange(number), move[index]], axis=1) for move in self._moves]
            edges = np.concatenate([np.zeros((0, 2), int), *pairs])
            component = np.array(self._igraph.Graph(number, edges).connected_components().membership, int)
            orbit_of_unit = component[classes.of_unit]
            ordered = np.argsort(orbit_of_unit, kind="stable")
            parts = np.split(ordered, np.flatnonzero(np.diff(orbit_of_unit[ordered])) + 1)
            found[key] = sorted(part.tolist() for part in parts)
        return found

    def canonical_permutation(self) -> dict[Key, Numbers]:
        """Returns the permutation of each set's units into normal form."""
        # Versions of igraph differ in whether the result maps old vertices to new or back; it fits permute_vertices.
        self._graph.vs["vertex"] = range(self._graph.vcount())
        form = self._graph.permute_vertices(self._graph.canonical_permutation(color=self._vertex_colours))
        places = np.argsort(np.array(form.vs["vertex"], int))
        found: dict[Key, Numbers] = {}
        for index, (key, classes) in enumerate(zip(self._keys, self._classes, strict=True)):
            colours = self._relations.colours[index]
            place = np.zeros(len(colours), int)
            place[self._movable[index]] = places[self._offsets[index] : self._offsets[index + 1]]
            images = np.empty(len(classes.units), np.intp)
            images[classes.in_order(np.lexsort((place, colours)))] = np.arange(len(images))
            found[key] = images
        return found

    def _build(self) -> tuple[Any, list[int]]:
        """Makes the coloured graph: a vertex for each movable class, and for each connection where kinds differ."""
        colours, edges = [], [np.zeros((0, 2), int)]
        used = 0
        for own, movable in zip(self._relations.colours, self._movable, strict=True):
            colours.append(own[movable] + used)
            used += len(own)
        vertices = self._offsets[-1]
        for relation in self._relations.relations:
            labels = relation.labels[np.ix_(self._movable[relation.one], self._movable[relation.other])]
            # The commonest kind needs no edges.
            drawn = labels != np.bincount(labels.ravel(), minlength=1).argmax()
            starts = np.array([self._offsets[relation.one], self._offsets[relation.other]])
            ends = np.argwhere(drawn) + starts
            kinds = labels[drawn].astype(np.intp)
            if len(np.unique(kinds)) <= 1:
                edges.append(ends)
                continue
            middle = np.arange(vertices, vertices + len(ends))
            edges += [np.stack([ends[:, side], middle], axis=1) for side in (0, 1)]
            colours.append(kinds + used)
            vertices += len(ends)
            used += int(kinds.max()) + 1
        graph = self._igraph.Graph(vertices, np.concatenate(edges))
        return graph, np.concatenate([np.zeros(0, int), *colours]).tolist()


def _count(graph: Any, colours: Sequence[int]) -> int:
    """Counts a graph's automorphisms exactly."""
    # The count arrives as a decimal string, which Python reads up to 4300 digits, by a limit that is the process's.
    with _LIMIT:
        limit = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(0)
        try:
            return int(graph.count_automorphisms(color=colours))
        finally:
            sys.set_int_max_str_digits(limit)
