"""The permutation-equivariant quadratic layer on sets, forward: ours beside an einsum and explicit maps.

    python -m benchmarks.permutation_layer --threads=2,1 --json=permutation_layer.json

The sets have 50 items of 16 channels, in batches of 32; there are 16 output channels. The einsum is over all weights
W[k, i, j] of the pairs of items, for each pair of channels and each output: 2 GB, and copies of them beside.
Ours also runs on 10 to 10,000 items, the batch the same, to show what an item costs. Before anything is timed, outputs
are compared to those computed in float64.
"""

import argparse
import dataclasses
import functools
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import harness

ITEMS, CHANNELS, BATCH = 50, 16, 32
SCALE = (10, 100, 1000, 10_000)
TOLERANCE = 1e-4  # Of the largest output, in float32.

HERE = "benchmarks.permutation_layer"
VARIANTS = (
    harness.Variant("ours", "ours, graph", f"{HERE}:ours"),
    harness.Variant("ours_xla", "ours, XLA", f"{HERE}:ours_xla"),
    harness.Variant("maps", "all maps side by side, dense; graph", f"{HERE}:maps"),
    harness.Variant("maps_xla", "all maps side by side, dense; XLA", f"{HERE}:maps_xla"),
    harness.Variant("einsum", "einsum over W[k, i, j]", f"{HERE}:einsum"),
    *(harness.Variant(f"ours_{items}", f"ours, graph, {items:,} items", f"{HERE}:ours_{items}") for items in SCALE),
)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A layer of homogeneous degree 2, and sets for it.

        y_ko = sum_cd (a[cd, o] x_kc x_kd + b[c, d, o] M_c x_kd + e[cd, o] M_c M_d + f[cd, o] 1/n sum_j x_jc x_jd)

    In a, e and f the pairs are c <= d.

    Attributes:
      threads: The number of threads.
      seed: The seed of inputs and weights.
      items: The number n of items.
    """

    threads: int
    seed: int
    items: int = ITEMS

    @functools.cached_property
    def inputs(self) -> npt.NDArray[np.float32]:
        """The sets, `[batch, items, channels]`."""
        return np.random.default_rng(self.seed).standard_normal((BATCH, self.items, CHANNELS), np.float32)

    @functools.cached_property
    def weights(self) -> tuple[npt.NDArray[np.float32], ...]:
        """The weights a, b, e and f."""
        rng, pairs = np.random.default_rng([self.seed, 1]), CHANNELS * (CHANNELS + 1) // 2
        shapes = (pairs, CHANNELS), (CHANNELS, CHANNELS, CHANNELS), (pairs, CHANNELS), (pairs, CHANNELS)
        return tuple(rng.standard_normal(shape, np.float32) for shape in shapes)

    def outputs(self, batch: int) -> npt.NDArray[np.float64]:
        """Computes the first outputs by the definition, in float64."""
        a, b, e, f = (weight.astype(np.float64) for weight in self.weights)
        x = self.inputs[:batch].astype(np.float64)
        means = x.mean(axis=1)
        c, d = np.triu_indices(CHANNELS)
        of_set = (means[:, c] * means[:, d]) @ e + (x[..., c] * x[..., d]).mean(axis=1) @ f
        return (x[..., c] * x[..., d]) @ a + np.einsum("bc,bkd,cdo->bko", means, x, b) + of_set[:, None]


Step = Callable[[], Any]
Contender = Callable[[Problem], tuple[Step, int]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see the top of this module."""
    return harness.main(
        f"A quadratic layer on sets of {ITEMS} items, {CHANNELS} channels, batch {BATCH}, forward: seconds",
        VARIANTS,
        run=f"{HERE}:run",
        add_options=_add_options,
        caption=_caption,
        arguments=arguments,
    )


def run(contender: Contender, threads: int, options: Mapping[str, Any]) -> harness.Sample:
    """Checks one contender, and times it.

    Raises:
      RuntimeError: If its outputs are wrong.
    """
    problem = Problem(threads, options["round"])
    step, items = contender(problem)
    expected = dataclasses.replace(problem, items=items).outputs(2)
    for _ in range(3):
        outputs = step().numpy()
    error = np.abs(outputs[:2] - expected).max() / np.abs(expected).max()
    if not error < TOLERANCE:
        raise RuntimeError(f"the outputs are off by {error:.1e} of the largest.")
    seconds = []
    for _ in range(options["repetitions"]):
        start = time.perf_counter()
        step().numpy()
        seconds.append(time.perf_counter() - start)
    return harness.Sample(seconds, {"microseconds_an_item": statistics.median(seconds) / (BATCH * items) * 1e6})


