"""Orbits of a batch and networks over them: `Orbit` beside dense matrices, gathers and the image operation.

    python -m benchmarks.orbits rotations
    python -m benchmarks.orbits permutations
    python -m benchmarks.orbits synchronous --batch=1000 --xla

`rotations`: 36 rotations, with bilinear interpolation, of 128 images of 28 x 28 pixels. `permutations`: a group of 36
permutations of 784 numbers on a batch of 128. `synchronous`: a synchronous network over the four quarter turns, shared
layers 784-300-100 and a head of 10, beside four passes of the plain network 784-300-100-10. What is timed is the
forward pass; the error is the largest difference from what NumPy computes, over the largest value, and must be small.
"""

import argparse
import functools
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import harness
from weirdonetworks.lab.records.tables import counted

ELEMENTS, SIDE = 36, 28
PIXELS = SIDE * SIDE
SIZES = (300, 100, 10)
TOLERANCE = 1e-4  # Of the largest value, in float32.
DESCRIPTIONS = {
    "rotations": f"{ELEMENTS} bilinear rotations of images of {SIDE} x {SIDE} pixels",
    "permutations": f"{ELEMENTS} permutations of {PIXELS} numbers",
    "synchronous": f"A C4 synchronous network, {PIXELS}-300-100 and a head of 10, forward",
}
HERE = "benchmarks.orbits"
VARIANTS = {
    "rotations": (
        harness.Variant("ours", "ours", f"{HERE}:rotations"),
        harness.Variant("ours_xla", "ours, XLA", f"{HERE}:rotations_xla"),
        harness.Variant("dense", "dense matrices, one product", f"{HERE}:dense_rotations"),
        harness.Variant("dense_xla", "dense matrices, one product, XLA", f"{HERE}:dense_rotations_xla"),
        harness.Variant("image_op", "ImageProjectiveTransformV3", f"{HERE}:image_op"),
    ),
    "permutations": (
        harness.Variant("ours", "ours", f"{HERE}:permutations"),
        harness.Variant("ours_xla", "ours, XLA", f"{HERE}:permutations_xla"),
        harness.Variant("gather", "tf.gather, axis 1", f"{HERE}:gather"),
        harness.Variant("gather_xla", "tf.gather, axis 1, XLA", f"{HERE}:gather_xla"),
        harness.Variant("transposed", "tf.gather of the transposed batch", f"{HERE}:transposed_gather"),
        harness.Variant("transposed_xla", "tf.gather of the transposed batch, XLA", f"{HERE}:transposed_gather_xla"),
        harness.Variant("dense", "dense matrices, one product", f"{HERE}:dense_permutations"),
        harness.Variant("dense_xla", "dense matrices, one product, XLA", f"{HERE}:dense_permutations_xla"),
    ),
    "synchronous": (
        harness.Variant("plain", "four plain passes", f"{HERE}:plain"),
        harness.Variant("ours", "ours", f"{HERE}:synchronous"),
        harness.Variant("folded", "ours, weights moved", f"{HERE}:synchronous_folded"),
        harness.Variant("moved", "ours, inputs moved", f"{HERE}:synchronous_moved"),
    ),
}
CALLS = 20  # Calls timed as one: the table has milliseconds.

