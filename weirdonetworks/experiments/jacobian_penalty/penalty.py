"""Penalties added to the loss of an objective."""

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from weirdonetworks import lab
from weirdonetworks.measure.jacobian import VectorField, jvp


@dataclasses.dataclass(frozen=True, eq=False)
class JacobianPenalty:
    """An objective with a penalty on the derivatives of a model along vector fields v_1, ..., v_g:

        loss + strength * penalty,    penalty(x) = sum_k |J(x) v_k(x)|^2 / outputs,

    which for the generators of a connected group vanishes at all inputs if and only if the model is invariant. It is
    estimated without bias by one derivative along sum_k s_k v_k(x), with random signs s_k for each input and step, at a
    cost that does not depend on g.

    Simard, Victorri, LeCun & Denker, Tangent Prop: a formalism for specifying selected invariances in an adaptive
    network, 1991.

    >>> from weirdonetworks.lab.training.objectives import regression
    >>> def square(x):
    ...     return tf.cast(x, tf.float32) ** 2
    >>> objective = JacobianPenalty(regression(square, 0.1), square, [tf.ones_like], strength=0.5)
    >>> metrics = objective(tf.constant([[3.0]]), tf.constant([[8.0]]), is_training=True, seed=tf.constant([1, 2]))
    >>> metrics["penalty"].numpy().item(), metrics["loss"].numpy().item()  # The derivative is 6, the error 1.
    (36.0, 19.0)

    Attributes:
      objective: The objective to add the penalty to, with a metric `loss`.
      model: The function to make invariant, e.g. the network after preprocessing: of floating-point images, image by
        image, deterministic, and differentiable by `jvp`.
      generators: Maps of a batch of floating-point images to tangents of its shape, such as an `ImageGenerator`; at
        least one.
      strength: The weight of the penalty, at least 0.
      augment: Augments images in training, given a seed, for objective and penalty alike.

    Raises:
      ValueError: If there is no generator, or the strength is below 0 or not finite.
    """

    objective: lab.Objective
    model: Callable[[tf.Tensor], tf.Tensor]
    generators: Sequence[VectorField]
    strength: float
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None

    def __post_init__(self) -> None:
        if not self.generators:
            raise ValueError("generators must hold at least one vector field.")
        if not 0 <= self.strength < float("inf"):
            raise ValueError(f"strength (={self.strength}) must be at least 0, and finite.")

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor) -> lab.Metrics:
        """Computes the metrics of one batch, as an `Objective`.

        Returns:
          The metrics of the objective, and `penalty`. In training `loss` includes it, times `strength`.
        """
        # The objective uses the seed itself, so further ones are derived.
        to_move, to_sign = (tf.random.experimental.stateless_fold_in(seed, number, alg="philox") for number in (2, 3))
        if self.augment and is_training:
            images = self.augment(images, to_move)
        metrics = dict(self.objective(images, labels, is_training=is_training, seed=seed))
        metrics["penalty"] = self._penalty(tf.cast(images, metrics["loss"].dtype), to_sign)
        if is_training:
            metrics["loss"] += self.strength * metrics["penalty"]
        return metrics

    def _penalty(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        shape = [len(self.generators), tf.shape(images)[0], *[1] * (images.shape.rank - 1)]
        signs = 2 * tf.random.stateless_uniform(shape, seed, maxval=2, dtype=tf.int32, alg="philox") - 1
        tangents = tf.stack([generator(images) for generator in self.generators])
        tangent = tf.reduce_sum(tf.cast(signs, images.dtype) * tangents, axis=0)
        _, (derivative,) = jvp(self.model, images, [tangent])
        return tf.reduce_mean(tf.square(derivative), axis=range(1, derivative.shape.rank))
