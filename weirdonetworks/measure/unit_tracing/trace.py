"""The traced graph of one call of a model, as a flat list of operations, and its evaluation with other weights."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from weirdonetworks.measure.unit_tracing import rules
from weirdonetworks.measure.unit_tracing.axes import Axis, Edge, Units, fix, unify
from weirdonetworks.measure.unit_tracing.edges import Edges

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
      others: Further variables that the call reads, for instance for a custom gradient.
      steps: The operations in an order of execution.
      captured: The tensors and variable handles from outside, by the number of the tensor that holds each.
      parameters: The numbers of the inputs.
      results: The numbers of the outputs.
      structure: The outputs as the model returns them, with the graph's tensors as leaves.
    """

    inputs: tuple[tf.Tensor, ...]
    variables: tuple[tf.Variable, ...]
    others: tuple[tf.Variable, ...]
    steps: tuple[Step, ...]
    captured: Mapping[int, tf.Tensor]
    parameters: tuple[int, ...]
    results: tuple[int, ...]
    structure: Any

    @classmethod
    def of(cls, model: Callable[..., Any], inputs: Sequence[Any], options: Mapping[str, Any]) -> "Trace":
        """Traces a call.

        Raises:
          TypeError: If the model cannot be called.
          ValueError: If the call fails, or reads no variable.
        """
        if not callable(model) or isinstance(model, type):
            raise TypeError(
                f"model (={getattr(model, '__name__', type(model).__name__)}) must be a module, a Keras model or a "
                "function; of a class give an instance."
            )
        nested = tuple(map(converted, inputs))
        tensors = tuple(tf.nest.flatten(nested))
        state = [(variable, variable.numpy()) for variable in _variables(model)]
        model(*nested, **options)  # Creates the variables of modules that do so at their first call.
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
        return cls(tensors, read, others, tuple(steps), captured, parameters, results, structure)

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
                    unify(kept, new, rules.named(step.operation))
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
        cast = functools.partial(_cast, dtype=dtype)
        by_handle = {id(variable.handle): variable for variable in self.others}
        by_handle |= {id(variable.handle): value for variable, value in zip(self.variables, values, strict=True)}
        known = {number: cast(by_handle.get(id(outside), outside)) for number, outside in self.captured.items()}
        known.update(zip(self.parameters, map(cast, self.inputs if inputs is None else inputs), strict=True))
        for step in self.steps:
            if step.operation.type not in ("NoOp", *ASSIGNMENTS):
                results = compute(step.operation, [known[number] for number in step.inputs], dtype)
                known.update(zip(step.outputs, results, strict=True))
        return known

    def outputs(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Computes the outputs for the example inputs in float64, for other values of the variables."""
        known = self.evaluate(values)
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
        raise ValueError(f"example inputs must be arrays, and hold a {type(given).__name__}.") from error


def compute(operation: tf.Operation, inputs: Sequence[Any], dtype: tf.DType | None) -> list[Any]:
    """Evaluates an operation on other inputs, in the given floating-point type; None for its own.

    What is not defined in that type, as the resizing of images, is evaluated in its own type.

    Raises:
      ValueError: If it cannot be evaluated outside the model, as a loop over time.
    """
    if dtype is None:
        return _computed(operation, inputs, None)
    try:
        return _computed(operation, inputs, dtype)
    except (tf.errors.OpError, TypeError, ValueError):
        pass
    try:
        own = [tf.cast(given, each.dtype) for given, each in zip(inputs, operation.inputs, strict=True)]
        return [_cast(each, dtype) for each in _computed(operation, own, None)]
    except (tf.errors.OpError, TypeError, ValueError) as error:
        raise ValueError(
            f"{rules.named(operation)} cannot be evaluated outside the model. Unroll loops (in Keras, unroll=True)."
        ) from error


def _computed(operation: tf.Operation, inputs: Sequence[Any], dtype: tf.DType | None) -> list[Any]:
    if operation.type == "Const":
        value = tf.get_static_value(operation.outputs[0])
        return [tf.constant(value, operation.outputs[0].dtype) if dtype is None else _cast(value, dtype)]
    if operation.type == "ReadVariableOp":
        return [tf.convert_to_tensor(inputs[0])]
    if operation.type == "ResourceGather":
        return [tf.gather(*inputs)]
    if operation.type.startswith("FusedBatchNorm") and dtype is not None:
        return _batch_norm(operation, inputs)
    if operation.type == "Conv2D" and dtype is not None and inputs[0].shape[-1] > inputs[1].shape[-2]:
        return [_grouped_convolution(operation, *inputs)]
    function, arguments, attributes = _raw(operation)
    given: dict[str, Any] = {
        name: dtype if dtype is not None and isinstance(value, tf.DType) and value.is_floating else value
        for name, value in attributes.items()
    }
    place = 0
    for name, count in arguments:
        given[name] = inputs[place] if count is None else inputs[place : place + count]
        place += count or 1
    result = function(**given)
    return list(result) if isinstance(result, list | tuple) else [result]


def _raw(operation: tf.Operation) -> tuple[Callable[..., Any], list[tuple[str, int | None]], dict[str, Any]]:
    """Returns TensorFlow's function for an operation, the names of its inputs, lists with a length, and attributes."""
    arguments: list[tuple[str, int | None]] = []
    inferred = set()
    for argument in operation.op_def.input_arg:
        inferred |= {argument.type_attr, argument.number_attr, argument.type_list_attr}
        several = argument.number_attr or argument.type_list_attr
        count = operation.get_attr(several) if several else None
        arguments.append((argument.name, count if count is None or isinstance(count, int) else len(count)))
    attributes = {
        each.name: operation.get_attr(each.name) for each in operation.op_def.attr if each.name not in inferred
    }
    function = getattr(tf.raw_ops, operation.type)
    # Passed by position, since a few arguments have another name in Python than in the operation.
    given = [*(name for name, _ in arguments), *attributes]
    accepted = [name for name in inspect.signature(function).parameters if name != "name"]
    wanted = [name for name in accepted if name not in given]
    renamed = dict(zip([name for name in given if name not in accepted], wanted, strict=False))
    return (
        function,
        [(renamed.get(name, name), count) for name, count in arguments],
        {renamed.get(name, name): value for name, value in attributes.items()},
    )


def _batch_norm(operation: tf.Operation, inputs: Sequence[Any]) -> list[Any]:
    """Evaluates batch norm in any type; TensorFlow's fused operation supports single precision only."""
    images, scale, offset, mean, variance = inputs
    shape = [1] * 4
    shape[1 if operation.get_attr("data_format").startswith(b"NC") else 3] = -1
    if operation.get_attr("is_training"):
        axes = [axis for axis in range(4) if shape[axis] == 1]
        mean, variance = tf.nn.moments(images, axes)
    mean, variance, scale, offset = (tf.reshape(each, shape) for each in (mean, variance, scale, offset))
    deviation = tf.sqrt(variance + operation.get_attr("epsilon"))
    outputs = (images - mean) / deviation * scale + offset
    return [outputs, *(tf.reshape(each, [-1]) for each in (mean, variance, mean, variance)), None][
        : len(operation.outputs)
    ]


def _grouped_convolution(operation: tf.Operation, images: tf.Tensor, filters: tf.Tensor) -> tf.Tensor:
    """Evaluates a grouped convolution, channels last, group by group, which has a gradient on processors, too."""
    padding, groups = operation.get_attr("padding").decode(), images.shape[-1] // filters.shape[-2]
    strides, dilations = operation.get_attr("strides"), operation.get_attr("dilations")
    parts = zip(tf.split(images, groups, axis=-1), tf.split(filters, groups, axis=-1), strict=True)
    return tf.concat([tf.nn.conv2d(each, own, strides, padding, dilations=dilations) for each, own in parts], axis=-1)


def _cast(value: Any, dtype: tf.DType) -> tf.Tensor:
    tensor = tf.convert_to_tensor(value)
    return tf.cast(tensor, dtype) if tensor.dtype.is_floating else tensor


def _variables(model: Any) -> list[Any]:
    """Lists the variables that a model has so far."""
    try:
        return list(model.variables)
    except (AttributeError, ValueError):  # A function; or Sonnet's complaint that there are none.
        return []


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
        f"{rules.named(operation)} gives a tensor whose shape depends on the data; the units cannot be followed. "
        "Give the model inputs of fixed shape."
    )
