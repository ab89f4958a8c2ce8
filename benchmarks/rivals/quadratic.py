"""Quadratic layers in plain TensorFlow, and the matrix products that bound their speed."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks import harness

Floats = npt.NDArray[np.floating]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A layer y[b, k] = sum_ij w[ij, k] x[b, i] x[b, j] over i <= j, and the gradient of sum(y * upstream) by w.

    Attributes:
      inputs: The inputs x, float32 `[batch, n]`.
      weights: The weights, float32 `[n (n + 1) / 2, outputs]`, in the order of `pairs`.
      upstream: The gradient by the outputs, float32 `[batch, outputs]`.
      threads: The number of threads.
    """

    inputs: Floats
    weights: Floats
    upstream: Floats
    threads: int

    @property
    def pairs(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """The variables i and j of each monomial, i <= j."""
        return np.triu_indices(self.inputs.shape[1])

    def matrices(self) -> Floats:
        """Spreads the weights over all ordered pairs, `[n, n, outputs]`, those with i > j zero."""
        n, outputs = self.inputs.shape[1], self.weights.shape[1]
        spread = np.zeros((n, n, outputs), np.float32)
        spread[self.pairs] = self.weights
        return spread


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A layer ready to be timed.

    Attributes:
      step: Computes outputs and weight gradient, and returns them, in whatever form, when both are there.
      read: Reads what `step` returned: the outputs `[batch, outputs]`, and the gradient in the form of the weights.
        None where it is no such layer.
    """

    step: Callable[[], Any]
    read: Callable[[Any], tuple[Floats, Floats]] | None


class Contender(Protocol):
    """Prepares a problem's layer."""

    def __call__(self, problem: Problem) -> Prepared: ...


def gather(problem: Problem, xla: bool = False) -> Prepared:
    """Gathers both factors of all monomials, and maps their products by a dense weight."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    lower, upper = (column.astype(np.int32) for column in problem.pairs)

    def layer(inputs: Any, weights: Any) -> Any:
        return tf.matmul(tf.gather(inputs, lower, axis=1) * tf.gather(inputs, upper, axis=1), weights)

    return in_graph(problem, problem.weights, layer, lambda gradient: gradient, xla=xla)


def gather_xla(problem: Problem) -> Prepared:
    """Computes `gather`, compiled by XLA."""
    return gather(problem, xla=True)


def outer(problem: Problem) -> Prepared:
    """Maps the outer product of the inputs with themselves by a dense weight."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    n, outputs = problem.inputs.shape[1], problem.weights.shape[1]
    weights = problem.matrices().reshape(n * n, outputs)

    def layer(inputs: Any, weights: Any) -> Any:
        return tf.matmul(tf.reshape(inputs[:, :, None] * inputs[:, None, :], [-1, n * n]), weights)

    return in_graph(problem, weights, layer, lambda gradient: gradient.reshape(n, n, outputs)[problem.pairs])


def einsum(problem: Problem) -> Prepared:
    """Computes the layer by `tf.einsum`."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    def layer(inputs: Any, weights: Any) -> Any:
        return tf.einsum("bi,ijk,bj->bk", inputs, weights, inputs)

    return in_graph(problem, problem.matrices(), layer, lambda gradient: gradient[problem.pairs])


def given_monomials(problem: Problem) -> Prepared:
    """Maps given monomials by a dense weight: the two products of `gather` alone."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    lower, upper = problem.pairs
    monomials = tf.constant(problem.inputs[:, lower] * problem.inputs[:, upper])
    return in_graph(problem, problem.weights, tf.matmul, lambda gradient: gradient, inputs=monomials)


def square_products(problem: Problem) -> Prepared:
    """Multiplies square matrices, twice, with the arithmetic of the layer's two products: the FLOP limit."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    side = round((len(problem.inputs) * problem.weights.size) ** (1 / 3))
    one, other = (tf.random.stateless_normal([side, side], [0, index]) for index in range(2))

    @tf.function(autograph=False)
    def step(one: Any, other: Any) -> Any:
        return tf.matmul(one, tf.matmul(one, other))

    return Prepared(lambda: step(one, other).numpy(), None)


def in_graph(
    problem: Problem,
    weights: Floats,
    layer: Callable[[Any, Any], Any],
    read: Callable[[Floats], Floats],
    *,
    inputs: Any = None,
    xla: bool = False,
) -> Prepared:
    """Compiles a layer of one weight and its gradient.

    Args:
      problem: The problem.
      weights: The layer's weight.
      layer: Maps inputs and weight to outputs.
      read: Brings the gradient into the form of the problem's weights.
      inputs: The layer's inputs, those of the problem if None.
      xla: Whether XLA compiles it.
    """
    import tensorflow as tf

    variable = tf.Variable(weights)
    given, upstream = tf.constant(problem.inputs) if inputs is None else inputs, tf.constant(problem.upstream)

    @tf.function(autograph=False, jit_compile=xla)
    def step(given: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = layer(given, variable)
        return outputs, tape.gradient(outputs, variable, upstream)

    def run() -> Any:
        outputs, gradient = step(given, upstream)
        return outputs.numpy(), gradient

    return Prepared(run, lambda done: (done[0], read(tf.convert_to_tensor(done[1]).numpy())))
