"""Orders of units that leave masks as they are."""

from collections.abc import Sequence

import numpy as np

from weight_symmetry import symmetry
from weight_symmetry.alignment.similarity import Classes, Orders, Similarity
from weight_symmetry.symmetry.masked_units import Masks, Numbers, read, twins
from weirdonetworks.measure.unit_graph import UnitGraph


class MaskGroup:
    """The group of permutations of units that leave masks as they are, as a constraint on an alignment.

    Units with equal connections may be reordered at will, and are by linear assignments; what else the group holds,
    joint permutations of several sets, is searched by its generators.

    Attributes:
      classes: For each set, the classes of units with equal connections.
    """

    def __init__(self, graph: UnitGraph, masks: Masks):
        """Finds the group.

        Raises:
          TypeError, ValueError: As `symmetry.automorphisms`.
          ImportError: If igraph is not installed.
        """
        masked = read(masks, graph)
        self.classes: Classes = {space.units: twins(masked, space.units) for space in graph.free}
        generators = symmetry.automorphisms(masks, graph).generators
        named = {space.name: space.units for space in graph.free}
        self._joint = [
            {named[str(key)]: images for key, images in generator.items()}
            for generator in generators
            if any(not _within(images, self.classes[named[str(key)]]) for key, images in generator.items())
        ]

    def ascend(self, similarity: Similarity, orders: Orders, rng: np.random.Generator) -> Orders:
        """Increases the similarity within the group, until neither reordering equal units nor a generator does."""
        orders = similarity.ascend(orders, self.classes, rng)
        total, waiting = similarity.total(orders), True
        while waiting:
            waiting = False
            for generator in self._joint:
                for images in (generator, {units: np.argsort(each) for units, each in generator.items()}):
                    moved = orders | {units: orders[units][each] for units, each in images.items()}
                    better = similarity.ascend(moved, self.classes, rng)
                    if (new := similarity.total(better)) > total + similarity.rounding:
                        orders, total, waiting = better, new, True
        return orders


def _within(images: Numbers, classes: Sequence[Numbers]) -> bool:
    return all(np.isin(images[each], each).all() for each in classes)