Floats = npt.NDArray[np.float32]
# A compiled function, its arguments, and the expected outputs.
Prepared = tuple[Callable[..., Any], Sequence[Any], npt.NDArray[np.float64]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see the top of this module."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # The variants to choose from depend on the work; without any the parser says that it is needed.
    work = next((argument for argument in given if argument in DESCRIPTIONS), "rotations")
    return harness.main(
        DESCRIPTIONS[work],
        VARIANTS[work],
        run=f"{HERE}:run",
        add_options=_add_options,
        caption=_caption,
        arguments=given,
    )


def run(contender: Callable[[Mapping[str, Any]], Prepared], threads: int, options: Mapping[str, Any]) -> harness.Sample:
    """Times one contender, and measures its error from the expected outputs.

    Raises:
      RuntimeError: If that is too far.
    """
    harness.tensorflow_threads(threads)
    function, inputs, expected = contender(options)
    error = _error(np.asarray(function(*inputs), np.float64), expected)
    seconds = []
    for repetition in range(options["repetitions"] + 1):
        start = time.perf_counter()
        for _ in range(CALLS):
            function(*inputs)
        if repetition:
            seconds.append(time.perf_counter() - start)
    return harness.Sample(seconds, {"error": error})


def rotations(options: Mapping[str, Any], compiled: bool = False) -> Prepared:
    """Rotates images by `Orbit`."""
    from weirdonetworks.nets.orbits import Orbit

    images = _batch(options)
    return _function(Orbit(_rotations()), compiled), [_tensor(images)], _rotated(images)


def rotations_xla(options: Mapping[str, Any]) -> Prepared:
    """Rotates images by `Orbit`, compiled by XLA."""
    return rotations(options, compiled=True)


def dense_rotations(options: Mapping[str, Any], compiled: bool = False) -> Prepared:
    """Rotates images by the product with all matrices side by side."""
    images = _batch(options)
    matrices = np.concatenate([each.to_dense().T for each in _rotations()], axis=1)
    return _dense(images, matrices, compiled, _rotated(images))


def dense_rotations_xla(options: Mapping[str, Any]) -> Prepared:
    """Rotates images by the product with all matrices, compiled by XLA."""
    return dense_rotations(options, compiled=True)


def image_op(options: Mapping[str, Any]) -> Prepared:
    """Rotates images by TensorFlow's operation for it, the whole batch by one angle at a time."""
    import tensorflow as tf

    images = _batch(options)
    centre, maps = (SIDE - 1) / 2, []
    for angle in np.arange(ELEMENTS) * 2 * math.pi / ELEMENTS:
        cosine, sine = math.cos(angle), math.sin(angle)
        right, down = centre * (1 - cosine + sine), centre * (1 - cosine - sine)
        maps.append(tf.constant([[cosine, -sine, right, sine, cosine, down, 0.0, 0.0]], tf.float32))

    def rotate(flat: tf.Tensor) -> tf.Tensor:
        squares = tf.reshape(flat, [-1, SIDE, SIDE, 1])
        turned = [
            tf.raw_ops.ImageProjectiveTransformV3(
                images=squares,
                transforms=each,
                output_shape=[SIDE, SIDE],
                fill_value=0.0,
                interpolation="BILINEAR",
                fill_mode="CONSTANT",
            )
            for each in maps
        ]
        return tf.reshape(tf.stack(turned), [ELEMENTS, -1, PIXELS])

    return _function(rotate), [_tensor(images)], _rotated(images)


def permutations(options: Mapping[str, Any], compiled: bool = False) -> Prepared:
    """Permutes by `Orbit`."""
    from weirdonetworks.algebra import act
    from weirdonetworks.nets.orbits import Orbit

    batch, group = _batch(options), _group()
    return _function(Orbit(group), compiled), [_tensor(batch)], act(group.elements(), batch)


def permutations_xla(options: Mapping[str, Any]) -> Prepared:
    """Permutes by `Orbit`, compiled by XLA."""
    return permutations(options, compiled=True)


def gather(options: Mapping[str, Any], compiled: bool = False) -> Prepared:
    """Permutes by a gather from each row of the batch, to `[batch, elements, n]`."""
    import tensorflow as tf

    batch, sources, expected = _gathered(options)
    function = _function(lambda inputs: tf.gather(inputs, sources, axis=1), compiled)
    return function, [_tensor(batch)], expected.swapaxes(0, 1)


def gather_xla(options: Mapping[str, Any]) -> Prepared:
    """Permutes by a gather from each row, compiled by XLA."""
    return gather(options, compiled=True)


def transposed_gather(options: Mapping[str, Any], compiled: bool = False) -> Prepared:
    """Permutes by a gather of rows of the transposed batch, transposed back."""
    import tensorflow as tf

    batch, sources, expected = _gathered(options)
    function = _function(lambda inputs: tf.transpose(tf.gather(tf.transpose(inputs), sources), [0, 2, 1]), compiled)
    return function, [_tensor(batch)], expected


def transposed_gather_xla(options: Mapping[str, Any]) -> Prepared:
    """Permutes by a gather of rows of the transposed batch, compiled by XLA."""
    return transposed_gather(options, compiled=True)


def dense_permutations(options: Mapping[str, Any], compiled: bool = False) -> Prepared:
    """Permutes by the product with all matrices side by side."""
    from weirdonetworks.algebra import act

    batch, elements = _batch(options), _group().elements()
    matrices = np.eye(PIXELS)[elements].transpose(1, 0, 2).reshape(PIXELS, -1)
    return _dense(batch, matrices, compiled, act(elements, batch))


def dense_permutations_xla(options: Mapping[str, Any]) -> Prepared:
    """Permutes by the product with all matrices, compiled by XLA."""
    return dense_permutations(options, compiled=True)


def plain(options: Mapping[str, Any]) -> Prepared:
    """Passes four batches through the plain network, one after the other."""
    import sonnet as snt
    import tensorflow as tf

    from weirdonetworks.algebra import act, image_rotations

    network = snt.nets.MLP(SIZES)
    turned = act(image_rotations(SIDE, SIDE).elements(), _batch(options))
    inputs = [_tensor(each) for each in turned]
    network(inputs[0])
    expected = np.stack([_dense_layers(network._layers, each) for each in turned.astype(np.float64)])
    return _function(lambda *batches: tf.stack([network(each) for each in batches]), options["xla"]), inputs, expected


def synchronous(options: Mapping[str, Any], linear: Callable[..., Any] | None = None) -> Prepared:
    """Passes a batch through the synchronous network; `linear` takes the place of `Orbit.linear`."""
    from weirdonetworks.algebra import act, image_rotations
    from weirdonetworks.nets.synchronous import SynchronousMLP

    batch, group = _batch(options), image_rotations(SIDE, SIDE)
    network = SynchronousMLP(group, SIZES[:2], SIZES[2:])
    if linear is not None:
        network.orbit.linear = functools.partial(linear, network.orbit)  # type: ignore[method-assign]
    inputs = _tensor(batch)
    network(inputs)
    *shared, head = network.layers
    shared_outputs = [_dense_layers(shared, each) for each in act(group.elements(), batch.astype(np.float64))]
    expected = _dense_layers([head], np.maximum(shared_outputs, 0).mean(axis=0))
    return _function(network, options["xla"]), [inputs], expected


def synchronous_folded(options: Mapping[str, Any]) -> Prepared:
    """Passes a batch through the synchronous network, the weights moved."""
    import tensorflow as tf

    def linear(orbit: Any, inputs: tf.Tensor, weights: tf.Tensor, seed: None) -> tf.Tensor:
        folded, _ = orbit.folded(weights)
        return tf.reshape(tf.matmul(inputs, folded), [-1, len(orbit), weights.shape[1]])

    return synchronous(options, linear)


def synchronous_moved(options: Mapping[str, Any]) -> Prepared:
    """Passes a batch through the synchronous network, the inputs moved."""
    import tensorflow as tf

    def linear(orbit: Any, inputs: tf.Tensor, weights: tf.Tensor, seed: None) -> tf.Tensor:
        values = tf.matmul(tf.reshape(orbit(inputs), [-1, PIXELS]), weights)
        return tf.transpose(tf.reshape(values, [len(orbit), -1, weights.shape[1]]), [1, 0, 2])

    return synchronous(options, linear)


def _batch(options: Mapping[str, Any]) -> Floats:
    return np.random.default_rng(options["round"]).normal(size=(options["batch"], PIXELS)).astype(np.float32)


def _tensor(values: npt.NDArray[Any]) -> Any:
    import tensorflow as tf

    return tf.constant(values, tf.float32)


def _function(function: Callable[..., Any], compiled: bool = False) -> Callable[..., Any]:
    import tensorflow as tf

    return tf.function(lambda *inputs: function(*inputs), jit_compile=compiled, autograph=False)


def _error(outputs: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> float:
    """Returns the largest error over the largest value; raises a `RuntimeError` above the tolerance."""
    if outputs.shape != expected.shape:
        raise RuntimeError(f"the outputs have shape {outputs.shape}, and must have {expected.shape}.")
    error = float(np.abs(outputs - expected).max() / np.abs(expected).max())
    if not error < TOLERANCE:
        raise RuntimeError(f"the outputs are off by {error:.1e} of the largest.")
    return error


def _gathered(options: Mapping[str, Any]) -> tuple[Floats, npt.NDArray[np.int32], npt.NDArray[Any]]:
    """Returns a batch, the source indices of each group element, and the expected outputs."""
    from weirdonetworks.algebra import act, inverse

    batch, elements = _batch(options), _group().elements()
    return batch, inverse(elements).astype(np.int32), act(elements, batch)


def _dense(batch: Floats, matrices: npt.NDArray[Any], compiled: bool, expected: npt.NDArray[Any]) -> Prepared:
    import tensorflow as tf

    side_by_side = tf.Variable(matrices, dtype=tf.float32)

    def move(inputs: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.matmul(inputs, side_by_side), [-1, ELEMENTS, PIXELS])

    return _function(move, compiled), [_tensor(batch)], expected.swapaxes(0, 1)


def _dense_layers(layers: Sequence[Any], values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    for index, layer in enumerate(layers):
        values = (np.maximum(values, 0) if index else values) @ layer.w.numpy().astype(np.float64) + layer.b.numpy()
    return values


def _rotations() -> list[Any]:
    from weirdonetworks.algebra import transforms

    return [transforms.rotation(SIDE, SIDE, index * 360 / ELEMENTS) for index in range(ELEMENTS)]


def _rotated(images: Floats) -> npt.NDArray[np.float64]:
    squares = images.reshape(-1, SIDE, SIDE, 1).astype(np.float64)
    return np.stack([each.apply(squares).reshape(-1, PIXELS) for each in _rotations()])


def _group() -> Any:
    """Makes the cyclic group of 36 elements that a permutation in random cycles of 36 generates."""
    from weirdonetworks.algebra import PermutationGroup

    cycles = np.random.default_rng(0).permutation(PIXELS)[: PIXELS // ELEMENTS * ELEMENTS].reshape(-1, ELEMENTS)
    generator = np.arange(PIXELS)
    generator[cycles] = np.roll(cycles, -1, axis=1)
    return PermutationGroup([generator])


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("work", choices=list(DESCRIPTIONS), help="the task to measure")
    parser.add_argument("--batch", type=harness.positive, default=128, help="examples a call (%(default)s)")
    parser.add_argument("--repetitions", type=harness.positive, default=10, help="timed repetitions (%(default)s)")
    parser.add_argument("--xla", action="store_true", help="compile the networks of `synchronous` by XLA")


def _caption(options: Mapping[str, Any]) -> str:
    xla = ", XLA" * (options["xla"] and options["work"] == "synchronous")
    repetitions = counted(options["repetitions"], "repetition")
    return f"Seconds for {CALLS} calls, batch {options['batch']}{xla}, {repetitions} a round"


if __name__ == "__main__":
    sys.exit(main())
