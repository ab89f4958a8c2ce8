"""The call of a model with some units removed."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry.compaction.dependence import Flags
from weight_symmetry.compaction.removal import Removal, restricted
from weirdonetworks.algebra.arrays import instance
from weirdonetworks.measure.unit_layout import spread
from weirdonetworks.measure.unit_tracing import rearranging, rules
from weirdonetworks.measure.unit_tracing.axes import Axis, Product, Units, resolved
from weirdonetworks.measure.unit_tracing.edges import TRANSPOSED
from weirdonetworks.measure.unit_tracing.evaluation import compute
from weirdonetworks.measure.unit_tracing.traced_call import ASSIGNMENTS, Step, Trace, converted


@dataclasses.dataclass(frozen=True, eq=False)
class _Traced:
    """What a smaller model knows of the call: in an object of its own, in which TensorFlow looks for no variables."""

    call: Trace
    axes: Mapping[int, Sequence[Axis]]
    kept: Mapping[Units, Flags]
    options: dict[str, Any]
    variables: Mapping[int, int]  # The variable that each tensor holds.

    @functools.cached_property
    def batches(self) -> list[Axis]:
        """The examples of a batch, of each input."""
        return [resolved(self.axes[number][0]) for number in self.call.parameters if self.axes[number]]

    @functools.cached_property
    def steps(self) -> list[Step]:
        """The operations that the outputs depend on."""
        needed = self.call.needed
        return [step for step in self.call.steps if not needed.isdisjoint(step.outputs)]

    def is_batch(self, axis: Axis) -> bool:
        """Tells whether an axis is that of the examples."""
        return axis.size > 1 and any(resolved(axis) is each for each in self.batches)


class SmallerModel(tf.Module):
    """A model's traced call, for inputs of any batch size, without its removed units.

    >>> import numpy as np, sonnet as snt
    >>> from weight_symmetry import compact
    >>> model, images = snt.nets.MLP([4, 2]), tf.ones([5, 6])
    >>> _ = model(images)
    >>> smaller = compact(model, [np.ones((6, 4)), np.eye(4, 2)], images).model
    >>> [tuple(each.shape) for each in smaller.parameters], smaller(images[:3]).shape.as_list()
    ([(6, 2), (2,), (2, 2), (2,)], [3, 2])

    Attributes:
      parameters: The variables, in the order of the original's.
      constants: What the removed units contributed to sums, of those that do not depend on the inputs.
    """

    def __init__(self, removal: Removal, options: Mapping[str, Any], name: str | None = None):
        """Restricts the variables to the kept units.

        Args:
          removal: The units to remove.
          options: The keyword arguments of the traced call, which every call must have.
          name: The module's name.

        Raises:
          TypeError: If the removal is no `Removal`, or the options are no mapping.
        """
        super().__init__(name=name)
        graph, options = instance("removal", removal, Removal).graph, instance("options", options, Mapping)
        places = {id(variable.handle): index for index, variable in enumerate(graph.variables)}
        variables = {
            number: places[id(outside)] for number, outside in graph.call.captured.items() if id(outside) in places
        }
        self._traced = _Traced(graph.call, graph.tensor_axes, removal.kept, dict(options), variables)
        self.parameters = [
            tf.Variable(restricted(array, axes, removal.kept), trainable=old.trainable, dtype=old.dtype, name=label)
            for array, axes, old, label in zip(removal.remaining, graph.axes, graph.variables, graph.names, strict=True)
        ]
        dtypes = {step.outputs[0]: step.operation.outputs[0].dtype for step in graph.call.steps if step.outputs}
        self._corrected = list(removal.corrections)
        self.constants = [
            tf.Variable(self._constant(number, removal), trainable=False, dtype=dtypes[number], name="constant")
            for number in self._corrected
        ]
        self._run = tf.function(self._computed, autograph=False)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Computes the outputs.

        Args:
          *inputs: Inputs shaped like the example inputs, but for the batch size.
          **options: The keyword arguments that the model was traced with.

        Raises:
          ValueError: If the options are others, or the inputs do not fit.
        """
        if options and options != self._traced.options:
            raise ValueError(
                f"options (={options}) must be those that the model was compacted for, {self._traced.options}."
            )
        # Within another function it is part of that, so that what it computes is traced as that asks for, as for XLA.
        run = self._run if tf.executing_eagerly() else tf.autograph.experimental.do_not_convert(self._computed)
        outputs = iter(run(*self.converted(inputs)))
        structure = self._traced.call.structure  # It may hold None beside tensors.
        return tf.nest.map_structure(lambda leaf: next(outputs) if tf.is_tensor(leaf) else leaf, structure)

    def converted(self, inputs: Sequence[Any]) -> list[tf.Tensor]:
        """Makes tensors of the arguments of a call, and checks their shapes."""
        examples = self._traced.call.inputs
        flat = tf.nest.flatten(tuple(map(converted, inputs)))
        if len(flat) != len(examples):
            raise ValueError(f"inputs ({len(flat)} given) must be {len(examples)}, as the example inputs.")
        tensors = [tf.cast(given, each.dtype) for given, each in zip(flat, examples, strict=True)]
        for given, example in zip(tensors, examples, strict=True):
            if given.shape[1:] != example.shape[1:]:
                raise ValueError(
                    f"inputs of shape {given.shape} must have the shape {example.shape} but for the batch."
                )
        return tensors

    def _computed(self, *inputs: tf.Tensor) -> list[tf.Tensor]:
        batch = inputs[0].shape[0] if inputs[0].shape[0] is not None else tf.shape(inputs[0])[0]
        known: dict[int, Any] = dict(zip(self._traced.call.parameters, inputs, strict=True))
        others = {id(variable.handle): variable for variable in self._traced.call.others}
        for number, outside in self._traced.call.captured.items():
            index = self._traced.variables.get(number)
            held = others.get(id(outside)) if index is None else self.parameters[index]
            known[number] = self._sized(np.asarray(outside), number, batch) if held is None else held
        constants = dict(zip(self._corrected, self.constants, strict=True))
        for step in self._traced.steps:
            if step.operation.type in ("NoOp", *ASSIGNMENTS):
                continue
            if step.operation.type == "IdentityN":  # Of a custom gradient, some of whose tensors it alone needs.
                pairs = zip(step.inputs, step.outputs, strict=True)
                known.update({after: known[before] for before, after in pairs if before in known})
                continue
            results = self._step(step, [known[number] for number in step.inputs], batch)
            if step.outputs and step.outputs[0] in constants:
                results = [results[0] + constants[step.outputs[0]]]
            known.update(zip(step.outputs, results, strict=True))
        return [known[number] for number in self._traced.call.results]

    def _step(self, step: Step, inputs: list[Any], batch: Any) -> list[Any]:
        """Computes an operation whose arguments may hold numbers of units, which are fewer here."""
        operation, kind = step.operation, step.operation.type
        after = [self._traced.axes[number] for number in step.outputs]
        if kind == "Const":
            value = tf.get_static_value(operation.outputs[0])
            return [tf.cast(self._sized(np.asarray(value), step.outputs[0], batch), operation.outputs[0].dtype)]
        if kind in ("Reshape", "Squeeze", "ExpandDims"):
            return [tf.reshape(inputs[0], self._shape(after[0], batch))]
        if kind == "BroadcastTo":
            return [tf.broadcast_to(inputs[0], self._shape(after[0], batch, known=True))]
        if kind == "Tile":
            before = self._traced.axes[step.inputs[0]]
            times = [self._times(*each, batch) for each in zip(before, after[0], strict=True)]
            return [tf.tile(inputs[0], tf.stack(times))]
        if kind == "Fill":
            return [tf.fill(self._shape(after[0], batch, known=True), inputs[1])]
        if kind in TRANSPOSED:
            return compute(operation, [self._shape(after[0], batch, known=True), *inputs[1:]], None)
        if kind in ("Split", "SplitV"):
            value, place = (inputs[1], 0) if kind == "Split" else (inputs[0], 2)
            axis = int(rules.constant(operation, place))
            return list(tf.split(value, [self._size(axes[axis], batch) for axes in after], axis))
        if kind in ("Slice", "StridedSlice"):
            return [inputs[0][tuple(self._slices(step))]]
        return compute(operation, inputs, None)

    def _slices(self, step: Step) -> list[slice | int | None]:
        operation = step.operation
        if operation.type == "Slice":
            begins = np.ravel(rules.constant(operation, 1)).tolist()
            ends = [begin + size for begin, size in zip(begins, operation.outputs[0].shape, strict=True)]
            asked: list[slice | int | None] = [slice(begin, end, 1) for begin, end in zip(begins, ends, strict=True)]
        else:
            asked = rearranging.indices(operation)
        axes = iter(self._traced.axes[step.inputs[0]])
        return [None if index is None else self._slice(index, next(axes)) for index in asked]

    def _slice(self, index: slice | int, axis: Axis) -> slice | int:
        if isinstance(index, int):
            return index
        if index.step != 1:
            return slice(index.start, index.stop if index.stop >= 0 else None, index.step)
        if index == slice(0, axis.size, 1):
            return slice(None)
        kept = spread(axis, self._traced.kept)
        return slice(int(kept[: index.start].sum()), int(kept[: index.stop].sum()))

    def _shape(self, axes: Sequence[Axis], batch: Any, known: bool = False) -> Any:
        sizes = [self._size(axis, batch) for axis in axes]
        unknown = [place for place, size in enumerate(sizes) if tf.is_tensor(size)]
        if len(unknown) == 1 and not known:
            sizes[unknown[0]] = -1
        return sizes if not unknown or not known else tf.stack(sizes)

    def _size(self, axis: Axis, batch: Any) -> Any:
        """Counts the kept units along an axis; a tensor if the batch's size is one."""
        axis = resolved(axis)
        if self._traced.is_batch(axis):
            return batch
        if isinstance(axis, Units):
            return int(self._traced.kept[axis].sum()) if axis in self._traced.kept else axis.size
        sizes = [self._size(part, batch) for part in axis.parts]
        total = sizes[0]
        for size in sizes[1:]:
            total = total * size if isinstance(axis, Product) else total + size
        return total

    def _times(self, before: Axis, after: Axis, batch: Any) -> Any:
        """Counts the copies along an axis; a tensor if there is one for each example and their number is one."""
        return self._size(after, batch) // self._size(before, batch) if after.size > before.size else 1

    def _sized(self, array: npt.NDArray[Any], number: int, batch: Any) -> tf.Tensor:
        """Restricts a constant to the kept units; one slice for each example where it holds the examples' batch."""
        axes = self._traced.axes[number]
        array = restricted(array, axes, self._traced.kept)
        tensor = tf.constant(array)
        for place, axis in enumerate(axes):
            if self._traced.is_batch(axis):
                tensor = tf.repeat(tf.gather(tensor, [0], axis=place), batch, axis=place)
        return tensor

    def _constant(self, number: int, removal: Removal) -> npt.NDArray[Any]:
        """Shrinks the axes along which a correction is the same, the batch among them, to one."""
        axes = self._traced.axes[number]
        array = restricted(removal.corrections[number], axes, self._traced.kept)
        for place, axis in enumerate(axes):
            first = np.take(array, [0], axis=place)
            if self._traced.is_batch(axis) or np.array_equal(np.broadcast_to(first, array.shape), array):
                array = first
        return array
