"""Chains of dense layers, found in the trace of any model."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from weirdonetworks.measure.unit_tracing.traced_call import Step, Trace


class Dense(NamedTuple):
    """A dense layer.

    Attributes:
      weight: Its weight, `[inputs, outputs]`.
      bias: Its bias, `[outputs]`; None if it has none.
    """

    weight: tf.Variable
    bias: tf.Variable | None


def dense_layers(model: Callable[..., Any], images: tf.Tensor, options: Mapping[str, Any]) -> list[Dense]:
    """Finds the layers of a model that flattens its inputs, and computes dense layers with ReLU between them.

    >>> import sonnet as snt
    >>> layers = dense_layers(snt.Sequential([snt.Flatten(), snt.nets.MLP([5, 3])]), tf.ones([2, 4, 4, 1]), {})
    >>> [layer.weight.shape.as_list() for layer in layers]
    [[16, 5], [5, 3]]

    Args:
      model: The model.
      images: Some inputs.
      options: The keyword arguments of its call.

    Raises:
      ValueError: If the model computes anything else, or cannot be traced; the message is a clause.
    """
    call = Trace.of(model, [images], options)
    if len(call.results) != 1 or any(each.dtype != tf.float32 for each in call.variables):
        raise ValueError("it must be float32, with one output")
    handles = {id(variable.handle): variable for variable in call.variables}
    read: dict[int, tf.Variable] = {}
    names = {number: handles[id(outside)] for number, outside in call.captured.items() if id(outside) in handles}
    layers: list[Dense] = []
    current, after = call.parameters[0], "inputs"
    for step in call.steps:
        kind = step.operation.type
        if call.needed.isdisjoint(step.outputs) or kind == "Const":
            continue
        if kind == "ReadVariableOp":
            read[step.outputs[0]] = names[step.inputs[0]]
            continue
        others = [read.get(number) for number in step.inputs if number != current]
        if current not in step.inputs or not _follows(step, after, others):
            raise ValueError(f"it computes {kind} ({step.operation.name}) after its {after}")
        current = step.outputs[0]
        if kind == "MatMul":
            layers.append(Dense(others[0], None))
            after = "weights"
        elif kind in ("AddV2", "BiasAdd"):
            layers[-1] = layers[-1]._replace(bias=others[0])
            after = "bias"
        elif kind == "Relu":
            after = "ReLU"
    if after not in ("weights", "bias") or current != call.results[0]:
        raise ValueError("it must end with a dense layer")
    variables = [variable for layer in layers for variable in layer if variable is not None]
    if len({id(variable) for variable in variables}) < len(variables):
        raise ValueError("its layers must have variables of their own")
    return layers


def _follows(step: Step, after: str, others: list[tf.Variable | None]) -> bool:
    """Tells whether an operation may come next in a chain, given the variables that it reads beside the activations."""
    operation = step.operation
    if operation.type == "Identity":
        return True
    if operation.type == "Reshape":
        return after == "inputs" and operation.outputs[0].shape.rank == 2
    if operation.type == "Relu":
        return after in ("weights", "bias")
    if len(others) != 1 or others[0] is None:
        return False
    if operation.type == "MatMul":
        turned = operation.get_attr("transpose_a") or operation.get_attr("transpose_b")
        return after in ("inputs", "ReLU") and not turned
    # A bias of another length, `[1]`, would be one number for all units.
    is_bias = others[0].shape == operation.outputs[0].shape[-1:]
    return operation.type in ("AddV2", "BiasAdd") and after == "weights" and is_bias
