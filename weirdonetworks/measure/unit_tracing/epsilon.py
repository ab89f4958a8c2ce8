"""Traced calls without the epsilons of norms, by which the scale of weights before a norm is a symmetry."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from weirdonetworks.measure.unit_tracing.traced_call import Step, Trace

EPSILON = 0.01  # A smaller constant under a root is an epsilon.


def without_epsilon(call: Trace) -> Trace:
    """Leaves out the small constants that norms add to variances before they take a root."""
    scalars = {
        step.outputs[0]: tf.get_static_value(step.operation.outputs[0])
        for step in call.steps
        if step.operation.type == "Const" and not step.operation.outputs[0].shape.rank
    }
    scalars |= {
        number: np.asarray(each)
        for number, each in call.captured.items()
        if each.shape.rank == 0 and each.dtype.is_floating
    }
    roots = {number for step in call.steps if step.operation.type in ("Sqrt", "Rsqrt") for number in step.inputs}
    steps = []
    for step in call.steps:
        if step.operation.type in ("Add", "AddV2") and step.outputs[0] in roots:
            kept = tuple(number for number in step.inputs if not 0 < scalars.get(number, 0.0) < EPSILON)
            step = Step(_Unchanged(), kept, step.outputs) if len(kept) == 1 else step
        elif step.operation.type.startswith("FusedBatchNorm"):
            step = Step(_WithoutEpsilon(step.operation), step.inputs, step.outputs)
        steps.append(step)
    return dataclasses.replace(call, steps=tuple(steps))


class _Unchanged:
    """An operation that returns its input, as the reading of a variable does."""

    type = "ReadVariableOp"


class _WithoutEpsilon:
    """A batch norm whose epsilon is zero."""

    def __init__(self, operation: tf.Operation):
        self._operation = operation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operation, name)

    def get_attr(self, name: str) -> Any:
        return 0.0 if name == "epsilon" else self._operation.get_attr(name)
