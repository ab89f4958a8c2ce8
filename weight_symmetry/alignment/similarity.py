"""The similarity of two models' weights as a function of how the units of one are ordered, and its local maxima."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.optimize

from weight_symmetry.symmetry.masked_units import Numbers, split
from weirdonetworks.measure.unit_layout import UnitLayout
from weirdonetworks.measure.unit_tracing.axes import Units

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Orders: TypeAlias = dict[Units, Numbers]  # For each set of units, which unit of the second model is at each place.
Classes: TypeAlias = Mapping[Units, Sequence[Numbers]]  # The places among which units may move; all if a set is absent.

ROUNDING = 1e-6  # A gain of less than this part of the largest possible similarity may be rounding.


class Similarity:
    """The inner product of two models' weights, `sum_v <a_v, P b_v>`, with the units of the second permuted by P.

    Its maximum over P is the minimum of the squared distance between the two (Ainsworth, Hayase & Srinivasa 2023).
    """

    def __init__(self, layout: UnitLayout, one: Sequence[Any], other: Sequence[Any]):
        """Takes the values of both models.

        Args:
          layout: The units along their axes.
          one: The values of the first model: an array for each variable of the layout, None for those to ignore.
          other: Those of the second.
        """
        self.sets = [space.units for space in layout.free]
        self._pairs: list[tuple[Floats, Floats, tuple[Units, ...]]] = []
        for a, b, axes in zip(one, other, layout.axes, strict=True):
            if a is not None and b is not None:
                parts = zip(split(a, axes, range(a.ndim)), split(b, axes, range(b.ndim)), strict=True)
                self._pairs += [(x, y, units) for (x, units, _), (y, _, _) in parts]
        squares = np.sum([(_inner(a, a), _inner(b, b)) for a, b, _ in self._pairs], axis=0)
        self._most = float(np.sqrt(np.prod(squares)))
        self.rounding = ROUNDING * self._most

    def start(self) -> Orders:
        """Returns the order in which all units stay where they are."""
        return {units: np.arange(units.size) for units in self.sets}

    def total(self, orders: Orders) -> float:
        """Computes the inner product for an order of the units."""
        return float(sum(_inner(a, _taken(b, units, orders)) for a, b, units in self._pairs))

    def cosine(self, orders: Orders) -> float:
        """Computes the cosine of the angle between all weights of the two, for an order of the units."""
        return self.total(orders) / (self._most or 1.0)

    def gains(self, units: Units, orders: Orders, unknown: Collection[Units] = ()) -> Floats:
        """Computes what each unit would add to the inner product at each place, all other sets as ordered.

        A set whose order is unknown adds the most that any order could: by the rearrangement inequality, the inner
        product of sorted entries. So, whatever that order is, equal units of two models have equal entries.

        Args:
          units: The set.
          orders: The order of all sets.
          unknown: The sets whose order is unknown.

        Returns:
          `[place, unit of the second model]`. Where a weight holds the set on several axes, as in recurrent layers, the
          other axes stay as ordered, which makes it a linear approximation.
        """
        found = np.zeros((units.size, units.size))
        for a, b, along in self._pairs:
            for place in [place for place, each in enumerate(along) if each is units]:
                others = {each: order for each, order in orders.items() if each not in unknown}
                moved = _taken(b, along, others, but=place)
                lost = [axis for axis, each in enumerate(along) if axis != place and each in unknown]
                rows = [sorted_rows(each, place, lost) for each in (a, moved)]
                found += rows[0] @ rows[1].T
        return found

    def optimistic_start(self, classes: Classes, orders: Orders | None = None) -> Orders:
        """Orders one set after the other, sets that come later counted as unknown.

        Of a permuted copy of the same model, whose units all differ, this is the exact order.

        Args:
          classes: The places among which units may move.
          orders: The order of all sets before, which decides what units there are among these places.
        """
        orders, unknown = self.start() if orders is None else dict(orders), list(self.sets)
        for units in self.sets:
            if len(classes.get(units, ())) < units.size:
                orders[units] = assignment(self.gains(units, orders, unknown), orders[units], classes.get(units))
            unknown.remove(units)
        return orders

    def ascend(self, orders: Orders, classes: Classes, rng: np.random.Generator) -> Orders:
        """Reorders one set at a time, each by a linear assignment, until none increases the inner product."""
        orders, total, waiting = dict(orders), self.total(orders), True
        while waiting:
            waiting = False
            for index in rng.permutation(len(self.sets)):
                units = self.sets[index]
                if len(classes.get(units, ())) == units.size:
                    continue  # Each unit is a class of its own.
                better = dict(orders)
                better[units] = assignment(self.gains(units, orders), orders[units], classes.get(units))
                if (new := self.total(better)) > total + self.rounding:
                    orders, total, waiting = better, new, True
        return orders


def assignment(gains: Floats, order: Numbers, classes: Sequence[Numbers] | None = None) -> Numbers:
    """Assigns a unit to each place so that the sum of gains is greatest.

    >>> assignment(np.array([[1.0, 5.0], [2.0, 3.0]]), np.arange(2))
    array([1, 0])

    Args:
      gains: `[place, unit]`.
      order: The unit at each place so far.
      classes: The places among which units may move; all if None.

    Returns:
      The unit at each place.
    """
    found = order.copy()
    for each in [np.arange(len(gains))] if classes is None else classes:
        if len(each) > 1:
            rows, columns = scipy.optimize.linear_sum_assignment(gains[np.ix_(each, order[each])], maximize=True)
            found[each[rows]] = order[each][columns]
    return found


def _taken(array: Floats, along: Sequence[Units], orders: Mapping[Units, Numbers], but: int | None = None) -> Floats:
    """Reorders an array along all its axes but one."""
    for place, units in enumerate(along):
        if units in orders and place != but:
            array = array.take(orders[units], axis=place)
    return array


def sorted_rows(array: Floats, place: int, lost: Sequence[int]) -> Floats:
    """Lists the entries of each unit along an axis, sorted along the axes whose order is unknown.

    >>> sorted_rows(np.array([[3.0, 1.0], [2.0, 4.0]]), 0, [1])
    array([[1., 3.],
           [2., 4.]])
    """
    known = [axis for axis in range(array.ndim) if axis != place and axis not in lost]
    moved = array.transpose(place, *known, *lost)
    if lost:
        moved = np.sort(moved.reshape(*moved.shape[: 1 + len(known)], -1), axis=-1)
    return moved.reshape(len(moved), -1)


def _inner(one: Floats, other: Floats) -> float:
    return float(np.vdot(one, other))
