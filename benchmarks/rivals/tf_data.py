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

    class MaskedLinear(snt.Module):
        def __init__(self, mask: npt.NDArray[np.bool_]):
            super().__init__()
            initializer = snt.initializers.VarianceScaling(2.0, "fan_in", "truncated_normal")
            self.mask = tf.constant(mask, tf.float32)
            self.w = tf.Variable(initializer(mask.shape, tf.float32))
            self.b = tf.Variable(tf.zeros(mask.shape[1]))

        def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
            return tf.matmul(inputs, self.w * self.mask) + self.b

    tf.random.set_seed(problem.seed)
    layers = [MaskedLinear(mask) for mask in problem.masks]
    *hidden, last = layers
    network = snt.Sequential([snt.Flatten(), *(part for layer in hidden for part in (layer, tf.nn.relu)), last])
    optimizer = snt.optimizers.Adam(problem.learning_rate)

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = network(images)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        parameters = network.trainable_variables
        optimizer.apply(tape.gradient(loss, parameters), parameters)
        return loss

    @tf.function
    def count_right(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return tf.math.count_nonzero(tf.argmax(network(images), axis=1, output_type=tf.int32) == labels)

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
