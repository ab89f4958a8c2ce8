"""A dense layer most of whose weights are masked: `CondensedLinear` beside dense and sparse products elsewhere.

    python -m benchmarks.sparse_layer --size=4096 --sparsity=0.9 --batch=128 --threads=1
    python -m benchmarks.sparse_layer --size=1024 --sparsity=0.95 --step --variants=dense,xla,jax,torch --threads=1

The layer has as many inputs as units, and the same number of unmasked inputs for each unit. What is timed are the
outputs, and with `--step` the gradients by inputs and weights, too; sparse products elsewhere give outputs alone.
Before that, outputs are compared to those computed in float64. `--clock=processor` is that of
`benchmarks.sparse_training`.
"""

import argparse
import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import harness
from weight_symmetry import masks

TOLERANCE = 1e-4  # Of the largest output, in float32.
SECONDS = 0.1  # That a timing takes, of as many calls as there is time for.
CALLS = 100  # Whose time is reported.

HERE = "benchmarks.sparse_layer"
VARIANTS = (
    harness.Variant("condensed", "ours, CondensedLinear", f"{HERE}:condensed", needs=("numba",)),
    harness.Variant("dense", "TensorFlow, dense, graph", f"{HERE}:dense"),
    harness.Variant("xla", "TensorFlow, dense, XLA", f"{HERE}:xla"),
    harness.Variant("tf_sparse", "tf.sparse.sparse_dense_matmul", f"{HERE}:tf_sparse"),
    harness.Variant("jax", "JAX, dense, jit", f"{HERE}:jax_dense", needs=("jax",)),
    harness.Variant("torch", "PyTorch, dense", f"{HERE}:torch_dense", needs=("torch",)),
    harness.Variant("torch_csr", "torch.sparse CSR", f"{HERE}:torch_csr", needs=("torch",)),
    harness.Variant("scipy_csr", "SciPy CSR", f"{HERE}:scipy_csr", needs=("scipy",)),
)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A layer and inputs for it.

    Attributes:
      threads: The number of threads.
      seed: The seed of inputs, weights and mask.
      size: The number of inputs, and of units.
      sparsity: The share of weights that is masked.
      batch: The number of examples.
      with_gradients: Whether gradients are computed, too.
    """

    threads: int
    seed: int
    size: int
    sparsity: float
    batch: int
    with_gradients: bool

    @functools.cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """The mask, `[inputs, units]`."""
        return masks.create("per-neuron", [(self.size, self.size)], self.sparsity, self.seed)[0]

    @functools.cached_property
    def weight(self) -> npt.NDArray[np.float32]:
        """The masked weight, `[inputs, units]`."""
        return np.random.default_rng(self.seed).standard_normal(self.mask.shape, np.float32) * self.mask

    @functools.cached_property
    def inputs(self) -> npt.NDArray[np.float32]:
        """The inputs, `[batch, inputs]`."""
        return np.random.default_rng([self.seed, 1]).standard_normal((self.batch, self.size), np.float32)


Step = Callable[[], npt.NDArray[np.floating]]
Contender = Callable[[Problem], Step]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see the top of this module."""
    return harness.main(
        "A layer most of whose weights are masked: seconds",
        VARIANTS,
        run=f"{HERE}:run",
        add_options=_add_options,
        caption=_caption,
        arguments=arguments,
    )


def run(contender: Contender, threads: int, options: Mapping[str, Any]) -> harness.Sample:
    """Checks one contender, and times it; seconds are those of `CALLS` calls.

    Raises:
      RuntimeError: If its outputs are wrong.
    """
    shape = options["size"], options["sparsity"], options["batch"], options["step"]
    problem, clock = Problem(threads, options["round"], *shape), harness.CLOCKS[options["clock"]]
    step = contender(problem)
    expected = problem.inputs.astype(np.float64) @ problem.weight.astype(np.float64)
    error = np.abs(step() - expected).max() / np.abs(expected).max()
    if not error < TOLERANCE:
        raise RuntimeError(f"the outputs are off by {error:.1e} of the largest.")
    start = clock()
    for _ in range(3):
        step()
    calls = max(1, int(3 * SECONDS / (clock() - start)))
    seconds = []
    for _ in range(options["repetitions"]):
        start = clock()
        for _ in range(calls):
            step()
        seconds.append((clock() - start) / calls * CALLS)
    return harness.Sample(seconds, {})


def condensed(problem: Problem) -> Step:
    """Prepares `weight_symmetry.sparse.CondensedLinear`."""
    harness.tensorflow_threads(problem.threads)
    from weight_symmetry.sparse import CondensedLinear

    layer = CondensedLinear.from_masked(problem.weight, problem.mask)
    return _tensorflow(problem, layer, layer.w)


