"""The traced graph of one call of a model: propagation of its axes, and evaluation in float64 with other weights."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from weirdonetworks.measure.unit_tracing import rules
from weirdonetworks.measure.unit_tracing.axes import Axis, Units, fix, unify

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
ASSIGNMENTS = ("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """The TensorFlow graph of a model's call on example inputs.

    Attributes:
      graph: TensorFlow's graph of the call.
      inputs: The example inputs.
      variables: The variables that the outputs depend on.
      others: Further variables that the call reads, for instance for a custom gradient.
    """

    graph: Any
    inputs: tuple[tf.Tensor, ...]
    variables: tuple[tf.Variable, ...]
    others: tuple[tf.Variable, ...]

    @classmethod
    def of(cls, model: Callable[..., Any], inputs: Sequence[Any], options: Mapping[str, Any]) -> "Trace":
        """Traces a call.

        Raises:
          TypeError: If the model cannot be called.
          ValueError: If the call fails, or reads no variable.
        """
        if not callable(model):
            raise TypeError(f"model (={type(model).__name__}) must be a module, a Keras model or a function.")
        tensors = tuple(map(tf.convert_to_tensor, inputs))
        model(*tensors, **options)  # Creates the variables of modules that do so at their first call.
        function = tf.function(lambda *given: model(*given, **options), autograph=False)
        graph = function.get_concrete_function(*tensors).graph
        needed = _needed(graph)
        used = {id(outside) for outside, inside in graph.captures if id(inside) in needed}
        read, others = (
            tuple(each for each in graph.variables if (id(each.handle) in used) == wanted) for wanted in (True, False)
        )
        if not read:
            raise ValueError(f"model (={type(model).__name__}) must read variables, and reads none when it is called.")
        return cls(graph, tensors, read, others)

    def follow(self) -> list[list[Axis]]:
        """Propagates the axes of all tensors through the graph.

        Returns:
          The axes of each variable, unified and fixed as the operations require; the axes of inputs and outputs are
          fixed.
        """
        axes: dict[int, list[Axis]] = {}
        found: dict[int, list[Axis]] = {
            id(variable.handle): [Units(size) for size in variable.shape]
            for variable in (*self.variables, *self.others)
        }
        for outside, inside in self.graph.captures:
            is_variable = id(outside) in found
            axes[id(inside)] = list(found[id(outside)]) if is_variable else rules.of_constant(np.asarray(outside))
        for placeholder in self.graph.inputs:
            axes.setdefault(id(placeholder), rules.new_axes(placeholder.shape, "inputs"))
        _follow_all(self.graph, axes)
        fix("outputs", *(axis for output in self.graph.outputs for axis in axes[id(output)]))
        return [found[id(variable.handle)] for variable in self.variables]

    def compute(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Computes the outputs in float64 for other values of the variables.

        Args:
          values: An array for each variable.
        """
        by_handle = {id(variable.handle): variable.numpy() for variable in self.others}
        by_handle |= {id(variable.handle): value for variable, value in zip(self.variables, values, strict=True)}
        known: dict[int, Any] = {}
        for outside, inside in self.graph.captures:
            known[id(inside)] = _double(by_handle.get(id(outside), outside))
        placeholders = [each for each in self.graph.inputs if id(each) not in known]
        for placeholder, given in zip(placeholders, self.inputs, strict=True):
            known[id(placeholder)] = _double(given)
        _compute_all(self.graph, known)
        return [np.asarray(known[id(output)]) for output in self.graph.outputs]


def _needed(graph: Any) -> set[int]:
    """Finds the tensors that the outputs depend on."""
    needed, waiting = set(), list(graph.outputs)
    while waiting:
        tensor = waiting.pop()
        if id(tensor) not in needed:
            needed.add(id(tensor))
            inputs = tensor.op.inputs
            # Of functions with a custom gradient, which also have outputs that only the gradient needs.
            waiting.extend([inputs[tensor.value_index]] if tensor.op.type == "IdentityN" else inputs)
    return needed


