"""tf.data and Sonnet: a custom loop over a pipeline, `snt.optimizers.Adam`, and a compiled step.

The images are held as PNG, which is how TensorFlow Datasets stores them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks import harness
from benchmarks.rivals import Finished, Problem
from weirdonetworks.lab.data.datasets import Split

if TYPE_CHECKING:
    import tensorflow as tf


def usual(problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]:
    """Trains on the usual pipeline: every epoch decodes, standardises and shuffles example by example."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    train = _prepared(problem, problem.train).shuffle(10_000, problem.seed)
    test = _prepared(problem, problem.test)
    return _train(
        problem,
        finished,
        train.batch(problem.batch_size).prefetch(tf.data.AUTOTUNE),
        test.batch(problem.batch_size_test).prefetch(tf.data.AUTOTUNE),
    )


def guide(problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]:
    """Trains on the pipeline of TensorFlow Datasets' own guide: map, cache, shuffle, batch, prefetch."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    train = _prepared(problem, problem.train).cache().shuffle(len(problem.train), problem.seed)
    test = _prepared(problem, problem.test)
    return _train(
        problem,
        finished,
        train.batch(problem.batch_size).prefetch(tf.data.AUTOTUNE),
        test.batch(problem.batch_size_test).cache().prefetch(tf.data.AUTOTUNE),
    )


def batched_before_map(problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]:
    """Trains on bytes decoded once and cached, batched before they are mapped, the loop over them in the graph."""
    harness.tensorflow_threads(problem.threads)
    import tensorflow as tf

    def decode(png: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.ensure_shape(tf.io.decode_png(png), problem.train.images.shape[1:]), label

    def standardise(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return problem.standardisation(images), labels

    parallel = tf.data.AUTOTUNE
    train = _stored(problem.train).map(decode, parallel).cache().shuffle(len(problem.train), problem.seed)
    test = _stored(problem.test).map(decode, parallel)
    # With the tuner on, a data set this small stalls for half a second in every third epoch or so.
    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    return _train(
        problem,
        finished,
        train.batch(problem.batch_size).map(standardise, parallel).prefetch(parallel).with_options(untuned),
        test.batch(problem.batch_size_test).map(standardise, parallel).cache().with_options(untuned),
        loop_in_graph=True,
    )


def _stored(split: Split) -> "tf.data.Dataset":
    """Makes the data set of PNG-encoded images and labels."""
    import tensorflow as tf

    images = tf.data.Dataset.from_tensor_slices(split.images).map(tf.io.encode_png, tf.data.AUTOTUNE)
    pngs = images.batch(len(split)).get_single_element()
    return tf.data.Dataset.from_tensor_slices((pngs, split.labels))


def _prepared(problem: Problem, split: Split) -> "tf.data.Dataset":
    """Makes the data set of standardised images and labels, mapped example by example."""
    import tensorflow as tf

    def prepare(png: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return problem.standardisation(tf.io.decode_png(png)), label

    return _stored(split).map(prepare, tf.data.AUTOTUNE)


def _train(
    problem: Problem,
    finished: Finished,
    train: "tf.data.Dataset",
    test: "tf.data.Dataset",
    loop_in_graph: bool = False,
) -> Sequence[npt.NDArray[np.floating]]:
    import sonnet as snt
    import tensorflow as tf

    class MaskedLayer(snt.Module):
        def __init__(self, mask: npt.NDArray[np.bool_], with_bias: bool):
            super().__init__()
            initializer = snt.initializers.VarianceScaling(2.0, "fan_in", "truncated_normal")
            self.mask = tf.constant(mask, tf.float32)
            self.w = tf.Variable(initializer(mask.shape, tf.float32))
            self.b = tf.Variable(tf.zeros(mask.shape[-1])) if with_bias else None

        def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
            w = self.w * self.mask
            outputs = tf.matmul(inputs, w) if w.shape.rank == 2 else tf.nn.conv2d(inputs, w, 1, "SAME")
            return outputs if self.b is None else tf.nn.bias_add(outputs, self.b)

    tf.random.set_seed(problem.seed)
    parts = problem.parts
    biased = [part == "layer" for part in parts if part.startswith("layer")]
    layers = [MaskedLayer(mask, with_bias) for mask, with_bias in zip(problem.masks, biased, strict=True)]
    norms = [snt.BatchNorm(True, True, decay_rate=0.99) for part in parts if part == "norm"]
    functions = {
        "flatten": snt.flatten,
        "relu": tf.nn.relu,
        "pool": lambda hidden: tf.nn.max_pool2d(hidden, 2, 2, "VALID"),
        "mean": lambda hidden: tf.reduce_mean(hidden, axis=(1, 2)),
    }

    def network(hidden: tf.Tensor, is_training: bool) -> tf.Tensor:
        layer, norm = iter(layers), iter(norms)
        for part in parts:
            if part == "norm":
                hidden = next(norm)(hidden, is_training)
            else:
                hidden = (functions[part] if part in functions else next(layer))(hidden)
        return hidden

    network(tf.zeros([1, *problem.train.images.shape[1:]]), is_training=False)
    parameters = [variable for module in (*layers, *norms) for variable in module.trainable_variables]
    optimizer = snt.optimizers.Adam(problem.learning_rate)

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = network(images, is_training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        optimizer.apply(tape.gradient(loss, parameters), parameters)
        return loss

    @tf.function
    def count_right(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = network(images, is_training=False)
        return tf.math.count_nonzero(tf.argmax(logits, axis=1, output_type=tf.int32) == labels)

    def train_epoch() -> None:
        for images, labels in train:
            step(images, labels)

    if loop_in_graph:
        train_epoch = tf.function(train_epoch)
    for _ in range(problem.epochs):
        train_epoch()
        right = sum(int(count_right(images, labels)) for images, labels in test)
        finished(right / len(problem.test))
    return [(layer.w * layer.mask).numpy() for layer in layers]