def dense(problem: Problem, jit_compile: bool = False) -> Step:
    """Prepares a product with the masked weight."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    weight = tf.Variable(problem.weight)
    return _tensorflow(problem, lambda inputs: tf.matmul(inputs, weight), weight, jit_compile)


def xla(problem: Problem) -> Step:
    """Prepares a product with the masked weight, compiled by XLA."""
    return dense(problem, jit_compile=True)


def tf_sparse(problem: Problem) -> Step:
    """Prepares TensorFlow's product of a sparse tensor and a dense one."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    weight = tf.sparse.from_dense(problem.weight.T)

    def layer(inputs: Any) -> Any:
        return tf.transpose(tf.sparse.sparse_dense_matmul(weight, inputs, adjoint_b=True))

    return _tensorflow(problem, layer, weight.values)


def _tensorflow(problem: Problem, layer: Callable[[Any], Any], weight: Any, jit_compile: bool = False) -> Step:
    import tensorflow as tf

    inputs = tf.constant(problem.inputs)

    @tf.function(autograph=False, jit_compile=jit_compile)
    def step(inputs: Any) -> Any:
        if not problem.with_gradients:
            return layer(inputs), []
        with tf.GradientTape() as tape:
            tape.watch([inputs, weight])
            outputs = layer(inputs)
        return outputs, tape.gradient(outputs, [inputs, weight], output_gradients=outputs)

    return lambda: step(inputs)[0].numpy()


def jax_dense(problem: Problem) -> Step:
    """Prepares a product with the masked weight by JAX."""
    harness.jax_threads(problem.threads)
    import jax

    weight, inputs = jax.numpy.asarray(problem.weight), jax.numpy.asarray(problem.inputs)

    @jax.jit
    def step(inputs: Any, weight: Any) -> Any:
        if not problem.with_gradients:
            return inputs @ weight, []
        outputs, backward = jax.vjp(lambda inputs, weight: inputs @ weight, inputs, weight)
        return outputs, backward(outputs)

    return lambda: np.asarray(jax.block_until_ready(step(inputs, weight))[0])


def torch_dense(problem: Problem) -> Step:
    """Prepares a product with the masked weight by PyTorch."""
    harness.pytorch_threads(problem.threads)
    import torch

    weight, inputs = torch.from_numpy(problem.weight), torch.from_numpy(problem.inputs)

    def forward() -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            return (inputs @ weight).numpy()

    def step() -> npt.NDArray[np.float32]:
        given, own = inputs.detach().requires_grad_(), weight.detach().requires_grad_()
        outputs = given @ own
        outputs.backward(outputs.detach())
        return outputs.detach().numpy()

    return step if problem.with_gradients else forward


def torch_csr(problem: Problem) -> Step:
    """Prepares a product with a sparse weight in rows by PyTorch."""
    _refuse_gradients(problem)
    harness.pytorch_threads(problem.threads)
    import torch

    weight, inputs = torch.from_numpy(problem.weight.T).to_sparse_csr(), torch.from_numpy(problem.inputs)

    def forward() -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            return (weight @ inputs.T).T.numpy()

    return forward


def scipy_csr(problem: Problem) -> Step:
    """Prepares a product with a sparse weight in rows by SciPy."""
    _refuse_gradients(problem)
    import scipy.sparse

    weight, inputs = scipy.sparse.csr_array(problem.weight.T), np.asfortranarray(problem.inputs)
    return lambda: (weight @ inputs.T).T


def _refuse_gradients(problem: Problem) -> None:
    if problem.with_gradients:
        raise ValueError("torch_csr and scipy_csr give outputs alone. With --step leave them out by --variants.")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=harness.positive, default=1024, help="inputs, and units (%(default)s)")
    parser.add_argument("--sparsity", type=float, default=0.9, help="share of weights that is masked (%(default)s)")
    parser.add_argument("--batch", type=harness.positive, default=128, help="examples of a call (%(default)s)")
    parser.add_argument("--step", action="store_true", help="time the gradients by inputs and weights, too")
    parser.add_argument("--clock", choices=harness.CLOCKS, default="wall", help="what is timed (%(default)s)")
    parser.add_argument(
        "--repetitions", type=harness.positive, default=5, help="timings per process, of 0.1 s each (%(default)s)"
    )


def _caption(options: Mapping[str, Any]) -> str:
    what = "outputs and gradients" if options["step"] else "outputs"
    return (
        f"Seconds for {CALLS} calls, {what} ({options['clock']} clock), {options['size']} x {options['size']}, "
        f"{options['sparsity']:.0%} masked, batch {options['batch']}"
    )


if __name__ == "__main__":
    sys.exit(main())