def _follow_all(graph: Any, axes: dict[int, list[Axis]]) -> None:
    for operation in graph.get_operations():
        if operation.type == "Placeholder":
            continue
        if operation.type == "Const":
            axes[id(operation.outputs[0])] = rules.of_constant(tf.get_static_value(operation.outputs[0]))
            continue
        inputs = [axes[id(each)] for each in operation.inputs]
        if operation.type in ASSIGNMENTS:
            for kept, new in zip(*inputs, strict=True):
                unify(kept, new, rules.named(operation))
        elif operation.type in CALLS:
            inner = _function(graph, operation)
            own = {id(parameter): given for parameter, given in zip(inner.inputs, inputs, strict=True)}
            _follow_all(inner, own)
            for output, result in zip(operation.outputs, inner.outputs, strict=True):
                axes[id(output)] = own[id(result)]
        elif operation.outputs:
            for output, found in zip(operation.outputs, _rule(operation, inputs), strict=True):
                axes[id(output)] = found


def _rule(operation: tf.Operation, inputs: list[list[Axis]]) -> list[list[Axis]]:
    known = operation.type == "ReadVariableOp" or all(each.shape.is_fully_defined() for each in operation.outputs)
    if operation.type not in rules.RULES or not known:
        return rules.not_followed(operation, inputs) if known else _shapeless(operation, inputs)
    try:
        return rules.RULES[operation.type](operation, inputs)
    except ValueError:
        return rules.not_followed(operation, inputs)


def _shapeless(operation: tf.Operation, inputs: list[list[Axis]]) -> list[list[Axis]]:
    raise ValueError(
        f"{rules.named(operation)} gives a tensor whose shape depends on the data; the units cannot be followed. "
        "Give the model inputs of fixed shape."
    )


def _compute_all(graph: Any, known: dict[int, Any]) -> None:
    for operation in graph.get_operations():
        if operation.type in ("Placeholder", "NoOp", *ASSIGNMENTS):
            continue
        inputs = [known[id(each)] for each in operation.inputs]
        if operation.type in CALLS:
            inner = _function(graph, operation)
            own = {id(parameter): given for parameter, given in zip(inner.inputs, inputs, strict=True)}
            _compute_all(inner, own)
            results = [own[id(result)] for result in inner.outputs]
        else:
            results = _compute(operation, inputs)
        for output, result in zip(operation.outputs, results, strict=True):
            known[id(output)] = result


def _compute(operation: tf.Operation, inputs: list[Any]) -> list[Any]:
    """Evaluates an operation on other inputs, floating-point ones in float64."""
    if operation.type == "Const":
        return [_double(tf.get_static_value(operation.outputs[0]))]
    if operation.type == "ReadVariableOp":
        return inputs
    if operation.type == "ResourceGather":
        return [tf.gather(*inputs)]
    if operation.type.startswith("FusedBatchNorm"):
        return _batch_norm(operation, inputs)
    arguments, place, inferred = {}, 0, set()
    for argument in operation.op_def.input_arg:
        inferred |= {argument.type_attr, argument.number_attr, argument.type_list_attr}
        if argument.number_attr or argument.type_list_attr:
            count = operation.get_attr(argument.number_attr or argument.type_list_attr)
            count = count if isinstance(count, int) else len(count)
            arguments[argument.name] = inputs[place : place + count]
            place += count
        else:
            arguments[argument.name] = inputs[place]
            place += 1
    for attribute in operation.op_def.attr:
        if attribute.name not in inferred:
            value = operation.get_attr(attribute.name)
            is_float = isinstance(value, tf.DType) and value.is_floating
            arguments[attribute.name] = tf.float64 if is_float else value
    function = getattr(tf.raw_ops, operation.type)
    # Passed by position, since a few arguments have another name in Python than in the operation.
    wanted = [name for name in inspect.signature(function).parameters if name not in arguments and name != "name"]
    other = [name for name in arguments if name not in inspect.signature(function).parameters]
    renamed = dict(zip(other, wanted, strict=False))
    result = function(**{renamed.get(name, name): value for name, value in arguments.items()})
    return list(result) if isinstance(result, list | tuple) else [result]


def _batch_norm(operation: tf.Operation, inputs: list[Any]) -> list[Any]:
    """Evaluates batch norm in float64; TensorFlow's fused operation supports single precision only."""
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


def _double(value: Any) -> tf.Tensor:
    tensor = tf.convert_to_tensor(value)
    return tf.cast(tensor, tf.float64) if tensor.dtype.is_floating else tensor


def _function(graph: Any, operation: tf.Operation) -> Any:
    """Returns the graph of the function that an operation calls."""
    return graph._get_function(operation.get_attr("f").name).graph
