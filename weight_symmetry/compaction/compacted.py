"""Compaction: a smaller model without the units that pruning has made superfluous."""

import dataclasses
import functools
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry.compaction.removal import Removal, restricted
from weight_symmetry.compaction.smaller import SmallerModel
from weight_symmetry.masks import Mask
from weight_symmetry.symmetry.masked_units import Masks, in_layout
from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.lab.records.tables import table
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_tracing.edges import TRANSPOSED, equation, operands
from weirdonetworks.measure.unit_tracing.traced_call import Trace, converted

Number = TypeVar("Number", int, float)

# Far above rounding, relative to the largest output: a larger difference is an error.
AGREEMENT = 1e-3
HALF = 0.1
_REASONS = (
    "it must not compute with its number of units or of examples, as in a scale by the square root of a shape, draw "
    "random numbers, or loop over units."
)


class Change(NamedTuple, Generic[Number]):
    """A quantity before and after compaction.

    >>> parameters = Change(before=51, after=35)
    >>> f"{1 - parameters.after / parameters.before:.0%} fewer"
    '31% fewer'
    """

    before: Number
    after: Number


@dataclasses.dataclass(frozen=True, eq=False)
class Compacted:
    """A compacted model beside the original, with the parameters and operations that it saves.

    >>> import sonnet as snt
    >>> model, images = snt.nets.MLP([4, 2]), tf.ones([5, 6])
    >>> _ = model(images)
    >>> masks = [np.ones((6, 4)), np.ones((4, 2))]
    >>> masks[1][2] = 0  # No output reads unit 2.
    >>> compacted = compact(model, masks, images)
    >>> compacted.parameters, compacted.flops
    (Change(before=38, after=29), Change(before=32, after=24))
    >>> compacted(images).shape.as_list()
    [5, 2]

    Attributes:
      original: The given model's call; where its cut weights are not zero, with those at zero.
      model: The compacted model.
      kept: For each set of interchangeable units, by its name in the unit graph, the units that remain, in order.
      masks: The masks of the compacted model's weights, by name, where masks were given.
      parameters: The number of trainable parameters, cut ones included.
      flops: Multiply-accumulate operations per example, cut weights counted like others, kernels at every position.
    """

    original: Callable[..., Any]
    model: SmallerModel
    kept: dict[str, Ints]
    masks: dict[str, Mask]
    parameters: Change[int]
    flops: Change[int]
    sizes: dict[str, int] = dataclasses.field(repr=False)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Calls the compacted model."""
        return self.model(*inputs, **options)

    def measure_speed(self, *inputs: npt.ArrayLike, calls: int = 30, jit_compile: bool = False) -> Change[float]:
        """Measures the median time of compiled calls of the two models, called alternately.

        Args:
          *inputs: The arguments of a call.
          calls: The number of timed calls of each model, after one that traces it.
          jit_compile: Whether to compile with XLA.

        Returns:
          Milliseconds per call.

        Raises:
          ValueError: If `calls` is less than 1.
        """
        if calls < 1:
            raise ValueError(f"calls (={calls}) must be at least 1.")
        compiled = [tf.function(each, jit_compile=jit_compile) for each in (self.original, self.model)]
        return Change(*alternate_times(compiled, self.model.converted(inputs), calls))

    def __str__(self) -> str:
        rows = [[name, str(self.sizes[name]), str(len(units))] for name, units in self.kept.items()]
        rows += [["parameters", *(f"{number:,}" for number in self.parameters)]]
        rows += [["multiplications per example", *(f"{number:,}" for number in self.flops)]]
        return table(["units", "before", "after"], rows)


def alternate_times(functions: Sequence[Callable[..., Any]], inputs: Sequence[Any], calls: int) -> list[float]:
    """Measures the median milliseconds of calls of functions, called in turn, after a call of each that traces it."""
    times: list[list[float]] = [[] for _ in functions]
    for call in range(calls + 1):
        for function, own in zip(functions, times, strict=True):
            start = time.perf_counter()
            for output in tf.nest.flatten(function(*inputs)):
                output.numpy()
            if call:
                own.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(own) for own in times]


def compact(model: Callable[..., Any], masks: Masks | None = None, *example_inputs: Any, **options: Any) -> Compacted:
    """Removes units from any model that can be traced, giving a smaller one with equal outputs.

    A hidden unit (neuron, channel, head) is removed if its outgoing weights are all cut, or lead to removed units only,
    or if its value is the same for all inputs, as of a unit whose incoming weights are all cut. What constant units
    contribute to each sum that reads them is added there, at the borders of padded images too. Each set of units keeps
    at least one. Units that a layer norm averages, and others that are combined otherwise than by weights, all stay.

    The compacted model is the traced call, with the options that it was traced with (so give `is_training=False`),
    for inputs of any batch size. Its variables are new; the given model is left unchanged.

    >>> import sonnet as snt
    >>> model = snt.nets.MLP([4, 3, 2])
    >>> images = tf.ones([5, 6])
    >>> _ = model(images)
    >>> masks = [np.ones((6, 4)), np.ones((4, 3)), np.ones((3, 2))]
    >>> masks[1][2] = 0  # Nothing reads unit 2 of the first layer,
    >>> masks[1][:, 1] = 0  # and unit 1 of the second reads nothing.
    >>> compacted = compact(model, masks, images)
    >>> [units.tolist() for units in compacted.kept.values()], compacted.parameters
    ([[0, 1, 3], [0, 2]], Change(before=51, after=35))
    >>> compacted.model(images).shape.as_list()
    [5, 2]

    Args:
      model: A Sonnet or Keras model, or a function that reads variables.
      masks: The masks of its weights: `Masks`, of which those of weights that the call does not read, as of a second
        head in training, are left out; arrays by the variables' names, or a list of arrays for the weights in
        the order in which they are first used; by default all weights that are exactly zero are cut.
      *example_inputs: Arguments of the call, with the batch first.
      **options: Keyword arguments of the call.

    Raises:
      TypeError: If the model cannot be called.
      ValueError: If no example is given, the masks do not fit, weights that `Masks` cut are not zero, the model cannot
        be traced, or it depends on its number of units in a way that the trace does not show.
    """
    if not example_inputs:
        raise ValueError("example_inputs must hold the arguments of a call, such as a batch of images.")
    # Two examples or more, so that the trace tells the batch from axes of size one.
    examples = tf.nest.map_structure(_several, tuple(map(converted, example_inputs)))
    graph = UnitGraph.trace(model, *examples, **options)
    given = [None] * len(graph.names) if masks is None else in_layout(masks, graph)
    values = [variable.numpy() for variable in graph.variables]
    weights = [value if mask is None else value * mask for value, mask in zip(values, given, strict=True)]
    removal = Removal(graph, weights)
    small = SmallerModel(removal, options)
    original: Callable[..., Any] = functools.partial(model, **options)
    if any((value != weight).any() for value, weight in zip(values, weights, strict=True)):
        original = SmallerModel(Removal(graph, weights, keeps_all=True), options)
    _check(removal, small, model, examples, options)
    kept = {space.name: np.flatnonzero(removal.flags(space.units)) for space in graph.free}
    return Compacted(
        original=original,
        model=small,
        kept=kept,
        masks={
            name: restricted(mask, axes, removal.kept)
            for name, mask, axes in zip(graph.names, given, graph.axes, strict=True)
            if mask is not None
        },
        parameters=Change(
            *(
                sum(math.prod(each.shape) for each in both if each.trainable)
                for both in (graph.variables, small.parameters)
            )
        ),
        flops=Change(_flops(removal, whole=True), _flops(removal, whole=False)),
        sizes={space.name: space.size for space in graph.free},
    )


def _several(example: tf.Tensor) -> tf.Tensor:
    if not example.shape.rank or not example.shape[0]:
        raise ValueError(f"example_inputs: an input of shape {example.shape} must hold a batch of examples.")
    return tf.repeat(example, 2, axis=0) if example.shape[0] == 1 else example


def _check(
    removal: Removal,
    small: SmallerModel,
    model: Callable[..., Any],
    examples: Sequence[Any],
    options: Mapping[str, Any],
) -> None:
    """Compares the outputs for the examples, and for one example more; the model is traced anew for these."""
    graph = removal.graph
    values = {id(variable): value for variable, value in zip(graph.variables, removal.weights, strict=True)}
    more = tf.nest.map_structure(lambda each: tf.concat([each, each[:1]], axis=0), tuple(examples))
    other = Trace.of(model, more, options)
    before = [graph.call.outputs(removal.weights), other.outputs([values[id(each)] for each in other.variables])]
    tolerance = max(map(_tolerance, tf.nest.flatten(graph.call.structure)))
    for inputs, expected in zip((examples, more), before, strict=True):
        try:
            found = [
                np.asarray(each, each.dtype.as_numpy_dtype)
                for each in tf.nest.flatten(small(*inputs))
                if tf.is_tensor(each)
            ]
        except (tf.errors.OpError, TypeError, ValueError) as error:
            raise ValueError(f"model cannot be computed with fewer units, or other batch sizes: {_REASONS}") from error
        for one, each in zip(expected, found, strict=True):
            if one.dtype.kind == "f" and np.isnan(one).any():
                raise ValueError(
                    "model must not return NaN for the example inputs with its masked weights, as it does: a norm of "
                    "weights that are all cut may divide by zero."
                )
            size = float(np.abs(one).max(initial=0)) if one.dtype.kind == "f" else 1.0
            if one.shape != each.shape or not np.allclose(one, each, rtol=0, atol=tolerance * (size or 1.0)):
                raise ValueError(f"the compacted model would compute something else than model: {_REASONS}")


def _tolerance(output: Any) -> float:
    return HALF if tf.is_tensor(output) and output.dtype in (tf.float16, tf.bfloat16) else AGREEMENT


def _flops(removal: Removal, whole: bool) -> int:
    """Counts the multiplications of all sums of products for one example."""
    axes = removal.graph.tensor_axes
    total = 0
    for step in removal.sums:
        along = [axes[number] for number in operands(step.operation, step.inputs)]
        terms, result = equation(step.operation, [len(each) for each in along])
        if "Conv" in step.operation.type:  # The filter at each place of the result, or, transposed, of the images.
            spread = (along[0], terms[0]) if step.operation.type in TRANSPOSED else (axes[step.outputs[0]], result)
            places = [axis for axis, letter in zip(*spread, strict=False) if letter not in "cmo"]
            multiplied = [*along[1], *places]
        else:
            pairs = [each for term, own in zip(terms, along, strict=True) for each in zip(term, own, strict=True)]
            multiplied = list(dict(pairs).values())
        total += math.prod(axis.size if whole else removal.size(axis) for axis in multiplied)
    return total // removal.graph.call.inputs[0].shape[0]