def ours(problem: Problem, xla: bool = False) -> tuple[Step, int]:
    """Prepares `weirdonetworks.PermutationEquivariantQuadratic`."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    from weirdonetworks import PermutationEquivariantQuadratic

    layer = PermutationEquivariantQuadratic(CHANNELS)
    inputs = tf.constant(problem.inputs)
    layer(inputs)
    a, b, e, f = problem.weights
    lower = np.zeros((CHANNELS, CHANNELS), np.float32)
    layer.items.set_coefficients(np.concatenate([lower[:1], lower, a]))
    of_set, of_items = layer.weights
    of_set.assign(np.concatenate([lower, f, e])[:, None])
    of_items.assign(b)
    forward = tf.function(lambda sets: layer(sets), autograph=False, jit_compile=xla)
    return lambda: forward(inputs), problem.items


def ours_xla(problem: Problem) -> tuple[Step, int]:
    """Prepares ours, compiled by XLA."""
    return ours(problem, xla=True)


def maps(problem: Problem, xla: bool = False) -> tuple[Step, int]:
    """Writes all maps of each item side by side, and maps them by a dense weight."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    c, d = np.triu_indices(CHANNELS)
    a, b, e, f = problem.weights
    inputs, weights = tf.constant(problem.inputs), tf.Variable(np.concatenate([a, b.reshape(-1, CHANNELS), e, f]))

    @tf.function(autograph=False, jit_compile=xla)
    def forward(x: Any) -> Any:
        means = tf.reduce_mean(x, axis=1, keepdims=True)
        squares = tf.gather(x, c, axis=2) * tf.gather(x, d, axis=2)
        mixed = tf.reshape(means[:, :, :, None] * x[:, :, None, :], [-1, problem.items, CHANNELS**2])
        of_set = [
            tf.gather(means, c, axis=2) * tf.gather(means, d, axis=2),
            tf.reduce_mean(squares, axis=1, keepdims=True),
        ]
        spread = [tf.tile(each, [1, problem.items, 1]) for each in of_set]
        return tf.tensordot(tf.concat([squares, mixed, *spread], axis=2), weights, 1)

    return lambda: forward(inputs), problem.items


def maps_xla(problem: Problem) -> tuple[Step, int]:
    """Prepares the same, compiled by XLA."""
    return maps(problem, xla=True)


def einsum(problem: Problem) -> tuple[Step, int]:
    """Writes the layer down with a weight for each output item and pair of items, channels and outputs."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    n = problem.items
    a, b, e, f = (_square(weight) / factor for weight, factor in zip(problem.weights, (1, n, n**2, n), strict=True))
    weights = np.broadcast_to(e, (n, n, n, *e.shape)).astype(np.float32)
    every = np.arange(n)
    weights[every, :, every] += b
    weights[:, every, every] += f
    weights[every, every, every] += a
    inputs, variable = tf.constant(problem.inputs), tf.Variable(weights)
    forward = tf.function(lambda x: tf.einsum("kijcdo,bic,bjd->bko", variable, x, x), autograph=False)
    return lambda: forward(inputs), n


def ours_10(problem: Problem) -> tuple[Step, int]:
    """Prepares ours on sets of 10 items."""
    return ours(dataclasses.replace(problem, items=10))


def ours_100(problem: Problem) -> tuple[Step, int]:
    """Prepares ours on sets of 100 items."""
    return ours(dataclasses.replace(problem, items=100))


def ours_1000(problem: Problem) -> tuple[Step, int]:
    """Prepares ours on sets of 1,000 items."""
    return ours(dataclasses.replace(problem, items=1000))


def ours_10000(problem: Problem) -> tuple[Step, int]:
    """Prepares ours on sets of 10,000 items."""
    return ours(dataclasses.replace(problem, items=10_000))


def _square(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Spreads the weights of pairs c <= d over all pairs, `[channels, channels, outputs]`; others are so already."""
    if weight.ndim == 3:
        return weight
    spread = np.zeros((CHANNELS, CHANNELS, weight.shape[1]), np.float32)
    spread[np.triu_indices(CHANNELS)] = weight
    return spread


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repetitions", type=harness.positive, default=10, help="timed passes per process (%(default)s)"
    )


def _caption(options: Mapping[str, Any]) -> str:
    return f"Seconds a pass, {CHANNELS} channels, batch {BATCH}, timed passes a round: {options['repetitions']}"


if __name__ == "__main__":
    sys.exit(main())
