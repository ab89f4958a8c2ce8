"""The variational information bottleneck: a layer with random codes and a measured information rate."""

import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.nets.base_module import BaseModule, Initializer
from weirdonetworks.nets.inputs import WIDTH, checked_seed, flattened


class VariationalBottleneck(BaseModule):
    """A dense layer that outputs a normal distribution of codes, from which training samples.

        z = m + exp(v / 2) e,    (m, v) = x W + b,    e standard normal, x of shape [batch, n], z [batch, output_size]

    Its rate, the Kullback-Leibler divergence of that distribution from the standard normal one,

        R(x) = 1/2 sum_k (m_k^2 + exp(v_k) - v_k - 1)    nats,

    is, averaged over x, an upper bound of the mutual information of z and x. So a network trained on its loss plus
    beta R compresses more for larger beta: Alemi, Fischer, Dillon & Murphy, Deep variational information bottleneck,
    2017. Outside training the codes are the means m.

    >>> layer = VariationalBottleneck(2)
    >>> x = tf.constant([[1.0, 2.0, 3.0]])
    >>> layer(x, is_training=True, seed=(1, 2)).shape.as_list(), layer.rate(x).shape.as_list()
    ([1, 2], [1])
    >>> bool(tf.reduce_all(layer(x, is_training=False) == layer.moments(x)[0]))
    True
    """

    def __init__(
        self,
        output_size: int,
        with_noise: bool = True,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          output_size: The dimension of the code.
          with_noise: Whether to sample codes in training; if not, as a control, they are the means there too.
          w_init, b_init, name: As in `BaseModule`.
        """
        super().__init__(name=name)
        self.output_size = at_least("output_size", output_size, 1, WIDTH)
        self.with_noise = with_noise
        self.linear = snt.Linear(2 * self.output_size, True, w_init, b_init, name="linear")

    def moments(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps `[batch, ...]` to means and log-variances of the codes, each `[batch, output_size]`."""
        means, log_variances = tf.split(self.linear(flattened(inputs)), 2, axis=1)
        return means, log_variances

    def rate(self, inputs: tf.Tensor) -> tf.Tensor:
        """Computes the rate of each input in nats, `[batch]`, from inputs `[batch, ...]`."""
        means, log_variances = self.moments(inputs)
        # expm1 avoids cancellation where the distribution is close to standard normal.
        return 0.5 * tf.reduce_sum(tf.square(means) + (tf.math.expm1(log_variances) - log_variances), axis=1)

    def __call__(
        self, inputs: tf.Tensor, is_training: bool, seed: tf.Tensor | tuple[int, int] | None = None
    ) -> tf.Tensor:
        """Maps `[batch, ...]`, flattened, to codes `[batch, output_size]`.

        Args:
          inputs: The inputs.
          is_training: Whether to sample codes.
          seed: int32 `[2]`, new at each step; may be None where nothing is sampled.
        """
        means, log_variances = self.moments(inputs)
        if not (is_training and self.with_noise):
            return means
        noise = tf.random.stateless_normal(
            tf.shape(means), checked_seed(seed, "noise"), dtype=means.dtype, alg="philox"
        )
        return means + tf.exp(0.5 * log_variances) * noise
