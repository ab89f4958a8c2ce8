"""The equivariant linear layer of a permutation group, outputs and gradients: each method, and its alternatives.

    python -m benchmarks.shared_layers --group=shifts --threads=2,1
    python -m benchmarks.shared_layers --group=permutations --variants=free --threads=2,1
    python -m benchmarks.shared_layers --group=turns --variants=free --threads=2,1

`shifts` are those of images 28 x 28 on a torus, with 4 channels in and out; `permutations` all of 100 points, with 16;
`turns` those of images 16 x 16 by quarters, with 4. A batch is 64 examples, in float32. What is timed are the outputs
and the gradients by inputs and weights, in graph mode. `free` is a dense layer of the same sizes that shares nothing,
`convolution` is `tf.nn.conv2d` on the padded torus, for shifts. Before that, outputs are compared to those computed in
float64.
"""

import argparse
import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import harness
from weirdonetworks.algebra import (
    PermutationGroup,
    equivariant_weight_orbits,
    image_rotations,
    image_translations,
    symmetric_group,
)

BATCH = 64
STEPS = 10  # Timed together.
TOLERANCE = 1e-4  # Of the largest output, in float32.
GROUPS: dict[str, tuple[Callable[[], PermutationGroup], int]] = {
    "shifts": (lambda: image_translations(28, 28), 4),
    "permutations": (lambda: symmetric_group(100), 16),
    "turns": (lambda: image_rotations(16, 16), 4),
}

HERE = "benchmarks.shared_layers"
VARIANTS = (
    harness.Variant("ours", "ours, method picked", f"{HERE}:ours"),
    harness.Variant("dense", "ours, whole matrix", f"{HERE}:dense"),
    harness.Variant("free", "dense layer, nothing shared", f"{HERE}:free"),
    harness.Variant("convolution", "tf.nn.conv2d on a padded torus", f"{HERE}:convolution"),
)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A layer and inputs for it.

    Attributes:
      threads: The number of threads.
      seed: The seed of inputs and weights.
      name: The group's name.
    """

    threads: int
    seed: int
    name: str

    @functools.cached_property
    def group(self) -> PermutationGroup:
        """The group."""
        return GROUPS[self.name][0]()

    @property
    def channels(self) -> int:
        """The channels, in and out."""
        return GROUPS[self.name][1]

    @functools.cached_property
    def inputs(self) -> npt.NDArray[np.float32]:
        """The inputs, `[batch, points, channels]`."""
        shape = (BATCH, self.group.degree, self.channels)
        return np.random.default_rng(self.seed).standard_normal(shape, np.float32)

    @functools.cached_property
    def labels(self) -> npt.NDArray[np.intp]:
        """The orbits of pairs, `[outputs, inputs]`."""
        return equivariant_weight_orbits(self.group, self.group, 1).orbits.labels

    @functools.cached_property
    def weights(self) -> npt.NDArray[np.float32]:
        """The weights, `[orbits, channels, channels]`."""
        shape = (self.labels.max() + 1, self.channels, self.channels)
        return np.random.default_rng([self.seed, 1]).standard_normal(shape, np.float32)

    def outputs(self, batch: int) -> npt.NDArray[np.float64]:
        """Computes the first outputs by the definition, in float64."""
        inputs, weights = self.inputs[:batch].astype(np.float64), self.weights.astype(np.float64)
        rows = [np.einsum("bic,ico->bo", inputs, weights[row]) for row in self.labels]
        return np.stack(rows, axis=1)


Step = Callable[[], Any]
Contender = Callable[[Problem], Step]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see the top of this module."""
    return harness.main(
        f"The linear layer of a permutation group, batch {BATCH}, outputs and gradients: seconds",
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
    problem = Problem(threads, options["round"], options["group"])
    step = contender(problem)
    expected = problem.outputs(2)
    for _ in range(3):
        outputs = step()[0].numpy()
    error = np.abs(outputs[:2].reshape(expected.shape) - expected).max() / np.abs(expected).max()
    if not error < TOLERANCE:
        raise RuntimeError(f"the outputs are off by {error:.1e} of the largest.")
    seconds = []
    for _ in range(options["repetitions"]):
        start = time.perf_counter()
        for _ in range(STEPS):
            step()[0].numpy()
        seconds.append(time.perf_counter() - start)
    return harness.Sample(seconds, {})


def ours(problem: Problem, method: str = "auto") -> Step:
    """Prepares `weirdonetworks.EquivariantLinear`."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    from weirdonetworks import EquivariantLinear

    layer = EquivariantLinear(problem.group, channels=problem.channels, with_bias=False, method=method)
    layer(tf.constant(problem.inputs[:1]))
    layer.w.assign(problem.weights)
    return _step(problem.inputs, layer.w, layer)


def dense(problem: Problem) -> Step:
    """Prepares ours with the whole matrix."""
    return ours(problem, "dense")


def free(problem: Problem) -> Step:
    """Prepares a dense layer with a weight for each pair of an input and an output."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    size = problem.group.degree * problem.channels
    matrix = tf.Variable(problem.weights[problem.labels.T].transpose(0, 2, 1, 3).reshape(size, size))
    return _step(problem.inputs.reshape(BATCH, size), matrix, lambda x: tf.matmul(x, matrix))


def convolution(problem: Problem) -> Step:
    """Prepares a convolution of images that are repeated beyond their edges."""
    if problem.name != "shifts":
        raise ValueError("convolution is for --group=shifts only. Leave it out by --variants.")
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    side, channels = int(problem.group.degree**0.5), problem.channels
    kernel = tf.Variable(problem.weights.reshape(side, side, channels, channels))

    def layer(images: Any) -> Any:
        tall = tf.concat([images, images[:, :-1]], axis=1)
        return tf.nn.conv2d(tf.concat([tall, tall[:, :, :-1]], axis=2), kernel, 1, "VALID")

    return _step(problem.inputs.reshape(BATCH, side, side, channels), kernel, layer)


def _step(inputs: npt.NDArray[np.float32], weights: Any, layer: Callable[[Any], Any]) -> Step:
    """Makes the timed function of outputs and gradients; all are returned, since TensorFlow prunes unused ones."""
    import tensorflow as tf

    given = tf.constant(inputs)

    @tf.function(autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(given)
            outputs = layer(given)
        return outputs, tape.gradient(outputs, [given, weights], output_gradients=outputs)

    return step


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--group", choices=GROUPS, default="shifts", help="the group (%(default)s)")
    parser.add_argument(
        "--repetitions",
        type=harness.positive,
        default=10,
        help=f"repetitions of {STEPS} steps per process (%(default)s)",
    )


def _caption(options: Mapping[str, Any]) -> str:
    return f"Seconds for {STEPS} steps, {options['group']}, batch {BATCH}, taken a round: {options['repetitions']}"


if __name__ == "__main__":
    sys.exit(main())
