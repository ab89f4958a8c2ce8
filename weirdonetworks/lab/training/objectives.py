"""Objectives: losses and metrics of a batch."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, TypeAlias

import tensorflow as tf

from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.nets.base_module import names_of_arguments

Metrics: TypeAlias = Mapping[str, tf.Tensor]


class Objective(Protocol):
    """Computes the loss and metrics of a network on one batch.

    Args:
      images: uint8 `[batch, height, width, channels]`.
      labels: int32 `[batch]`.
      is_training: Whether the network runs in training mode (a Python bool).
      seed: int32 `[2]`, the seed of random layers and augmentation; new at each step.

    Returns:
      Named metrics of shape `[batch]`, averaged over examples by the caller; `loss` is minimised. A scalar is the
      metric of every example.
    """

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor) -> Metrics: ...


def traced(objective: Objective, images: Any, labels: Any) -> Any:
    """Traces an objective in training; nothing is computed.

    Args:
      objective: The objective, of a network with its variables.
      images, labels: Examples, or their specifications.

    Returns:
      The concrete function of images, labels and a seed that lists the metrics.
    """

    def metrics(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
        return list(objective(images, labels, is_training=True, seed=seed).values())

    return tf.function(metrics, autograph=False).get_concrete_function(images, labels, tf.TensorSpec([2], tf.int32))


def classification(
    network: Callable[..., tf.Tensor],
    preprocess: Callable[[tf.Tensor], tf.Tensor] = lambda images: images,
    takes: Collection[str] = (),
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> Objective:
    """Makes the objective of a classifier: cross-entropy `loss`, and `accuracy`.

    Args:
      network: Maps preprocessed images to logits `[batch, classes]`.
      preprocess: Maps uint8 images to the network's inputs, e.g. a `datasets.Standardisation`.
      takes: Which of the keyword arguments `is_training` and `seed` the network accepts; a Keras model or layer is
        given `is_training` as its `training`.
      augment: Augments images in training, before `preprocess`, given a seed, e.g. an `augmentation.RandomTransform`.

    Returns:
      The objective, with the metrics `loss` and `accuracy`.

    Raises:
      TypeError: If `takes` is no list.
      ValueError: If it names anything else.
    """
    passed = names_of_arguments(network, takes)

    def objective(images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor) -> Metrics:
        given = {"is_training": is_training, "seed": seed}
        if augment and is_training:
            images = augment(images, tf.random.experimental.stateless_fold_in(seed, 1, alg="philox"))
        logits = network(preprocess(images), **{own: given[name] for name, own in passed.items()})
        guesses = tf.argmax(logits, axis=-1, output_type=labels.dtype)
        return {
            "loss": tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits),
            "accuracy": tf.cast(tf.equal(guesses, labels), logits.dtype),
        }

    return objective


def classifier(
    data: Dataset,
    takes: Collection[str] = (),
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> Callable[[Any], Objective]:
    """Returns the function that makes a network's `classification` objective on a data set."""
    return lambda network: classification(network, data.standardisation, takes, augment)


def regression(network: Callable[[tf.Tensor], tf.Tensor], tolerance: float) -> Objective:
    """Makes the objective of a network that predicts numbers: squared error `loss`, and `accuracy`.

    Args:
      network: Maps inputs to predictions `[batch, numbers]`, the shape of the labels, which are floating point.
      tolerance: The error below which a number counts as correct.

    Returns:
      The objective, with the metrics `loss`, the mean over an example's numbers, and `accuracy`, the share of examples
      all of whose numbers are correct.
    """

    def objective(images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor) -> Metrics:
        errors = tf.abs(network(images) - labels)
        return {"loss": tf.reduce_mean(errors**2, axis=-1), "accuracy": _all_right(errors < tolerance, errors.dtype)}

    return objective


def propositions(network: Callable[[tf.Tensor], tf.Tensor]) -> Objective:
    """Makes the objective of multi-label classification: binary cross-entropy `loss`, and `accuracy`.

    Args:
      network: Maps inputs to logits `[batch, propositions]`, the shape of the labels, which are 1 or 0 in floating
        point.

    Returns:
      The objective, with the metrics `loss`, the mean over propositions, and `accuracy`, the share of examples all of
      whose propositions are correct.
    """

    def objective(images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor) -> Metrics:
        logits = network(images)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        right = tf.equal(logits > 0, labels > 0)
        return {"loss": tf.reduce_mean(losses, axis=-1), "accuracy": _all_right(right, logits.dtype)}

    return objective


def _all_right(right: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.cast(tf.reduce_all(right, axis=-1), dtype)
