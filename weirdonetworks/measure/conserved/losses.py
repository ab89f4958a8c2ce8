"""What a loss tells of the outputs of a network."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.measure.models import cause_of

Loss: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

AGREEMENT = 1e-9  # Tolerance, relative to the largest number.
SCALES = (0.1, 3.0, 100.0)  # Scales of what a symmetry is tried with.


def losses(loss: Loss, *outputs: tf.Tensor) -> list[tf.Tensor]:
    """Computes the losses of outputs `[..., classes]`, with labels of the kind that the loss accepts.

    Raises:
      ValueError: If the loss accepts neither one-hot labels nor integers.
    """
    shape = outputs[0].shape
    classes = tf.reshape(tf.range(math.prod(shape[:-1])) % shape[-1], shape[:-1])
    causes = []
    for labels in (tf.one_hot(classes, shape[-1], dtype=outputs[0].dtype), classes):
        try:
            return [tf.convert_to_tensor(loss(labels, each)) for each in outputs]
        except Exception as error:  # A loss may raise any error on labels that it does not accept.
            causes.append(cause_of(error))
    raise ValueError(
        f"loss (={loss!r}) must take one-hot or integer labels, and outputs: {' '.join(dict.fromkeys(causes))}"
    )


def agree(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Tests whether arrays agree to rounding."""
    size = max(float(np.abs(each).max(initial=0.0)) for each in (one, other))
    return bool(np.abs(one - other).max(initial=0.0) <= AGREEMENT * size)


def ignores_translations(loss: Loss, shape: Sequence[int]) -> bool:
    """Tests whether a loss of outputs of a shape `[..., classes]` stays when a number is added to all classes.

    >>> ignores_translations(tf.nn.sparse_softmax_cross_entropy_with_logits, [4, 3])
    True
    """
    rng = np.random.default_rng(0)
    for scale in SCALES:
        outputs = scale * rng.normal(size=tuple(shape))
        moved = outputs + scale * rng.normal(size=(*shape[:-1], 1))
        if not agree(*map(np.asarray, losses(loss, tf.constant(outputs), tf.constant(moved)))):
            return False
    return True
