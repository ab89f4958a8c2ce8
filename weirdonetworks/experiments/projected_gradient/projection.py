"""Gradients projected so that a metric is preserved, and the transformation variance as a metric."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from weirdonetworks import Orbit, lab
from weirdonetworks.algebra.actions import ActionLike


def complement(vector: Sequence[tf.Tensor], normal: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Projects a vector g to the orthogonal complement of another one, v:

        g - (g . v) / (v . v) v,    g itself where v is 0

    >>> (projected,) = complement([tf.constant([3.0, 4.0])], [tf.constant([0.0, 2.0])])
    >>> projected.numpy().tolist()
    [3.0, 0.0]

    Args:
      vector: g in parts, such as the gradients of a list of variables.
      normal: v in parts of the same shapes.
    """
    share = tf.math.divide_no_nan(lab.trainer.inner_product(vector, normal), lab.trainer.inner_product(normal, normal))
    return [part - share * along for part, along in zip(vector, normal, strict=True)]


def keeping(metric: str) -> lab.trainer.Direction:
    """Makes the update direction that lowers the loss and preserves a metric's batch mean to first order.

    It is the loss's gradient projected by `complement` off the metric's. Steps must be along it: those of plain
    gradient descent are, of momentum nearly, of Adam or with weight decay not. Second-order changes accumulate.

    Args:
      metric: One of the objective's metrics, such as the `variance` of `with_variance`.
    """
    return lambda gradient: complement(gradient("loss"), gradient(metric))


def with_variance(
    objective: lab.Objective,
    outputs: Callable[[tf.Tensor], tf.Tensor],
    action: ActionLike,
    penalty: float = 0.0,
) -> lab.Objective:
    """Adds to an objective the metric `variance`: the transformation variance of a network's outputs,

        v[x] = mean over entries k of (mean over g of (f(g x)[k] - mean over h of f(h x)[k])^2)

    and to its loss `penalty` times the variance.

    Args:
      objective: The objective, of images.
      outputs: Maps float32 images, bytes in value, to outputs `[batch, entries]`, such as a network's probabilities.
      action: An action on the images; or a group acting on their entries, or image transformations.
      penalty: The weight of the variance in the loss, at least 0.

    Returns:
      The objective with the additional metric.

    Raises:
      TypeError, ValueError: As `Orbit`, or if the penalty is below 0.
    """
    if not penalty >= 0:
        raise ValueError(f"penalty (={penalty}) must be at least 0.")
    orbit = Orbit(action)

    def stabilised(images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor) -> lab.Metrics:
        metrics = objective(images, labels, is_training=is_training, seed=seed)
        # Divided and multiplied: TensorFlow transposes bytes before a mere cast, and its kernel prints an error.
        orbits = 255.0 * orbit(tf.cast(images, tf.float32) / 255.0)
        moved = outputs(tf.reshape(orbits, [-1, *images.shape[1:]]))
        by_transform = tf.reshape(moved, [len(orbit), -1, moved.shape[-1]])
        variance = tf.reduce_mean(tf.math.reduce_variance(by_transform, axis=0), axis=-1)
        return {**metrics, "loss": metrics["loss"] + penalty * variance, "variance": variance}

    return stabilised
