"""Condensing: each dense layer of a traced model dense, compacted or condensed, whichever is fastest here."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry.compaction.compacted import Change, alternate_times, compact
from weight_symmetry.compaction.smaller import SmallerModel
from weight_symmetry.sparse.condensed import CondensedLinear
from weight_symmetry.symmetry.masked_units import Masks
from weirdonetworks.lab.records.tables import table
from weirdonetworks.measure.unit_tracing.naming import name_of
from weirdonetworks.measure.unit_tracing.traced_call import Step

SECONDS = 0.2  # That ways to compute a layer, or models, are called in turn for.
FEWEST, MOST = 15, 400  # Timed calls of each.
MARGIN = 0.97  # A layer, or a model, is replaced by what takes less than this share of its time.


@dataclasses.dataclass(frozen=True)
class Choice:
    """How a dense layer is computed.

    Attributes:
      name: The name of its weight.
      shape: The shape of its weight, before compaction.
      compacted: The shape after.
      kept: The number of weights that the mask keeps, after compaction.
      milliseconds: The time of the layer for the examples, dense and condensed, after compaction.
      is_condensed: Whether it is condensed.
    """

    name: str
    shape: tuple[int, int]
    compacted: tuple[int, int]
    kept: int
    milliseconds: Change[float]
    is_condensed: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Condensed:
    """A condensed model, with what was chosen for each layer and the speed of the whole.

    >>> condensed = Condensed(lambda x: 2 * x, "compacted", layers=[], milliseconds=Change(0.8, 0.2))
    >>> condensed(3), condensed.milliseconds.before / condensed.milliseconds.after
    (6, 4.0)

    Attributes:
      model: The fastest of the model as given, compacted, and compacted with layers condensed: a function.
      kind: Which of them: `dense`, `compacted` or `condensed`.
      layers: The choice for each dense layer, which `model` follows if it is condensed.
      milliseconds: The time of a call on the examples, of the given model and of this one.
    """

    model: Callable[..., Any]
    kind: str
    layers: list[Choice]
    milliseconds: Change[float]

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Calls the model."""
        return self.model(*inputs, **options)

    def __str__(self) -> str:
        rows = []
        for each in self.layers:
            size, compacted = ("x".join(map(str, shape)) for shape in (each.shape, each.compacted))
            chosen = "condensed" if each.is_condensed else "compacted" if size != compacted else "dense"
            times = [f"{time:.3f}" for time in each.milliseconds]
            chosen = {"dense": "dense", "compacted": chosen.replace("condensed", "compacted")}.get(self.kind, chosen)
            rows.append([each.name, size, compacted, f"{each.kept:,}", *times, chosen])
        rows.append(["whole model", "", "", "", *(f"{time:.3f}" for time in self.milliseconds), self.kind])
        return table(["", "shape", "compacted", "kept", "ms before", "ms condensed", "chosen"], rows)


def condense(model: Callable[..., Any], masks: Masks | None = None, *example_inputs: Any, **options: Any) -> Condensed:
    """Makes a model faster by leaving out the weights that masks cut, where that is faster on this machine.

    The model is compacted first (see `compact`). Then each dense layer is timed for the batch of the examples, dense
    and as a `CondensedLinear`, and the faster one is taken. Last, the whole is timed beside the compacted and the given
    model, and the fastest of the three is the result, the given one unless another saves more than 3%. All three
    compute with the cut weights at zero, whatever they are in the model. Convolutions and products of other kinds stay
    dense. XLA compiles the result, too, and a SavedModel of it can be loaded without this package: both then gather
    what kernels compute here (see `CondensedLinear`), which the times in the table do not tell of.

    >>> import sonnet as snt
    >>> model, images = snt.nets.MLP([30, 10]), tf.ones([8, 20])
    >>> _ = model(images)
    >>> masks = [np.random.default_rng(0).random(shape) < 0.1 for shape in ((20, 30), (30, 10))]
    >>> condensed = condense(model, masks, images)
    >>> [each.shape for each in condensed.layers], condensed(images).shape.as_list()
    ([(20, 30), (30, 10)], [8, 10])

    Args:
      model: A Sonnet or Keras model, or a function that reads variables.
      masks: The masks of its weights, as `compact` takes them; by default all weights that are exactly zero are cut.
      *example_inputs: Arguments of the call, with a batch of the size that is to be fast.
      **options: Keyword arguments of the call.

    Returns:
      The condensed model; printed, it is a table of what was chosen for each layer, and of the speed.

    Raises:
      TypeError: As `compact` does.
      ValueError: As `compact` does.
      ImportError: If Numba is not installed.
    """
    compacted = compact(model, masks, *example_inputs, **options)
    small, inputs = compacted.model, compacted.model.converted(example_inputs)
    found = {step: _choose(step, small.parameters[place], compacted.masks) for step, place in _products(small).items()}
    layers = {step: layer for step, (choice, layer) in found.items() if choice.is_condensed}
    candidates: dict[str, Callable[..., Any]] = {"dense": compacted.original, "compacted": small}
    if layers:
        candidates["condensed"] = _CondensedModel(small, layers)
    times = dict(zip(candidates, _times(list(candidates.values()), inputs), strict=True))
    kind = min(times, key=times.__getitem__)
    if times[kind] >= MARGIN * times["dense"]:
        kind = "dense"
    choices = [choice for choice, _ in found.values()]
    return Condensed(candidates[kind], kind, choices, Change(times["dense"], times[kind]))


