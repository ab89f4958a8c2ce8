"""Orders of units that leave masks as they are."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from weight_symmetry import symmetry
from weight_symmetry.alignment.similarity import Classes, Floats, Orders, Similarity, assignment
from weight_symmetry.symmetry.masked_units import Masks, Numbers, read, twins
from weight_symmetry.symmetry.permuting import permuted
from weirdonetworks.measure.unit_layout import UnitLayout
from weirdonetworks.measure.unit_tracing.axes import Units

Tied: TypeAlias = list[tuple[Units, list[Numbers]]]  # Lists of classes of units, each in a set; equal places are tied.

MOST = 200  # Elements of the group that the search begins with: all of a smaller group, random ones of a larger.
MIXED = 50  # Random products before those that are taken.


class MaskGroup:
    """The group of permutations of units that leave masks as they are, as a constraint on an alignment.

    Units with equal connections may be reordered at will, and are by linear assignments. What else the group holds,
    joint permutations of such classes in several sets, is searched from several of its elements, by its generators and
    by one assignment of all the classes that the masks tie to one another.

    Attributes:
      classes: For each set, the classes of units with equal connections.
    """

    def __init__(self, layout: UnitLayout, masks: Masks):
        """Finds the group.

        Raises:
          TypeError, ValueError: As `symmetry.automorphisms`.
          ImportError: If igraph is not installed.
        """
        self._masked = read(masks, layout)
        self._sets = {space.name: space.units for space in layout.free}
        self.classes: Classes = {units: twins(self._masked, units) for units in self._sets.values()}
        generators = [
            {self._sets[str(key)]: images for key, images in generator.items()}
            for generator in symmetry.automorphisms(masks, layout).generators
        ]
        self._joint = [
            generator
            for generator in generators
            if any(not _within(images, self.classes[units]) for units, images in generator.items())
        ]

    def holds(self, orders: Orders) -> bool:
        """Tells whether an order of the units leaves the masks as they are."""
        moved = permuted(self._masked, {name: orders[units] for name, units in self._sets.items()})
        pairs = zip(self._masked.masks, moved, strict=True)
        return all(mask is None or other is None or np.array_equal(mask, other) for mask, other in pairs)

    def best(self, similarity: Similarity, rng: np.random.Generator) -> Orders:
        """Finds an order in the group of great similarity, and at least that of the order found without the masks."""
        found = similarity.ascend(similarity.optimistic_start({}), {}, rng)
        if not self.holds(found):
            starts = [similarity.optimistic_start(self.classes, each) for each in self._elements(similarity, rng)]
            found = max(starts, key=similarity.total)
        return self._ascend(similarity, found, rng)

    def _ascend(self, similarity: Similarity, orders: Orders, rng: np.random.Generator) -> Orders:
        """Increases the similarity until neither reordering equal units, nor tied classes, nor a generator does."""
        moves: list[Callable[[Orders], Orders]] = [
            functools.partial(self._assigned, similarity, tied) for tied in self._tied
        ]
        for generator in self._joint:
            inverse = {units: np.argsort(images) for units, images in generator.items()}
            moves += [functools.partial(_moved, generator), functools.partial(_moved, inverse)]
        orders = similarity.ascend(orders, self.classes, rng)
        total, waiting = similarity.total(orders), True
        while waiting:
            waiting = False
            for move in moves:
                better = similarity.ascend(move(orders), self.classes, rng)
                if (new := similarity.total(better)) > total + similarity.rounding:
                    orders, total, waiting = better, new, True
        return orders

    def _elements(self, similarity: Similarity, rng: np.random.Generator) -> list[Orders]:
        """Lists the orders in the group up to those of equal units, or as many at random as are searched at most."""
        start = similarity.start()
        found, seen = [start], {self._key(start)}
        for element in found:
            for generator in self._joint:
                new = _moved(generator, element)
                if self._key(new) not in seen:
                    if len(found) == MOST:
                        return self._random(start, rng)
                    found.append(new)
                    seen.add(self._key(new))
        return found

    def _random(self, start: Orders, rng: np.random.Generator) -> list[Orders]:
        """Draws orders in the group by random products of products (Celler, Leedham-Green, Murray, Niemeyer & O'Brien
        1995), after the order in which all units stay."""
        pool = [_moved(generator, start) for generator in self._joint] * -(-10 // len(self._joint))
        found = [start]
        for _ in range(MIXED + MOST):
            one, other = rng.choice(len(pool), 2, replace=False)
            pool[one] = _moved(pool[other], pool[one])
            found.append(_moved(pool[one], found[-1]))
        return [start, *found[-MOST + 1 :]]

    def _key(self, orders: Orders) -> bytes:
        """Tells orders apart, but for those of equal units."""
        return b"".join(self._labels[units][orders[units]].tobytes() for units in self.classes)

    @functools.cached_property
    def _labels(self) -> Mapping[Units, Numbers]:
        """The number of the class of each unit, counted on from set to set."""
        found, count = {}, 0
        for units, classes in self.classes.items():
            found[units] = np.empty(units.size, np.intp)
            for each in classes:
                found[units][each] = count
                count += 1
        return found

    @functools.cached_property
    def _tied(self) -> list[Tied]:
        """The orbits of classes, those together between which there is a bijection that the group keeps."""
        points = [(units, each) for units, classes in self.classes.items() for each in classes]
        actions = []
        for generator in self._joint:
            images = {units: self._labels[units][order] for units, order in generator.items()}
            actions.append(
                [images[units][each[0]] if units in images else point for point, (units, each) in enumerate(points)]
            )
        families: list[list[list[int]]] = []
        seen: set[int] = set()
        for point in range(len(points)):
            if point in seen:
                continue
            orbit = list(_equivariant(actions, point, point) or ())
            seen.update(orbit)
            for family in families:
                bijections = (_equivariant(actions, family[0][0], each) for each in orbit)
                if len(orbit) == len(family[0]) and (found := next(filter(None, bijections), None)):
                    family.append([found[each] for each in family[0]])
                    break
            else:
                if len(orbit) > 1:
                    families.append([orbit])
        return [
            [(points[orbit[0]][0], [points[point][1] for point in orbit]) for orbit in family] for family in families
        ]

    def _assigned(self, similarity: Similarity, tied: Tied, orders: Orders) -> Orders:
        """Reorders tied classes, all by one assignment; leaves them if that does not leave the masks as they are."""
        gains = sum(
            _of_classes(similarity.gains(units, orders, [each for each, _ in tied]), classes, orders[units])
            for units, classes in tied
        )
        best = assignment(np.asarray(gains), np.arange(len(tied[0][1])))
        found = {units: order.copy() for units, order in orders.items()}
        for units, classes in tied:
            for place, unit in enumerate(best):
                found[units][classes[place]] = orders[units][classes[unit]]
        return found if self.holds(found) else orders


def _moved(images: Mapping[Units, Numbers], orders: Orders) -> Orders:
    return orders | {units: orders[units][each] for units, each in images.items()}


def _within(images: Numbers, classes: Sequence[Numbers]) -> bool:
    return all(np.isin(images[each], each).all() for each in classes)


def _equivariant(actions: Sequence[Sequence[int]], one: int, other: int) -> dict[int, int] | None:
    """Finds the map of the orbit of a point that takes it to another point and that all actions keep, if there is."""
    found, waiting = {one: other}, [one]
    for point in waiting:
        for action in actions:
            if action[point] not in found:
                waiting.append(action[point])
            if found.setdefault(action[point], action[found[point]]) != action[found[point]]:
                return None
    return found


def _of_classes(gains: Floats, classes: Sequence[Numbers], order: Numbers) -> Floats:
    """Computes the most that the units of each class would add at the places of each, `[places, units]`, of classes."""
    found = np.empty((len(classes), len(classes)))
    for place, own in enumerate(classes):
        for unit, other in enumerate(classes):
            part = gains[np.ix_(own, order[other])]
            found[place, unit] = part[np.arange(len(part)), assignment(part, np.arange(len(part)))].sum()
    return found
