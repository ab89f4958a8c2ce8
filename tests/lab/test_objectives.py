"""The objective of a classifier, against NumPy."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from weirdonetworks.lab import objectives

IMAGES = np.arange(2 * 2 * 2 * 1, dtype=np.uint8).reshape(2, 2, 2, 1)
LABELS = np.array([1, 0], np.int32)
SEED = np.array([3, 4], np.int32)


def test_loss_and_accuracy_of_each_example() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (50, 10)), rng.integers(0, 10, 50).astype(np.int32)
    logits[:20, :] += 9 * np.eye(10)[labels[:20]]
    objective = objectives.classification(lambda images: tf.constant(logits))
    figures = objective(
        tf.zeros([50, 1, 1, 1], tf.uint8), tf.constant(labels), is_training=False, seed=tf.constant(SEED)
    )
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(50), labels]
    np.testing.assert_allclose(figures["loss"], losses, rtol=1e-9)
    np.testing.assert_array_equal(figures["accuracy"], logits.argmax(axis=1) == labels)
    assert 20 <= np.sum(figures["accuracy"]) < 50
    assert set(figures) == {"loss", "accuracy"}


def test_images_are_preprocessed() -> None:
    seen = []

    def network(inputs: tf.Tensor) -> tf.Tensor:
        seen.append(inputs)
        return tf.zeros([2, 3])

    objectives.classification(network, lambda images: tf.cast(images, tf.float32) / 2)(
        tf.constant(IMAGES), tf.constant(LABELS), is_training=True, seed=tf.constant(SEED)
    )
    np.testing.assert_array_equal(seen[0], IMAGES / 2)


@pytest.mark.parametrize("takes", [(), ("is_training",), ("seed",), ("is_training", "seed")])
def test_the_network_gets_what_it_takes(takes: tuple[str, ...]) -> None:
    seen: dict[str, Any] = {}

    def network(inputs: tf.Tensor, **keywords: Any) -> tf.Tensor:
        seen.update(keywords)
        return tf.zeros([2, 3])

    objectives.classification(network, takes=takes)(
        tf.constant(IMAGES), tf.constant(LABELS), is_training=True, seed=tf.constant(SEED)
    )
    assert set(seen) == set(takes)
    assert seen.get("is_training", True) is True
    np.testing.assert_array_equal(seen.get("seed", SEED), SEED)


def test_nothing_else_can_be_taken() -> None:
    with pytest.raises(ValueError, match=r"takes \(=\('seed', 'step'\)\) must hold is_training and seed only"):
        objectives.classification(lambda images: images, takes=("seed", "step"))
