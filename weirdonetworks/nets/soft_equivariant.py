"""A softly equivariant layer: an equivariant layer plus a penalised free linear map."""

from collections.abc import Callable

import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import finite
from weirdonetworks.nets.base_module import BaseModule, Initializer
from weirdonetworks.nets.inputs import check_width, checked_function, flattened


class SoftEquivariant(BaseModule):
    """An equivariant layer plus an unconstrained linear map with an L2 penalty.

        f(x) = layer(x) + A x,    penalty = strength * sum of A^2

    By default A starts at 0, so that f starts equivariant. Trained on the loss plus the penalty, it deviates from
    equivariance as far as that lowers the loss. The penalty is a Gaussian prior on A: of variance
    1 / (2 N strength) where the loss is the mean over N examples of a negative log-likelihood, 1 / (2 strength) where
    it is the sum. A has an independent weight for each pair of an input and an output number.

    `free_share` is the share of A in the outputs. Where it is 0, f is the layer; but A may be equivariant too, so a
    share above 0 does not imply that f is not: `measure.stability.equivariance_error` measures that. The layer is not
    penalised, so at a minimum A has no component that the layer can represent.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> from weirdonetworks.nets.shared import EquivariantLinear
    >>> soft = SoftEquivariant(EquivariantLinear(cyclic_group(4)), strength=0.1)
    >>> inputs = tf.constant([[1.0, 2.0, 3.0, 4.0]])
    >>> soft(inputs).shape.as_list(), float(soft.penalty()), float(soft.free_share(inputs))
    ([1, 4, 1], 0.0, 0.0)

    Source: Finzi, Benton & Wilson, Residual pathway priors for soft equivariance constraints, 2021.
    """

    def __init__(
        self,
        layer: Callable[[tf.Tensor], tf.Tensor],
        strength: float,
        w_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          layer: A module or function from `[batch, ...]` to `[batch, ...]`, all sizes after the batch known.
          strength: The coefficient of the sum of squares, at least 0 and finite.
          w_init: Initializer of A, `[numbers of an input, numbers of an output]`; None for zeros.
        """
        super().__init__(name=name)
        self.layer = checked_function("layer", layer, takes=1)
        self.w_init = w_init or snt.initializers.Zeros()
        self.strength = finite("strength", strength, least=0)

    @snt.once
    def _initialize(self, flat: tf.Tensor, outputs: tf.Tensor) -> None:
        size = flattened(outputs).shape[1]
        self.free = tf.Variable(self.w_init([flat.shape[1], size], flat.dtype), name="free")

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, ...]` to outputs of the layer's shape."""
        kept, freed = self._parts(inputs)
        return kept + freed

    def penalty(self) -> tf.Tensor:
        """Computes the penalty to add to the loss; raises a `ValueError` if the layer has not been called."""
        if not hasattr(self, "free"):
            raise ValueError("The layer must be called once before it has weights.")
        return tf.cast(self.strength * _squares(self.free), self.free.dtype)

    def free_share(self, inputs: tf.Tensor) -> tf.Tensor:
        """Computes the share of the free map in the outputs, in [0, 1], its equivariant component included.

        |A x|^2 / (|A x|^2 + |layer(x)|^2),    sums of squares over all inputs and outputs; 0 where both are
        """
        parts = self._parts(inputs)
        kept, freed = map(_squares, parts)
        return tf.cast(tf.math.divide_no_nan(freed, freed + kept), parts[1].dtype)

    def _parts(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        flat = flattened(inputs)
        if hasattr(self, "free"):
            check_width(inputs, self.free.shape[0])
        kept = self.layer(inputs)
        self._initialize(flat, kept)
        return kept, tf.reshape(tf.matmul(flat, self.free), [-1, *kept.shape[1:]])


def _squares(values: tf.Tensor) -> tf.Tensor:
    """Sums squares, those of half precision in float32."""
    values = tf.convert_to_tensor(values)
    return tf.reduce_sum(tf.square(values if values.dtype.size >= 4 else tf.cast(values, tf.float32)))
