"""The coloured graph whose automorphisms are the joint symmetries of masks."""

import functools
import itertools
import math
import sys
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from weight_symmetry.chain import Layer, distinct, patterns
from weight_symmetry.masks import Mask

Permutation = npt.NDArray[np.intp]
Bytes = npt.NDArray[np.uint8]
_LIMIT = threading.Lock()


class _Classes:
    """The permutable units of one layer, in classes of equal incoming and outgoing connections.

    Attributes:
      of_unit: The class of each unit.
      counts: The number of units of each class.
      units: All units, class by class.
      starts: Where each class begins in `units`.
      colours: A number for each class; no symmetry, and no relabelling, takes a class to one of another colour.
      unconnected: The number of units without any connection.
    """

    def __init__(self, incoming: Bytes, outgoing: Bytes, labelled: list[Bytes]):
        """Forms the classes, coloured by size and by their `labelled` connections, to units that never move."""
        connections = np.hstack([incoming, outgoing])
        self.of_unit, self.counts = distinct(connections)
        self.units = np.argsort(self.of_unit, kind="stable")
        self.starts = np.cumsum(self.counts) - self.counts
        self.unconnected = int(np.count_nonzero(~np.logical_or.reduce(connections, axis=1)))
        sizes = self.counts.astype(np.int64)[:, np.newaxis].view(np.uint8)
        first = self.units[self.starts]
        self.colours, _ = distinct(np.hstack([sizes, *(part[first] for part in labelled)]))

    def in_order(self, classes: Permutation) -> Permutation:
        """Lists all units, taking the classes in a given order."""
        counts = self.counts[classes]
        shift = np.repeat(self.starts[classes] - (np.cumsum(counts) - counts), counts)
        order: Permutation = self.units[np.arange(len(self.units)) + shift]
        return order


class LayeredGraph:
    """The coloured graph of a network's unit classes: vertices for classes that may move, edges for connections."""

    def __init__(self, igraph: Any, layers: list[Layer], permute_outputs: bool):
        self._igraph = igraph
        self._classes: list[_Classes] = []
        permutable = len(layers) - (not permute_outputs)
        for index, (layer, next_layer) in enumerate(zip(layers, [*layers[1:], None], strict=True)):
            if index < permutable:
                incoming, outgoing = patterns(layer, next_layer)
                labelled = [incoming] * (index == 0) + [outgoing] * (index == permutable - 1)
                self._classes.append(_Classes(incoming, outgoing, labelled))
        self._labels = [
            _labels(layer.taps[:, before.units[before.starts]][:, :, after.units[after.starts]])
            for layer, (before, after) in zip(layers[1:], itertools.pairwise(self._classes), strict=False)
        ]
        self._colours = _refine([classes.colours for classes in self._classes], self._labels)
        # A class with a colour of its own cannot move, and joins all classes of any other one colour alike.
        self._movable = [np.flatnonzero(np.bincount(colours)[colours] > 1) for colours in self._colours]
        sizes = [len(movable) for movable in self._movable]
        self._offsets = list(itertools.accumulate(sizes, initial=0))
        self._graph, self._vertex_colours = self._build()

    @functools.cached_property
    def order(self) -> int:
        """The order of the group acting on units."""
        within = (math.factorial(count) for classes in self._classes for count in classes.counts.tolist())
        return math.prod(within) * _count(self._graph, self._vertex_colours)

    @functools.cached_property
    def _moves(self) -> list[list[Permutation]]:
        """Generators of the group acting on classes: for each, the permutation of every layer's classes."""
        found = []
        for images in self._graph.automorphism_group(color=self._vertex_colours):
            found.append([np.arange(len(classes.counts)) for classes in self._classes])
            for moved, movable, start in zip(found[-1], self._movable, self._offsets, strict=False):
                moved[movable] = movable[np.array(images[start : start + len(movable)], int) - start]
        return found

    def generators(self) -> list[dict[int, Permutation]]:
        """Returns generators of the group acting on units: two or fewer per class, then those of whole classes."""
        found = []
        for index, classes in enumerate(self._classes):
            for start, count in zip(classes.starts.tolist(), classes.counts.tolist(), strict=True):
                members = classes.units[start : start + count]
                for cycle in [members[:2]] * (count > 1) + [members] * (count > 2):
                    images = np.arange(len(classes.units))
                    images[cycle] = np.roll(cycle, -1)
                    found.append({index: images})
        for move in self._moves:
            lifted = {}
            for index, (classes, moved) in enumerate(zip(self._classes, move, strict=True)):
                if (moved != np.arange(len(moved))).any():
                    lifted[index] = np.empty(len(classes.units), np.intp)
                    lifted[index][classes.units] = classes.in_order(moved)
            found.append(lifted)
        return found

    def orbits(self) -> dict[int, list[list[int]]]:
        """Returns the orbits of units, by layer."""
        found: dict[int, list[list[int]]] = {}
        for index, classes in enumerate(self._classes):
            number = len(classes.counts)
            pairs = [np.stack([np.arange(number), move[index]], axis=1) for move in self._moves]
            edges = np.concatenate([np.zeros((0, 2), int), *pairs])
            component = np.array(self._igraph.Graph(number, edges).connected_components().membership, int)
            orbit_of_unit = component[classes.of_unit]
            ordered = np.argsort(orbit_of_unit, kind="stable")
            parts = np.split(ordered, np.flatnonzero(np.diff(orbit_of_unit[ordered])) + 1)
            found[index] = sorted(part.tolist() for part in parts)
        return found

    def canonical_permutation(self) -> dict[int, Permutation]:
        """Returns the permutation of each layer's units into normal form."""
        # Versions of igraph differ in whether the result maps old vertices to new or back; it fits permute_vertices.
        self._graph.vs["vertex"] = range(self._graph.vcount())
        form = self._graph.permute_vertices(self._graph.canonical_permutation(color=self._vertex_colours))
        places = np.argsort(np.array(form.vs["vertex"], int))
        found = {}
        for index, (classes, colours, movable) in enumerate(
            zip(self._classes, self._colours, self._movable, strict=True)
        ):
            place = np.zeros(len(colours), int)
            place[movable] = places[self._offsets[index] : self._offsets[index + 1]]
            images = np.empty(len(classes.units), np.intp)
            images[classes.in_order(np.lexsort((place, colours)))] = np.arange(len(images))
            found[index] = images
        return found

    def unconnected(self) -> list[int]:
        """Counts the units of each layer that have no connection."""
        return [classes.unconnected for classes in self._classes]

    def _build(self) -> tuple[Any, list[int]]:
        """Makes the coloured graph: a vertex for each movable class, and for each connection where kinds differ."""
        colours, edges = [], [np.zeros((0, 2), int)]
        used = 0
        for own, movable in zip(self._colours, self._movable, strict=True):
            colours.append(own[movable] + used)
            used += len(own)
        vertices = self._offsets[-1]
        for index, labels in enumerate(self._labels):
            labels = labels[self._movable[index]][:, self._movable[index + 1]]
            drawn = labels != np.bincount(labels.ravel(), minlength=1).argmax()  # The commonest kind needs no edges.
            ends = np.argwhere(drawn) + self._offsets[index : index + 2]
            kinds = labels[drawn]
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


