"""Every operation of every compiled function has a kernel for GPUs, as TensorFlow registers them on all machines.

That of modules that draw nothing is seen where they are compiled by XLA, in `test_xla`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests import registry
from tests.conformance import kernels
from weight_symmetry.masks import Masks
from weight_symmetry.models import CIFAR10_CNN, MNIST_FC
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.training import objectives
from weirdonetworks.lab.training.optimizers import Adam, Momentum
from weirdonetworks.lab.training.trainer import Resident, Trainer


def only_on_processors(function: Callable[..., Any], *arguments: Any) -> set[tuple[str, str]]:
    """Traces a function; lists kind and name of the operations in it that no GPU computes."""
    return kernels.only_on_processors(tf.function(function, autograph=False).get_concrete_function(*arguments))


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", [entry for entry in registry.NETWORKS if entry.randomness], ids=registry.name)
def test_modules_that_draw_and_their_gradients_compute_on_gpus(entry: registry.Network) -> None:
    module = entry.build(is_random=True)

    def loss_and_gradients(inputs: tf.Tensor, seed: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(entry.call(module, inputs, is_training=True, seed=seed) ** 2)
        return loss, tape.gradient(loss, module.trainable_variables)

    assert not only_on_processors(loss_and_gradients, entry.inputs(), tf.constant([1, 2]))


@pytest.mark.slow
@pytest.mark.parametrize("copies", [None, 2])
@pytest.mark.parametrize("convolves", [False, True])
def test_training_and_evaluation_compute_on_gpus(copies: int | None, convolves: bool, digits: Dataset) -> None:
    # Draws of copies, each with a seed of its own, run copy after copy on the processor outside XLA.
    rate = 0.0 if copies else 0.3
    network = (
        CIFAR10_CNN(filters=(3, 3), dropout_rate=rate) if convolves else MNIST_FC(features=(12, 8), dropout_rate=rate)
    )
    network(tf.zeros([1, 28, 28, 1]), is_training=False)
    trainer = Trainer(
        network,
        Masks(network).wrap(Momentum(weight_decay=0.1) if convolves else Adam(weight_decay=0.1)),
        lambda network: objectives.classification(network, digits.standardisation, takes=("is_training", "seed")),
        Resident(digits.train[:20]),
        count=copies,
        batch_size=8,
        execution="graph",
    )
    data, axis = (trainer.train.images, trainer.train.labels), [] if copies is None else [copies]
    order, seed = tf.zeros([20, *axis], tf.int32), tf.zeros([*axis, 2], tf.int32)
    assert not only_on_processors(trainer._epoch, *data, order, tf.zeros([3]), seed, tf.constant([0]))
    assert not only_on_processors(trainer._epoch, *data, order[:16], tf.zeros([2]), seed, tf.constant([0, 1]))
    assert not only_on_processors(trainer._evaluation, *data, tf.zeros([20]))
    if copies is None:
        assert not only_on_processors(trainer._gradients, *data, tf.range(8), tf.constant([1, 2]))


def test_operations_without_a_kernel_are_found_in_functions_within() -> None:
    rows = tf.constant(np.zeros([4, 2], np.uint8))

    def gathers(index: tf.Tensor) -> tf.Tensor:
        return tf.while_loop(lambda i: i < 3, lambda i: i + tf.cast(tf.gather(rows, i)[0], tf.int32) + 1, [index])[0]

    assert {kind for kind, _ in only_on_processors(gathers, tf.constant(0))} == {"GatherV2"}
    assert {kind for kind, _ in only_on_processors(lambda index: tf.gather(rows, index), tf.constant([0]))}
