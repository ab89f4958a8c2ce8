"""The quadratic layer 784 -> 100, forward and weight gradient: `PolynomialLinear` beside its alternatives.

    python -m benchmarks.polynomial_layer --threads=1,2 --json=polynomial_layer.json

The layer has a weight for each of the 307,720 monomials of degree 2 and each output; a batch is 128 inputs, in float32.
What is timed is a few steps; a step computes the outputs and the gradient by the weights, no gradient by the inputs,
for it is a first layer. Before that, outputs and gradient of each variant are compared to those computed in float64.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.rivals.quadratic import Contender, Floats, Prepared, Problem
from weirdonetworks.algebra import monomials

INPUTS, OUTPUTS, BATCH = 784, 100, 128
TOLERANCE = 1e-4  # Of the largest entry; float32 sums of 307,720 terms reach 1e-5.

RIVALS = "benchmarks.rivals"
VARIANTS = (
    harness.Variant("ours", "ours, graph", "benchmarks.polynomial_layer:ours"),
    harness.Variant("ours_xla", "ours, XLA", "benchmarks.polynomial_layer:ours_xla"),
    harness.Variant("limit", "FLOP limit: square matrices", f"{RIVALS}.quadratic:square_products"),
    harness.Variant("given", "monomials given, dense", f"{RIVALS}.quadratic:given_monomials"),
    harness.Variant("gather", "gather, dense; graph", f"{RIVALS}.quadratic:gather"),
    harness.Variant("gather_xla", "gather, dense; XLA", f"{RIVALS}.quadratic:gather_xla"),
    harness.Variant("outer", "outer product, dense", f"{RIVALS}.quadratic:outer"),
    harness.Variant("einsum", "einsum bi,ijk,bj->bk", f"{RIVALS}.quadratic:einsum"),
    harness.Variant("pytorch", "PyTorch: gather, dense", f"{RIVALS}.quadratic_pytorch:gather", needs=("torch",)),
    harness.Variant("bilinear", "PyTorch: nn.Bilinear", f"{RIVALS}.quadratic_pytorch:bilinear", needs=("torch",)),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see the top of this module."""
    return harness.main(
        f"A quadratic layer {INPUTS} -> {OUTPUTS}, batch {BATCH}, forward and weight gradient: seconds",
        VARIANTS,
        run="benchmarks.polynomial_layer:run",
        add_options=_add_options,
        caption=_caption,
        arguments=arguments,
    )


def run(contender: Contender, threads: int, options: Mapping[str, Any]) -> harness.Sample:
    """Checks one contender, and times its steps.

    Raises:
      RuntimeError: If its outputs or its gradient are wrong.
    """
    problem = _problem(threads, seed=options["round"])
    prepared = contender(problem)
    _check(prepared, problem)
    seconds = []
    for _ in range(options["repetitions"]):
        start = time.perf_counter()
        for _ in range(options["steps"]):
            prepared.step()
        seconds.append(time.perf_counter() - start)
    operations = 4 * BATCH * problem.weights.size * options["steps"]  # Two matrix products, a sum and a product each.
    return harness.Sample(seconds, {"GFLOP/s": operations / statistics.median(seconds) / 1e9})


def ours(problem: Problem, xla: bool = False) -> Prepared:
    """Prepares `weirdonetworks.PolynomialLinear`."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    from weirdonetworks import PolynomialLinear

    inputs, upstream = tf.constant(problem.inputs), tf.constant(problem.upstream)
    layer = PolynomialLinear(problem.weights.shape[1], degree=2, include_lower=False, with_bias=False)
    layer(inputs)
    layer.set_coefficients(problem.weights)

    @tf.function(autograph=False, jit_compile=xla)
    def step(inputs: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = layer(inputs)
        return outputs, tape.gradient(outputs, layer.weights, upstream)

    def finish() -> Any:
        outputs, gradients = step(inputs, upstream)
        return outputs.numpy(), gradients

    def read(done: Any) -> tuple[Floats, Floats]:
        outputs, gradients = done
        for weight, gradient in zip(layer.weights, gradients, strict=True):
            weight.assign(gradient)
        table = layer.coefficients()  # Gradients have the weights' form, so what packs those packs these.
        layer.set_coefficients(problem.weights)
        return outputs, table

    return Prepared(finish, read)


def ours_xla(problem: Problem) -> Prepared:
    """Prepares ours, compiled by XLA."""
    return ours(problem, xla=True)


def _problem(threads: int, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    shapes = (BATCH, INPUTS), (monomials.count(INPUTS, 2), OUTPUTS), (BATCH, OUTPUTS)
    inputs, weights, upstream = (rng.standard_normal(shape, np.float32) for shape in shapes)
    return Problem(inputs, weights, upstream, threads)


def _check(prepared: Prepared, problem: Problem) -> None:
    """Warms a layer up, and compares its outputs and gradient to those in float64."""
    done = [prepared.step() for _ in range(3)][-1]
    if prepared.read is None:
        return
    lower, upper = problem.pairs
    inputs = problem.inputs.astype(np.float64)
    table = inputs[:, lower] * inputs[:, upper]
    right = table @ problem.weights, table.T @ problem.upstream
    for name, expected, computed in zip(("outputs", "gradient"), right, prepared.read(done), strict=True):
        error = np.abs(computed - expected).max() / np.abs(expected).max()
        if not error < TOLERANCE:
            raise RuntimeError(f"the {name} are off by {error:.1e} of the largest.")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=harness.positive, default=5, help="steps timed together (%(default)s)")
    parser.add_argument("--repetitions", type=harness.positive, default=4, help="repetitions per process (%(default)s)")


def _caption(options: Mapping[str, Any]) -> str:
    steps, repetitions = options["steps"], options["repetitions"]
    return f"Seconds for steps: {steps}, {INPUTS} -> {OUTPUTS}, batch {BATCH}, timed repetitions a round: {repetitions}"


if __name__ == "__main__":
    sys.exit(main())
