"""Training that leaves a figure of the objective as it is, and the figure that tells how stable a network is."""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from weirdonetworks.algebra.actions import ActionLike
from weirdonetworks.lab.training.objectives import Objective
from weirdonetworks.lab.training.trainer import Direction, inner_product
from weirdonetworks.nets.orbits import Orbit


def complement(vector: Sequence[tf.Tensor], normal: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Projects a vector g to the complement of another one, v:

        g - (g . v) / (v . v) v,    g itself where v is 0

    >>> (projected,) = complement([tf.constant([3.0, 4.0])], [tf.constant([0.0, 2.0])])
    >>> projected.numpy().tolist()
    [3.0, 0.0]

    Args:
      vector: g in parts, such as the gradients of a list of variables.
      normal: v in parts of the same shapes.
    """
    share = tf.math.divide_no_nan(inner_product(vector, normal), inner_product(normal, normal))
    return [part - share * along for part, along in zip(vector, normal, strict=True)]


def keeping(figure: str) -> Direction:
    """Makes the direction along which the loss falls and the mean of a figure over the batch stays, to first order.

    It is the `complement` of the figure's gradient in the loss's. Steps must follow it as it is to keep the figure:
    plain gradient descent does, momentum nearly, Adam and weight decay do not. What they add of second order piles up.

    Args:
      figure: One of the objective's figures, such as the `variance` of `with_variance`.
    """
    return lambda gradient: complement(gradient("loss"), gradient(figure))


def with_variance(
    objective: Objective,
    outputs: Callable[[tf.Tensor], tf.Tensor],
    action: ActionLike,
    penalty: float = 0.0,
) -> Objective:
    """Adds to an objective the figure `variance`: the transformation variance of a network's outputs,

        v[x] = mean over entries k of (mean over g of (f(g x)[k] - mean over h of f(h x)[k])^2)

    and to its loss a multiple of it.

    Args:
      objective: The objective, of images.
      outputs: Maps float32 images, bytes in value, to outputs `[batch, entries]`, such as a network's probabilities.
      action: Acts on the images; or a group that acts on their numbers, or image transformations.
      penalty: What the variance counts in the loss, at least 0.

    Returns:
      The objective with one figure more.

    Raises:
      TypeError, ValueError: As `Orbit`, or if the penalty is below 0.
    """
    if not penalty >= 0:
        raise ValueError(f"penalty (={penalty}) must be at least 0.")
    orbit = Orbit(action)

    def stabilised(
        images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor
    ) -> Mapping[str, tf.Tensor]:
        figures = objective(images, labels, is_training=is_training, seed=seed)
        # Divided and multiplied: TensorFlow transposes bytes before a mere cast, and its kernel prints an error.
        orbits = 255.0 * orbit(tf.cast(images, tf.float32) / 255.0)
        moved = outputs(tf.reshape(orbits, [-1, *images.shape[1:]]))
        by_transform = tf.reshape(moved, [len(orbit), -1, moved.shape[-1]])
        variance = tf.reduce_mean(tf.math.reduce_variance(by_transform, axis=0), axis=-1)
        return {**figures, "loss": figures["loss"] + penalty * variance, "variance": variance}

    return stabilised
