"""Random weights and inputs at which a traced function of units is tried, and its derivatives there."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from weirdonetworks.measure.unit_layout import Floats, Group, Space, UnitLayout
from weirdonetworks.measure.unit_tracing.traced_call import Trace

Point: TypeAlias = tuple[list[Floats], list[tf.Tensor], Floats]  # Weights, inputs, and the outputs.

EQUAL = 1e-9  # Outputs that differ by less than this part of the largest are equal.
SPREAD = 1.5  # Standard deviation of the logarithms of the factors by which units differ in scale.
SMALLEST = 1e-5  # Derivatives below this part of the largest say nothing.
MOST = 40  # The number of points that are tried at most: more than a few where many units are dead.


class Points:
    """Random weights and inputs at which a traced function is tried."""

    def __init__(
        self,
        call: Trace,
        graph: UnitLayout,
        groups: Mapping[Space, Sequence[Group]],
        rng: np.random.Generator,
    ):
        """Prepares to try a call.

        Args:
          call: The traced function.
          graph: Its units.
          groups: For each space whose units get scales of their own, the groups of their weights.
          rng: Draws weights and inputs.
        """
        self._call = call
        self._groups = groups
        self._rng = rng
        self._summed = _summed(graph)
        self._outputs = tf.function(self._evaluated, autograph=False)
        self._slopes = tf.function(self._differentiated, autograph=False)

    def values(self, wide: bool = False) -> list[Floats]:
        """Draws weights as `Trace.draw` does, units of many scales.

        Unless `wide`, values neither grow nor vanish over many layers, where one term of a sum would hide the others:
        all sums are of weights of a mean square of at most one over their number, whose factors have a mean square of
        one. Wide ones also reach what a function is far from zero, such as a late cap.
        """
        found = self._call.draw(self._rng)
        for variable, value in enumerate(found):
            if value.dtype.kind == "f" and not wide:
                norm = float(np.sqrt(np.mean(np.square(value)) * self._summed.get(variable, 1)))
                found[variable] = value / max(norm, 1.0)
        for space, groups in self._groups.items():
            factors = np.exp(SPREAD * self._rng.normal(size=space.size))
            factors /= 1.0 if wide else np.sqrt(np.mean(np.square(factors)))
            for group in groups:
                if group.side == "in":
                    found[group.variable] = group.scaled(found[group.variable], factors)
        return found

    def inputs(self) -> list[tf.Tensor]:
        """Draws inputs; those that are no floating-point numbers stay."""
        return self._call.draw_inputs(self._rng)

    def products(self, values: Sequence[Floats], inputs: Sequence[tf.Tensor]) -> list[Floats]:
        """Computes w df/dw of a random sum f of the outputs, for each entry w of each variable."""
        seeds = tf.constant(self._rng.integers(2**31, size=[len(self._call.results), 2]), tf.int32)
        slopes = self._slopes([tf.constant(each) for each in values], list(inputs), seeds)
        return [value * np.asarray(slope) for value, slope in zip(values, slopes, strict=True)]

    def live(self, space: Space, groups: Sequence[Group]) -> Iterator[tuple[list[Floats], list[tf.Tensor], int]]:
        """Yields weights, inputs and a unit, such that the outputs depend on the unit's entries in each group."""
        for tried in range(MOST):
            values, inputs = self.values(wide=tried % 2 == 0), self.inputs()
            products = self.products(values, inputs)
            sizes = np.array([group.totals(np.abs(products[group.variable]), space.size) for group in groups])
            # Relative, since the groups may differ in scale; a dead unit has zeros.
            least = (sizes / sizes.max(axis=1, keepdims=True, initial=np.finfo(np.float64).tiny)).min(axis=0)
            if least.max() > SMALLEST:
                yield values, inputs, int(least.argmax())

    def repeatable(self, count: int) -> list[Point]:
        """Draws weights and inputs, with the outputs; leaves out those whose outputs are random, or not finite."""
        found = []
        for _ in range(count):
            values, inputs = self.values(wide=True), self.inputs()
            once, again = (self.outputs(values, inputs) for _ in range(2))
            if np.abs(once - again).max() <= EQUAL * np.abs(once).max() < np.inf:
                found.append((values, inputs, once))
        return found

    def outputs(self, values: Sequence[Floats], inputs: Sequence[tf.Tensor]) -> Floats:
        """Computes all outputs, in one row."""
        return np.concatenate([np.ravel(each) for each in self._outputs(list(map(tf.constant, values)), list(inputs))])

    def _evaluated(self, values: Sequence[tf.Tensor], inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        known = self._call.evaluate(values, inputs)
        outputs = [tf.convert_to_tensor(known[number]) for number in self._call.results]
        parts = [
            tf.stack([tf.math.real(each), tf.math.imag(each)]) if each.dtype.is_complex else each for each in outputs
        ]
        return [each for each in parts if each.dtype.is_floating]

    def _differentiated(
        self, values: Sequence[tf.Tensor], inputs: Sequence[tf.Tensor], seeds: tf.Tensor
    ) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = self._evaluated(values, inputs)
            if not outputs:
                raise ValueError("model must have an output of floating-point numbers, to be tried with other weights.")
            total = tf.add_n(
                [
                    tf.reduce_sum(each * tf.random.stateless_normal(each.shape, seed, dtype=each.dtype))
                    for each, seed in zip(outputs, tf.unstack(seeds), strict=False)
                ]
            )
        return [tf.convert_to_tensor(each) for each in tape.gradient(total, values, unconnected_gradients="zero")]


def _summed(graph: UnitLayout) -> dict[int, int]:
    """Counts for each variable of weights the terms of the longest sum that it makes."""
    found: dict[int, int] = {}
    for edge in graph.edges:
        terms = math.prod(size for axis, size in enumerate(graph.shapes[edge.variable]) if axis not in edge.outputs)
        found[edge.variable] = max(terms, found.get(edge.variable, 0))
    return found