def _labels(taps: Mask) -> Permutation:
    """Numbers the kinds of connection between two layers' units, `[inputs, outputs]`: 0 is none at all."""
    if len(taps) == 1:
        return np.asarray(taps[0], np.intp)
    kinds = np.packbits(taps, axis=0).reshape(-1, taps[0].size).T
    numbers, _ = distinct(np.concatenate([np.zeros_like(kinds[:1]), kinds]))
    labels: Permutation = np.where(numbers == numbers[0], 0, numbers + 1)[1:].reshape(taps.shape[1:])
    return labels


def _refine(colours: list[Permutation], labels: list[Permutation]) -> list[Permutation]:
    """Splits colours until those of one colour have equally many neighbours of each colour by each kind of connection.

    The numbers given to colours depend on the network only, not on how its units are numbered.
    """
    colours = list(colours)
    kinds = [int(matrix.max(initial=0)) + 1 for matrix in labels]
    found = -1
    while found < (found := sum(int(own.max()) + 1 for own in colours)):
        for index, own in enumerate(colours):
            if own.max() + 1 == len(own):
                continue
            seen = [own[:, np.newaxis]]
            if index > 0:
                before = colours[index - 1][:, np.newaxis] * kinds[index - 1] + labels[index - 1]
                seen.append(np.sort(before, axis=0).T)
            if index < len(labels):
                seen.append(np.sort(colours[index + 1] * kinds[index] + labels[index], axis=1))
            colours[index], _ = distinct(np.hstack(seen))
    return colours


def _count(graph: Any, colours: list[int]) -> int:
    """Counts a graph's automorphisms exactly."""
    # The count arrives as a decimal string, which Python reads up to 4300 digits, by a limit that is the process's.
    with _LIMIT:
        limit = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(0)
        try:
            return int(graph.count_automorphisms(color=colours))
        finally:
            sys.set_int_max_str_digits(limit)
