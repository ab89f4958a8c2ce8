"""Penalties: objectives that ask for more than a small loss."""

from collections.abc import Callable, Iterable, Mapping

import tensorflow as tf

from weirdonetworks.lab.training.objectives import Objective
from weirdonetworks.measure.jacobian import VectorField, jvp


class JacobianPenalty:
    """An objective that also asks a model to stay the same along vector fields v_1, ..., v_g:

        loss + strength * penalty,    penalty(x) = sum_k |J(x) v_k(x)|^2 / outputs,

    which for all generators of a connected group, and at all inputs, vanishes just if the model is invariant. In place
    of the sum, one derivative along sum_k s_k v_k(x) is taken, with signs s_k drawn for each input and step. Its square
    is the sum on average, at the cost of one derivative whatever their number.

    Simard, Victorri, LeCun & Denker, Tangent Prop: a formalism for specifying selected invariances in an adaptive
    network, 1991.

    >>> from weirdonetworks.lab.training.objectives import regression
    >>> def square(x):
    ...     return tf.cast(x, tf.float32) ** 2
    >>> objective = JacobianPenalty(regression(square, 0.1), square, [tf.ones_like], strength=0.5)
    >>> figures = objective(tf.constant([[3.0]]), tf.constant([[8.0]]), is_training=True, seed=tf.constant([1, 2]))
    >>> figures["penalty"].numpy().item(), figures["loss"].numpy().item()  # The derivative is 6, the error 1.
    (36.0, 19.0)
    """

    def __init__(
        self,
        objective: Objective,
        model: Callable[[tf.Tensor], tf.Tensor],
        generators: Iterable[VectorField],
        strength: float,
        augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
    ):
        """Joins the parts.

        Args:
          objective: What else is asked for, with a figure `loss`.
          model: What is to stay the same, e.g. the network after the preprocessing: a function of floating-point images
            that treats them one by one, without randomness, made of what `jvp` can differentiate.
          generators: Maps of a batch of floating-point images to tangents of its shape, such as an `ImageGenerator`; at
            least one.
          strength: The weight of the penalty, at least 0.
          augment: Changes images in training, given a seed, before both the objective and the penalty see them.

        Raises:
          ValueError: If there is no generator, or the strength is below 0 or not finite.
        """
        self.generators = tuple(generators)
        if not self.generators:
            raise ValueError("generators must hold at least one vector field.")
        if not 0 <= strength < float("inf"):
            raise ValueError(f"strength (={strength}) must be at least 0, and finite.")
        self.objective, self.model, self.strength, self.augment = objective, model, strength, augment

    def __call__(
        self, images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor
    ) -> Mapping[str, tf.Tensor]:
        """Measures one batch, as an `Objective`.

        Returns:
          The figures of the objective, and the `penalty`. In training `loss` holds it too, times its strength; else it
          is that of the objective.
        """
        # The objective draws from the seed itself, so others are made of it.
        to_move, to_sign = (tf.random.experimental.stateless_fold_in(seed, number, alg="philox") for number in (2, 3))
        if self.augment and is_training:
            images = self.augment(images, to_move)
        figures = dict(self.objective(images, labels, is_training=is_training, seed=seed))
        figures["penalty"] = self._penalty(tf.cast(images, figures["loss"].dtype), to_sign)
        if is_training:
            figures["loss"] += self.strength * figures["penalty"]
        return figures

    def _penalty(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        shape = [len(self.generators), tf.shape(images)[0], *[1] * (images.shape.rank - 1)]
        signs = 2 * tf.random.stateless_uniform(shape, seed, maxval=2, dtype=tf.int32, alg="philox") - 1
        tangents = tf.stack([generator(images) for generator in self.generators])
        tangent = tf.reduce_sum(tf.cast(signs, images.dtype) * tangents, axis=0)
        _, (derivative,) = jvp(self.model, images, [tangent])
        return tf.reduce_mean(tf.square(derivative), axis=range(1, derivative.shape.rank))
