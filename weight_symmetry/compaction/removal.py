"""Which units of a model can be removed with its function unchanged."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry.compaction.dependence import Flags, dependent
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_layout import collect, spread
from weirdonetworks.measure.unit_tracing.axes import Axis, Units, units_of
from weirdonetworks.measure.unit_tracing.edges import CONTRACTIONS, equation, operands
from weirdonetworks.measure.unit_tracing.evaluation import compute
from weirdonetworks.measure.unit_tracing.traced_call import Step

Arrays = Sequence[npt.NDArray[Any]]


class Removal:
    """The removable units of a model under given weights.

    A unit can go if nothing that it contributes to a sum over units depends on the inputs: its outgoing weights are
    zero or lead to removed units alone, or its own value is the same for all inputs. What the constant ones contribute
    is in `corrections`. Units that are reduced in another way, as by a layer norm, all stay.

    Attributes:
      graph: The model's units.
      weights: The values of its variables.
      sums: The operations that sum over units.
      remaining: The weights without those of removed units.
      kept: For each set of units that loses some, which stay.
      corrections: For each tensor of the call that lacks contributions of removed units, by number, the sum of these.
    """

    def __init__(self, graph: UnitGraph, weights: Arrays, keeps_all: bool = False):
        """Finds the removable units.

        Args:
          graph: The model's units; its example inputs must hold at least one example.
          weights: An array for each variable, cut weights zero.
          keeps_all: Whether to remove none, which leaves the model with these weights.
        """
        self.graph = graph
        self.weights = list(weights)
        self._known = graph.call.evaluate(self.weights)
        self._depends = dependent(graph.call, self._known)
        self.sums = [step for step in graph.call.steps if self._is_sum(step)]
        spaces = [] if keeps_all else [space for space in graph.free if not space.mixed]
        self._candidates = {space.units: np.ones(space.size, bool) for space in spaces}
        self._constants = graph.call.without_inputs()
        removed = self._fixed_point()
        corrections = self._corrections({units: ~flags for units, flags in removed.items()})
        self.remaining = self._without(removed, reading=True)
        # Layers need a unit: of none, the first stays, its weights zero.
        self.kept = {units: ~flags | (flags.all() & (np.arange(units.size) == 0)) for units, flags in removed.items()}
        axes = graph.tensor_axes
        self.corrections = {
            number: sums for number, sums in corrections.items() if restricted(sums, axes[number], self.kept).any()
        }

    def flags(self, units: Units) -> Flags:
        """Tells which of some units stay."""
        return self.kept.get(units, np.ones(units.size, bool))

    def size(self, axis: Axis) -> int:
        """Counts the entries along an axis whose units stay."""
        return int(spread(axis, self.kept).sum())

    def _is_sum(self, step: Step) -> bool:
        return step.operation.type in CONTRACTIONS and len(operands(step.operation, step.inputs)) == 2

    def _fixed_point(self) -> dict[Units, Flags]:
        """Removes units until none is left that contributes only to removed ones."""
        removed = {units: np.zeros(units.size, bool) for units in self._candidates}
        while True:
            weights = self._without(removed)
            removable = {units: flags.copy() for units, flags in self._candidates.items()}
            constants = self._constants.evaluate(weights)
            for step in self.sums:
                for units, needed in self._needed(step, constants):
                    if units in removable:
                        removable[units] &= ~needed
            if all(np.array_equal(removed[units], removable[units]) for units in removed):
                return {units: flags for units, flags in removed.items() if flags.any()}
            removed = removable

    def _without(self, removed: Mapping[Units, Flags], reading: bool = False) -> list[npt.NDArray[Any]]:
        """Returns the weights, those into removed units zero, and with `reading` those from them."""
        kept = {units: ~flags for units, flags in removed.items()}
        weights = [array.copy() for array in self.weights]
        for edge in self.graph.edges:
            for place in {*edge.outputs, *edge.inputs} if reading else set(edge.outputs) - set(edge.inputs):
                along = spread(self.graph.axes[edge.variable][place], kept)
                weights[edge.variable][(slice(None),) * place + (~along,)] = 0
        return weights

    def _needed(self, step: Step, constants: Mapping[int, Any]) -> list[tuple[Units, Flags]]:
        """Finds the units whose contributions to a sum depend on the inputs."""
        numbers = operands(step.operation, step.inputs)
        axes = [self.graph.tensor_axes[number] for number in numbers]
        terms, result = equation(step.operation, [len(each) for each in axes])
        depends, maybe = [], []
        for number in numbers:
            flags = self._depends[number]
            depends.append(flags)
            # A weight is taken as it is without the removed units.
            values = constants.get(number, self._known[number])
            maybe.append(flags | (np.asarray(values) != 0))
        found = []
        for letter in set(terms[0]) & set(terms[1]) - set(result):
            places = [term.index(letter) for term in terms]
            one, other = (
                [
                    np.asarray(each.any(axis=tuple(i for i in range(each.ndim) if i != place)))
                    for each, place in zip(both, places, strict=True)
                ]
                for both in (depends, maybe)
            )
            if one[0].shape != one[1].shape:  # The channels of a group.
                size = max(each.size for each in (*one, *other))
                one, other = ([np.resize(each, size) for each in both] for both in (one, other))
            needed = (one[0] & other[1]) | (other[0] & one[1])
            longest = max((axes[i][places[i]] for i in (0, 1)), key=lambda axis: axis.size)
            found += collect(longest, needed)
        return found

    def _corrections(self, kept: Mapping[Units, Flags]) -> dict[int, npt.NDArray[np.float64]]:
        found = {}
        for step in self.sums:
            numbers = operands(step.operation, step.inputs)
            axes = [self.graph.tensor_axes[number] for number in numbers]
            terms, result = equation(step.operation, [len(each) for each in axes])
            values = [np.asarray(self._known[number]) for number in step.inputs]
            first = step.inputs.index(numbers[0])
            gone = np.zeros([1] * values[first].ndim, bool)
            for letter in set(terms[0]) & set(terms[1]) - set(result):
                place = terms[0].index(letter)
                shape = [-1 if axis == place else 1 for axis in range(gone.ndim)]
                gone = gone | ~spread(axes[0][place], kept).reshape(shape)
            if gone.any():
                # Of units without dependence on the inputs these are the same for all examples.
                values[first] = np.where(gone, values[first], 0)
                found[step.outputs[0]] = np.asarray(compute(step.operation, [*map(tf.constant, values)], tf.float64)[0])
        return found


def restricted(array: npt.NDArray[Any], axes: Sequence[Axis], kept: Mapping[Units, Flags]) -> npt.NDArray[Any]:
    """Restricts an array to the kept units along its axes."""
    for place, axis in enumerate(axes):
        if any(units in kept for units in units_of(axis)):
            array = np.compress(spread(axis, kept), array, axis=place)
    return array
