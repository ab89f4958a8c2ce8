"""The traced graph of one call of a model, as a flat list of operations, and its evaluation with other weights."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.measure.models import cause_of, check_finite
from weirdonetworks.measure.unit_tracing import (
    evaluation,
    rearranging,  # noqa: F401  # For its rules.
    rules,
)
from weirdonetworks.measure.unit_tracing.axes import Axis, Edge, Units, fix, unify
from weirdonetworks.measure.unit_tracing.edges import Edges
from weirdonetworks.measure.unit_tracing.naming import name_of, resource

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
ASSIGNMENTS = ("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """An operation of a trace; its tensors are numbers, so that a function called twice has tensors of its own."""

    operation: tf.Operation
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """The TensorFlow operations of a model's call on example inputs, those of called functions among them.

    Attributes:
      inputs: The example inputs.
      variables: The variables that the outputs depend on, in the order in which they are first read.
      names: A name for each variable, as `name_of` gives it.
      others: Further variables that the call reads, for instance for a custom gradient.
      steps: The operations in an order of execution.
      captured: The tensors and variable handles from outside, by the number of the tensor that holds each.
      parameters: The numbers of the inputs.
      results: The numbers of the outputs.
      structure: The outputs as the model returns them, with the graph's tensors as leaves.
    """

    inputs: tuple[tf.Tensor, ...]
    variables: tuple[tf.Variable, ...]
    names: tuple[str, ...]
    others: tuple[tf.Variable, ...]
    steps: tuple[Step, ...]
    captured: Mapping[int, tf.Tensor]
    parameters: tuple[int, ...]
    results: tuple[int, ...]
    structure: Any

    @classmethod
    def of(
        cls, model: Callable[..., Any], inputs: Sequence[Any], options: Mapping[str, Any], name: str = "model"
    ) -> "Trace":
        """Traces a call; messages call the model `name`.

        Raises:
          TypeError: If the model cannot be called.
          ValueError: If the call fails, or reads no variable.
        """
        if not callable(model) or isinstance(model, type):
            raise TypeError(
                f"{name} (={getattr(model, '__name__', type(model).__name__)}) must be a module, a Keras model or a "
                "function; of a class give an instance."
            )
        nested = tuple(map(converted, inputs))
        tensors = tuple(tf.nest.flatten(nested))
        state = [(variable, variable.numpy()) for variable in variables_of(model) or _referred(model)]
        try:
            model(*nested, **options)  # Creates the variables of modules that do so at their first call.
        except (TypeError, ValueError, tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            why = "which failed" if inputs else "and are none"
            raise kind(
                f"example_inputs must hold the arguments of a call of {name}, {why}: {cause_of(error)}"
            ) from error
        for variable, value in state:  # Which the call may have changed, as batch norm does in training.
            variable.assign(value)
        function = tf.function(
            lambda *given: model(*tf.nest.pack_sequence_as(nested, given), **options), autograph=False
        )
        concrete = function.get_concrete_function(*tensors)
        graph = concrete.graph
        numbers: dict[int, int] = {}
        for tensor in graph.inputs:
            numbers[id(tensor)] = len(numbers)
        captured = {numbers[id(inside)]: outside for outside, inside in graph.captures}
        parameters = tuple(number for number in numbers.values() if number not in captured)
        steps: list[Step] = []
        _flatten(graph, numbers, steps, _counter(len(numbers)))
        results = tuple(numbers[id(output)] for output in graph.outputs)
        needed = _needed(steps, results)
        first_read = {id(outside): number for number, outside in captured.items()}
        variables = sorted(graph.variables, key=lambda variable: first_read[id(variable.handle)])
        read, others = (
            tuple(each for each in variables if (first_read[id(each.handle)] in needed) == wanted)
            for wanted in (True, False)
        )
        _check_reads(
            steps,
            needed,
            {number: variable.name for variable in variables if (number := first_read[id(variable.handle)]) in needed},
        )
        if not read:
            raise ValueError(f"model (={type(model).__name__}) must read variables, and reads none when it is called.")
        structure = concrete.structured_outputs
        # Of a Keras variable the graph has the TensorFlow variable alone, whose name lacks layers within layers.
        known = {id(resource(each)): name_of(each) for each in variables_of(model) or _referred(model)}
        names = tuple(known.get(id(each), name_of(each)) for each in read)
        return cls(tensors, read, names, others, tuple(steps), captured, parameters, results, structure)

    @functools.cached_property
    def needed(self) -> set[int]:
        """The tensors that the outputs depend on."""
        return _needed(self.steps, self.results)

    def follow(self) -> tuple[list[list[Axis]], list[Edge], dict[int, list[Axis]]]:
        """Propagates the axes of all tensors through the operations.

        Returns:
          The axes of each variable, unified and fixed as the operations require, the axes of inputs and outputs fixed;
          the edges between them; and the axes of each tensor.
        """
        found = {
            id(variable.handle): [Units(size) for size in variable.shape]
            for variable in (*self.variables, *self.others)
        }
        axes: dict[int, list[Axis]] = {}
        for number, outside in self.captured.items():
            own = found.get(id(outside))
            axes[number] = rules.of_constant(np.asarray(outside)) if own is None else list(own)
        for number, given in zip(self.parameters, self.inputs, strict=True):
            axes[number] = rules.new_axes(given.shape, "inputs")
        edges = Edges(self.variables, self.captured, self.parameters)
        for step in self.steps:
            inputs = [axes[number] for number in step.inputs]
            if step.operation.type in ASSIGNMENTS:
                for kept, new in zip(*inputs, strict=True):
                    unify(kept, new, evaluation.named(step.operation))
                continue
            axes.update(zip(step.outputs, _outputs(step.operation, inputs), strict=True))
            edges.follow(step.operation, step.inputs, step.outputs, axes)
        fix("outputs", *(axis for number in self.results for axis in axes[number]))
        return [list(found[id(variable.handle)]) for variable in self.variables], edges.found, axes

    def evaluate(
        self, values: Sequence[Any], inputs: Sequence[Any] | None = None, dtype: tf.DType = tf.float64
    ) -> dict[int, Any]:
        """Computes all tensors of the call, the floating-point ones in one type.

        Args:
          values: An array or tensor for each variable.
          inputs: The inputs, of the example inputs' shapes; None for the example inputs.
          dtype: The type.
        """
        cast = functools.partial(evaluation.cast, dtype=dtype)
        by_handle = {id(variable.handle): variable for variable in self.others}
        by_handle |= {id(variable.handle): value for variable, value in zip(self.variables, values, strict=True)}
        known = {number: cast(by_handle.get(id(outside), outside)) for number, outside in self.captured.items()}
        known.update(zip(self.parameters, map(cast, self.inputs if inputs is None else inputs), strict=True))
        for step in self.steps:
            if step.operation.type not in ("NoOp", *ASSIGNMENTS):
                results = evaluation.compute(step.operation, [known[number] for number in step.inputs], dtype)
                known.update(zip(step.outputs, results, strict=True))
        return known

    def draw(self, rng: np.random.Generator) -> list[npt.NDArray[Any]]:
        """Draws values of the variables, in float64, of the signs that they have and of their scale, none of them zero.

        Those that are no floating-point numbers stay.

        Raises:
          ValueError: If one holds NaN or infinity, near which there is nothing to draw.
        """
        found = []
        for name, variable in zip(self.names, self.variables, strict=True):
            value = np.asarray(variable.numpy())
            if variable.dtype.is_floating:
                check_finite([(name, value)])
                value = value.astype(np.float64)
                size = float(np.sqrt(np.mean(np.square(value)))) or 1.0
                value = value + np.where(value < 0, -1, 1) * rng.uniform(0.2, 0.7, value.shape) * size
            found.append(value)
        return found

    def draw_inputs(self, rng: np.random.Generator) -> list[tf.Tensor]:
        """Draws inputs, in float64; those that are no floating-point numbers stay."""
        return [tf.constant(rng.normal(size=each.shape)) if each.dtype.is_floating else each for each in self.inputs]

    def without_inputs(self) -> "Trace":
        """Returns the part of the call that the inputs do not enter: weights, and what is computed from them."""
        entered = set(self.parameters)
        for step in self.steps:
            if not entered.isdisjoint(step.inputs):
                entered.update(step.outputs)
        return dataclasses.replace(self, steps=tuple(step for step in self.steps if entered.isdisjoint(step.inputs)))

    def outputs(self, values: Sequence[Any], inputs: Sequence[Any] | None = None) -> list[np.ndarray]:
        """Computes the outputs in float64 for other values of the variables, and for other inputs if there are any."""
        known = self.evaluate(values, inputs)
        return [np.asarray(known[number]) for number in self.results]


def converted(given: Any) -> Any:
    """Makes tensors of an argument of a call: an array, or a list, tuple or mapping of arrays.

    Raises:
      ValueError: If a part is no array.
    """
    if isinstance(given, Mapping):
        return {name: converted(part) for name, part in given.items()}
    if isinstance(given, list | tuple) and any(hasattr(part, "shape") or isinstance(part, Mapping) for part in given):
        return type(given)(map(converted, given))
    try:
        return tf.convert_to_tensor(given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"example_inputs must be arrays, and hold a {type(given).__name__}.") from error


def variables_of(model: Any) -> list[Any]:
    """Lists the variables that a model has so far."""
    try:
        return list(model.variables)
    except (AttributeError, ValueError):  # A function; or Sonnet's complaint that there are none.
        return []


def _referred(model: Any) -> list[Any]:
    """Lists the variables, and those of modules, that a function refers to by name, alone or in a list."""
    try:
        names = inspect.getclosurevars(model)
    except TypeError:  # No function of Python's.
        return []
    values = [*names.nonlocals.values(), *names.globals.values()]
    parts = [part for value in values for part in (value if isinstance(value, list | tuple) else [value])]
    return [
        variable
        for part in parts
        if not inspect.ismodule(part)
        for variable in ([part] if isinstance(part, tf.Variable) else variables_of(part))
    ]


def _check_reads(steps: Sequence[Step], needed: set[int], names: Mapping[int, str]) -> None:
    """Raises a `ValueError` if outputs depend on a variable that the same call has changed before it is read."""
    assigned: set[int] = set()
    for step in steps:
        if step.operation.type in ASSIGNMENTS:
            assigned.add(step.inputs[0])
        elif step.operation.type == "ReadVariableOp" and step.outputs[0] in needed and step.inputs[0] in assigned:
            raise ValueError(
                f"model must not read {names[step.inputs[0]]} after changing it in the same call: give the option that "
                "leaves its state as it is, such as is_training=False."
            )


def _counter(start: int) -> Iterator[int]:
    while True:
        yield start
        start += 1


def _flatten(graph: Any, numbers: dict[int, int], steps: list[Step], counter: Iterator[int]) -> None:
    """Appends the operations of a graph, and of the functions that it calls, and numbers their tensors."""
    for operation in graph.get_operations():
        inputs = tuple(numbers[id(each)] for each in operation.inputs)
        if operation.type == "Placeholder":
            continue
        if operation.type in CALLS:
            inner = graph._get_function(operation.get_attr("f").name).graph
            own = {id(parameter): number for parameter, number in zip(inner.inputs, inputs, strict=True)}
            _flatten(inner, own, steps, counter)
            numbers.update({id(a): own[id(b)] for a, b in zip(operation.outputs, inner.outputs, strict=True)})
            continue
        numbers.update({id(each): next(counter) for each in operation.outputs})
        steps.append(Step(operation, inputs, tuple(numbers[id(each)] for each in operation.outputs)))


def _needed(steps: Sequence[Step], results: Sequence[int]) -> set[int]:
    """Finds the tensors that the outputs depend on."""
    needed = set(results)
    for step in reversed(steps):
        wanted = [index for index, number in enumerate(step.outputs) if number in needed]
        # Of functions with a custom gradient, which also have outputs that only the gradient needs.
        needed.update((step.inputs[index] for index in wanted) if step.operation.type == "IdentityN" else ())
        if wanted and step.operation.type != "IdentityN":
            needed.update(step.inputs)
    return needed


def _outputs(operation: tf.Operation, inputs: list[list[Axis]]) -> list[list[Axis]]:
    if operation.type == "Const":
        return [rules.of_constant(tf.get_static_value(operation.outputs[0]))]
    if not operation.outputs:
        return []
    known = operation.type == "ReadVariableOp" or all(each.shape.is_fully_defined() for each in operation.outputs)
    if operation.type not in rules.RULES or not known:
        return rules.not_followed(operation, inputs) if known else _shapeless(operation, inputs)
    try:
        return rules.RULES[operation.type](operation, inputs)
    except ValueError as error:
        return rules.not_followed(operation, inputs, str(error))


def _shapeless(operation: tf.Operation, inputs: list[list[Axis]]) -> list[list[Axis]]:
    raise ValueError(
        f"{evaluation.named(operation)} gives a tensor whose shape depends on the data; the units cannot be followed. "
        "Give the model inputs of fixed shape."
    )
