"""Objectives: what a network is trained for, as a function of a batch."""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import tensorflow as tf


class Objective(Protocol):
    """Measures a network on one batch.

    Args:
      images: uint8 `[batch, height, width, channels]`.
      labels: int32 `[batch]`.
      is_training: Whether the network is to behave as in training (a Python bool).
      seed: int32 `[2]`, for whatever is random in the network; new at each step.

    Returns:
      Named figures of the shape `[batch]`, averaged over examples by the caller. `loss` is the one to minimise. A
      scalar counts as the same figure for every example.
    """

    def __call__(
        self, images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor
    ) -> Mapping[str, tf.Tensor]: ...


def classification(
    network: Callable[..., tf.Tensor],
    preprocess: Callable[[tf.Tensor], tf.Tensor] = lambda images: images,
    takes: Collection[str] = (),
) -> Objective:
    """Makes the objective of a classifier: cross-entropy `loss`, and `accuracy`.

    Args:
      network: Maps preprocessed images to logits `[batch, classes]`.
      preprocess: Maps uint8 images to what the network takes, e.g. a `datasets.Standardisation`.
      takes: Which of `is_training` and `seed` the network takes beside the images, as keywords.

    Returns:
      The objective, with the figures `loss` and `accuracy`.

    Raises:
      ValueError: If `takes` names anything else.
    """
    if not set(takes) <= {"is_training", "seed"}:
        raise ValueError(f"takes (={tuple(takes)}) must hold is_training and seed only.")

    def objective(
        images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor
    ) -> Mapping[str, tf.Tensor]:
        options = {"is_training": is_training, "seed": seed}
        logits = network(preprocess(images), **{name: options[name] for name in takes})
        guesses = tf.argmax(logits, axis=-1, output_type=labels.dtype)
        return {
            "loss": tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits),
            "accuracy": tf.cast(tf.equal(guesses, labels), logits.dtype),
        }

    return objective