class _CondensedModel(SmallerModel):
    """A smaller model some of whose products with a weight are computed by layers that hold the unmasked weights."""

    def __init__(self, small: SmallerModel, layers: Mapping[Step, CondensedLinear]):
        tf.Module.__init__(self, name=small.name)
        places = _products(small)
        own = {places[step]: layer.w for step, layer in layers.items()}
        self._traced = small._traced
        self.parameters = [own.get(place, variable) for place, variable in enumerate(small.parameters)]
        self._corrected, self.constants = small._corrected, small.constants
        self.layers = list(layers.values())
        self._by_output = {step.outputs[0]: number for number, step in enumerate(layers)}
        self._run = tf.function(self._computed, autograph=False)

    def _step(self, step: Step, inputs: list[Any], batch: Any) -> list[Any]:
        if step.outputs[0] in self._by_output:
            return [self.layers[self._by_output[step.outputs[0]]](inputs[0])]
        return super()._step(step, inputs, batch)


def _products(small: SmallerModel) -> dict[Step, int]:
    """Finds the products of activations with a weight that nothing else reads: step -> its place in the parameters."""
    traced = small._traced
    reads = {
        step.outputs[0]: traced.variables[step.inputs[0]]
        for step in traced.steps
        if step.operation.type == "ReadVariableOp" and step.inputs[0] in traced.variables
    }
    readers: dict[int, list[Step]] = {}
    for step in traced.steps:
        for number in set(step.inputs) & reads.keys():
            readers.setdefault(reads[number], []).append(step)
    found = {}
    for place, steps in readers.items():
        operation = steps[0].operation
        if len(steps) == 1 and operation.type == "MatMul" and small.parameters[place].dtype == tf.float32:
            turned = operation.get_attr("transpose_a") or operation.get_attr("transpose_b")
            if not turned and reads.get(steps[0].inputs[1]) == place and steps[0].inputs[0] not in reads:
                found[steps[0]] = place
    return found


def _choose(
    step: Step, weight: tf.Variable, masks: Mapping[str, npt.NDArray[np.bool_]]
) -> tuple[Choice, CondensedLinear]:
    """Times a product for a batch of the size that was traced, dense and condensed."""
    name = name_of(weight)
    mask = np.asarray(masks.get(name, weight.numpy() != 0))
    layer = CondensedLinear.from_masked(weight, mask, name="condensed")
    rows = tf.random.stateless_normal([step.operation.outputs[0].shape[0], mask.shape[0]], seed=[0, 0])
    dense, condensed = _times([functools.partial(_product, weight), layer], [rows])
    before = step.operation.inputs[1].shape.as_list()
    kept = int(mask.sum())
    is_condensed = condensed < MARGIN * dense
    return Choice(name, tuple(before), mask.shape, kept, Change(dense, condensed), is_condensed), layer


def _times(ways: Sequence[Callable[..., Any]], inputs: Sequence[Any]) -> list[float]:
    """Measures the milliseconds of calls in turn; short ones are many, since each is disturbed more."""
    functions = [tf.function(each, autograph=False) for each in ways]
    once = sum(alternate_times(functions, inputs, 1))
    return alternate_times(functions, inputs, int(np.clip(1e3 * SECONDS / once, FEWEST, MOST)))


def _product(weight: tf.Variable, rows: tf.Tensor) -> tf.Tensor:
    return tf.matmul(rows, weight)
