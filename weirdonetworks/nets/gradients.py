"""Gradients written by hand that do not keep alive the graphs in which they were made."""

import functools
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops

_ATTRIBUTE = "_weirdonetworks_"  # With the gradient's name after it, the attribute of a graph that holds it.


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a function a gradient of its own, as `tf.custom_gradient` does; graphs that call it can be freed.

    TensorFlow (2.21) registers the gradient of each call in a graph until the process ends, and a gradient holds the
    graph: 12 MiB for each training of the small polynomial network of `benchmarks.many_trainings`. Here the graph holds
    the gradient, and the registry asks the graph. So a copy of a graph, as of a model that is saved without its
    gradients, has a gradient only while the original is alive.

    >>> doubled = custom_gradient(lambda x: (2 * x, lambda upstream: 3 * upstream))
    >>> x = tf.constant(1.0)
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = doubled(x)
    >>> float(y), float(tape.gradient(y, x))
    (2.0, 3.0)

    Args:
      function: Maps tensors to one or more tensors and a function, from the gradients by the results to those by its
        tensors. AutoGraph converts nothing in it.
    """
    differentiable = tf.custom_gradient(function)

    @functools.wraps(function)
    @tf.autograph.experimental.do_not_convert  # Nor does it convert what `tf.custom_gradient` decorates.
    def run(*tensors: tf.Tensor) -> Any:
        results = differentiable(*tensors)
        if not tf.executing_eagerly():
            _leave_to_its_graph(tf.nest.flatten(results)[0].op)
        return results

    return run


def _leave_to_its_graph(operation: tf.Operation) -> None:
    """Moves what computes an operation's gradient from TensorFlow's registry to the graph."""
    graph, registry = operation.graph, ops.gradient_registry
    name = operation.get_attr("_gradient_op_type").decode()
    setattr(graph, _ATTRIBUTE + name, registry.lookup(name))
    del registry._registry[name]
    # To save a model TensorFlow calls this without an operation, with AutoGraph on.
    ask = functools.partial(_ask_the_graph, weakref.ref(graph), name)
    tf.RegisterGradient(name)(tf.autograph.experimental.do_not_convert(ask))
    weakref.finalize(graph, registry._registry.pop, name, None).atexit = False  # The registry ends with the process.


def _ask_the_graph(
    graph: Callable[[], tf.Graph], name: str, operation: tf.Operation | None, *upstream: tf.Tensor
) -> Any:
    return getattr(graph(), _ATTRIBUTE + name)(operation, *upstream)
