"""The objectives, against NumPy."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from weirdonetworks.algebra import image_rotations
from weirdonetworks.lab.data.augmentation import RandomTransform
from weirdonetworks.lab.training import objectives

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


def test_images_are_augmented_in_training_alone_before_they_are_preprocessed() -> None:
    def augment(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        seeds.append(seed.numpy().tolist())
        return tf.cast(images, tf.float32) + 1

    def network(inputs: tf.Tensor) -> tf.Tensor:
        seen.append(inputs)
        return tf.zeros([2, 3])

    seeds: list[list[int]] = []
    seen: list[tf.Tensor] = []
    objective = objectives.classification(network, lambda images: 2 * tf.cast(images, tf.float32), augment=augment)
    for is_training, seed in ((False, [3, 4]), (True, [3, 4]), (True, [3, 4]), (True, [3, 5])):
        objective(tf.constant(IMAGES), tf.constant(LABELS), is_training=is_training, seed=tf.constant(seed))
    np.testing.assert_array_equal(seen[0], IMAGES * 2.0)
    np.testing.assert_array_equal(seen[1], (IMAGES + 1.0) * 2)
    assert len(seeds) == 3 and seeds[0] == seeds[1] != seeds[2]
    assert [3, 4] not in seeds  # The network draws from that one.


def test_a_random_transform_moves_images_by_the_seed_of_the_step() -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 1)).astype(np.uint8)
    seen: list[tf.Tensor] = []

    def network(inputs: tf.Tensor) -> tf.Tensor:
        seen.append(tf.cast(inputs, tf.float32).numpy())
        return tf.zeros([30, 3])

    objective = objectives.classification(network, augment=RandomTransform(image_rotations(4, 4)))
    for is_training, seed in ((False, [3, 4]), (True, [3, 4]), (True, [3, 4]), (True, [3, 5])):
        objective(tf.constant(images), tf.zeros([30], tf.int32), is_training=is_training, seed=tf.constant(seed))
    np.testing.assert_array_equal(seen[0], images)
    np.testing.assert_array_equal(np.sort(seen[1].reshape(30, 16)), np.sort(images.reshape(30, 16)))
    np.testing.assert_array_equal(seen[1], seen[2])
    assert not np.array_equal(seen[1], seen[0]) and not np.array_equal(seen[1], seen[3])


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


def test_regression_counts_an_example_as_right_if_all_its_numbers_are() -> None:
    rng = np.random.default_rng(1)
    labels = rng.normal(size=(50, 2))
    predictions = labels + rng.uniform(-0.3, 0.3, (50, 2))
    objective = objectives.regression(lambda inputs: tf.constant(predictions), tolerance=0.2)
    figures = objective(tf.zeros([50, 3]), tf.constant(labels), is_training=True, seed=tf.constant(SEED))
    np.testing.assert_allclose(figures["loss"], ((predictions - labels) ** 2).mean(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(figures["accuracy"], np.abs(predictions - labels).max(axis=1) < 0.2)
    assert 0 < np.sum(figures["accuracy"]) < 50


def test_propositions_are_right_if_all_are() -> None:
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(size=(50, 2)), rng.integers(0, 2, (50, 2)).astype(float)
    objective = objectives.propositions(lambda inputs: tf.constant(logits))
    figures = objective(tf.zeros([50, 3]), tf.constant(labels), is_training=True, seed=tf.constant(SEED))
    shares = 1 / (1 + np.exp(-logits))
    losses = -(labels * np.log(shares) + (1 - labels) * np.log(1 - shares))
    np.testing.assert_allclose(figures["loss"], losses.mean(axis=1), rtol=1e-9)
    np.testing.assert_array_equal(figures["accuracy"], ((shares > 0.5) == (labels == 1)).all(axis=1))
    assert 0 < np.sum(figures["accuracy"]) < 50


def test_a_keras_model_is_told_that_it_is_trained() -> None:
    model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dropout(0.9, seed=1)])
    objective = objectives.classification(model, lambda images: tf.cast(images, tf.float32), takes=["is_training"])
    images, labels = tf.ones([8, 2, 2, 1], tf.uint8), tf.zeros([8], tf.int32)
    trained, tested = (
        objective(images, labels, is_training=flag, seed=tf.constant([1, 2]))["loss"].numpy() for flag in (True, False)
    )
    assert np.allclose(tested, np.log(4)) and not np.allclose(trained, tested)
