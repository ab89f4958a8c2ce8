"""Correlations between the units of two models on the same data."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry.alignment.similarity import sorted_rows
from weight_symmetry.symmetry.masked_units import split
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_tracing.axes import Units, resolved, units_of
from weirdonetworks.measure.unit_tracing.edges import CONTRACTIONS

Floats = npt.NDArray[np.float64]


def correlations(
    graph: UnitGraph,
    one: Sequence[Any],
    other: Sequence[Any],
    batches: Iterable[Sequence[Any]],
    name: str = "data",
) -> dict[Units, Floats]:
    """Correlates the values of each unit of one model with those of each of another, over examples and positions.

    The values are those that weights read, as after the activation (Li, Yosinski, Clune, Lipson & Hopcroft 2016); where
    several layers read them, as in a residual stream, the correlations are averaged.

    Args:
      graph: The units of the models.
      one: The values of the first model's variables.
      other: Those of the second.
      batches: The inputs of each batch, of the example inputs' shapes.
      name: What messages call the inputs.

    Returns:
      For each set of units, `[units of the first, units of the second]`; without the sets whose values no weight reads.

    Raises:
      ValueError: If units have one value each, which is constant, or values that are not finite.
    """
    tensors = _read(graph)
    sums: dict[tuple[Units, int], _Moments] = {}
    for inputs in batches:
        known = [graph.call.evaluate(values, inputs, tf.float32) for values in (one, other)]
        for units, numbers in tensors.items():
            for number in numbers:
                rows = [_rows(graph, units, number, np.asarray(each[number], np.float64)) for each in known]
                if not all(np.isfinite(each).all() for each in rows):
                    raise ValueError(
                        f"{name} must give the units of both models finite values, and gives NaN or infinity."
                    )
                sums.setdefault((units, number), _Moments(units.size)).add(*rows)
    if any(each.count < 2 for each in sums.values()):
        raise ValueError(f"{name} (one example) must hold two or more, over which the values of units are correlated.")
    return {
        units: np.mean([sums[units, number].correlation() for number in numbers], axis=0)
        for units, numbers in tensors.items()
    }


class _Moments:
    """First and second moments of the values of two lists of units."""

    def __init__(self, size: int):
        self.count = 0
        self._sums = np.zeros((2, size))
        self._squares = np.zeros((2, size))
        self._products = np.zeros((size, size))

    def add(self, one: Floats, other: Floats) -> None:
        """Adds samples, `[units, samples]` of each."""
        self.count += one.shape[1]
        self._sums += np.stack([one.sum(axis=1), other.sum(axis=1)])
        self._squares += np.stack([np.square(one).sum(axis=1), np.square(other).sum(axis=1)])
        self._products += one @ other.T

    def correlation(self) -> Floats:
        """Computes the correlations; 0 for units that are constant."""
        means = self._sums / self.count
        variances = np.maximum(self._squares / self.count - np.square(means), 0.0)
        # What is left of a constant by rounding is no variance.
        constant = variances <= 1e-12 * np.maximum(self._squares / self.count, 1e-300)
        deviations = np.where(constant, np.inf, np.sqrt(variances))
        covariances = self._products / self.count - np.outer(*means)
        return np.asarray(covariances / np.outer(*deviations))


def _read(graph: UnitGraph) -> dict[Units, list[int]]:
    """Lists for each free set the tensors, inputs of contractions, that are summed over its units."""
    entered = set(graph.call.parameters)
    found: dict[Units, list[int]] = {}
    free = {space.units for space in graph.free}
    for step in graph.call.steps:
        if entered.isdisjoint(step.inputs):
            continue
        entered.update(step.outputs)
        if step.operation.type not in CONTRACTIONS:
            continue
        after = {units for number in step.outputs for units in _along(graph, number)}
        for number in entered.intersection(step.inputs):
            for units in _along(graph, number):
                if units in free and units not in after and number not in found.setdefault(units, []):
                    found[units].append(number)
    return found


def _along(graph: UnitGraph, number: int) -> Iterator[Units]:
    return units_of(*graph.tensor_axes.get(number, ()))


def _rows(graph: UnitGraph, units: Units, number: int, values: Floats) -> Floats:
    """Lists the values of each unit in a tensor, `[units, samples]`.

    Along the axes of other free sets, as of heads beside the units within them, values are sorted, since the order of
    these in one model says nothing about that in another.
    """
    rows = []
    for part, along, _ in split(values, [*map(resolved, graph.tensor_axes[number])], range(values.ndim)):
        if units in along:
            place = along.index(units)
            free = [axis for axis, each in enumerate(along) if not each.fixed and axis != place and each.size > 1]
            rows.append(sorted_rows(part, place, free))
    return np.concatenate(rows, axis=1)
