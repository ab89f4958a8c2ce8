"""A cache of compiled functions by graph, shared by trainings of one architecture."""

import contextlib
import hashlib
import re
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from weirdonetworks.measure.precision import full_float32

# By the graph's fingerprint, whether XLA compiles it, and whether TF32 is off, which XLA asks when it compiles.
_compiled: dict[tuple[str, bool, bool], Any] = {}
_compiling = threading.Lock()


class Compiled:
    """A function of tensors, traced once for each shape of its inputs and compiled once for each graph.

    TensorFlow compiles every `tf.function` separately, and XLA's executables stay in memory until the process ends. A
    program whose graph equals that of an earlier one runs the executable of the earlier one, with its own captured
    variables and tensors as inputs.

    >>> import tensorflow as tf
    >>> def multiplication(weight):
    ...     return Compiled(lambda number: weight * number, jit_compile=False)
    >>> double, triple = multiplication(tf.Variable(2.0)), multiplication(tf.Variable(3.0))
    >>> double(tf.constant(5.0)).numpy().item(), triple(tf.constant(5.0)).numpy().item()
    (10.0, 15.0)
    """

    def __init__(self, function: Callable[..., tf.Tensor], *, jit_compile: bool, in_full_float32: bool = False):
        """Wraps a function; it is traced when it is called.

        Args:
          function: Maps tensors to one tensor. It must not create variables, and tensors that it captures must outlive
            it. A method is held by a weak reference, so that its object may hold the program.
          jit_compile: Whether XLA compiles it; TensorFlow's own executor runs it otherwise.
          in_full_float32: Whether its products of float32 are computed without TF32, as by `full_float32`.
        """
        # An object and its program would else be a cycle, and weights stay until Python looks for cycles.
        method = isinstance(function, types.MethodType)
        self._function = weakref.WeakMethod(function) if method else lambda: function
        self._jit_compile = jit_compile
        self._in_full_float32 = in_full_float32
        self._traced: dict[Any, tuple[Any, list[tf.Tensor]]] = {}

    def __call__(self, *inputs: tf.Tensor) -> tf.Tensor:
        """Calls the function.

        Args:
          *inputs: Tensors; for shapes and types that are new the function is traced.
        """
        compiled, captured = self._trace(inputs)
        with full_float32() if self._in_full_float32 else contextlib.nullcontext():
            (output,) = compiled.call_flat(*inputs, *captured)
        return output

    def captured(self, *inputs: tf.Tensor) -> list[tf.Tensor]:
        """Lists the tensors and variable handles that the function captures, for inputs of these shapes."""
        return self._trace(inputs)[1]

    def _trace(self, inputs: tuple[tf.Tensor, ...]) -> tuple[Any, list[tf.Tensor]]:
        key = tuple((tuple(tensor.shape), tensor.dtype) for tensor in inputs)
        if key not in self._traced:
            traced = tf.function(self._function(), jit_compile=self._jit_compile, autograph=False)
            concrete = traced.get_concrete_function(*map(tf.TensorSpec.from_tensor, inputs))
            self._traced[key] = self._compile(concrete), list(concrete.captured_inputs)
        return self._traced[key]

    def _compile(self, concrete: Any) -> Any:
        graph = fingerprint(concrete), self._jit_compile, self._in_full_float32
        with _compiling:
            if graph not in _compiled:
                function = _compiled[graph] = concrete.inference_fn
                for each in (function, *function.children):
                    each._cached_graph = None  # It would keep the variables of this program for all later ones.
            return _compiled[graph]


def fingerprint(concrete: Any) -> str:
    """Hashes the graph of a traced function: operations, constants, shapes, inputs and outputs.

    Captured tensors are inputs, of which shape and type count, not the value.

    Args:
      concrete: A concrete function, from `tf.function(...).get_concrete_function(...)`.
    """
    graph = concrete.graph.as_graph_def(add_shapes=True)
    library = {function.signature.name: function for function in graph.library.function}
    graph.ClearField("library")
    parts = [(graph, graph.node)]
    numbers: dict[str, str] = {}

    def numbered(name: re.Match[str]) -> str:
        # TensorFlow numbers the functions within, as bodies of loops, throughout the process; here it is by first use.
        if name[0] not in numbers:
            numbers[name[0]] = f"function_{len(numbers)}"
            parts.append((library[name[0]], library[name[0]].node_def))
        return numbers[name[0]]

    names = re.compile("|".join(map(re.escape, sorted(library, key=len, reverse=True))) or "(?!)")
    ends = [[tensor.name for tensor in tensors] for tensors in (concrete.inputs, concrete.outputs)]
    hashed = hashlib.sha256(repr(ends).encode())
    for definition, nodes in parts:  # Which grow meanwhile.
        for node in nodes:
            # The name under which a custom gradient was found, numbered too; the gradient is in the graph by now.
            node.attr.pop("_gradient_op_type", None)
        hashed.update(names.sub(numbered, str(definition)).encode())
    return hashed.hexdigest()
