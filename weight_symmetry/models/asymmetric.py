"""A dense layer without symmetries of its units: some of its weights are constants."""

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least, finite
from weirdonetworks.nets.base_module import BaseModule, Initializer
from weirdonetworks.nets.inputs import WIDTH, check_width, flattened


class AsymmetricLinear(BaseModule):
    """A dense layer some of whose weights are fixed, those of each output at places and with values of its own.

        y = x W + b,    W[i, j] = w[i, j] where it is trained, c[i, j] where it is fixed

    No two outputs can change places, since their constants, which differ, would have to: a network of such layers has
    no permutation symmetry. Two trainings are aligned from the start, and the line between them should have a lower
    barrier.

    >>> layer = AsymmetricLinear(3, fixed_share=0.5)
    >>> layer(tf.ones([2, 4])).shape.as_list(), layer.fixed.sum(axis=0).tolist()
    ([2, 3], [2, 2, 2])
    >>> from weirdonetworks.measure.unit_graph import UnitGraph
    >>> [len(UnitGraph.trace(snt.Sequential([make(3), tf.nn.relu, snt.Linear(2)]), tf.ones([1, 4])).free)
    ...  for make in (snt.Linear, AsymmetricLinear)]
    [1, 0]

    Source: Lim, Putterman, Walters, Maron & Jegelka, The empirical impact of neural parameter symmetries, or lack
    thereof, 2024 (W-asymmetric networks).

    Attributes:
      fixed: Where weights are fixed, boolean `[inputs, outputs]`.
      constants: Their values, of the same shape, 0 elsewhere.
      w: The trained weights, `[inputs, outputs]`; those at fixed places have no effect.
      b: The bias.
    """

    def __init__(
        self,
        output_size: int,
        fixed_share: float = 0.1,
        deviation: float = 1.0,
        seed: int = 0,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          output_size: The number of outputs.
          fixed_share: The share of the inputs of each output whose weights are fixed, in (0, 1]; at least one is.
          deviation: The standard deviation of the constants, of mean 0; above 0, since zeros are a mask, under which
            outputs whose weights are fixed at the same places could change places.
          seed: Seed of places and constants: networks with equal seeds have equal ones.
          w_init, b_init, name: As in `BaseModule`.
        """
        super().__init__(name=name)
        self.output_size = at_least("output_size", output_size, 1, WIDTH)
        self.fixed_share = finite("fixed_share", fixed_share)
        if not 0 < self.fixed_share <= 1:
            raise ValueError(f"fixed_share (={fixed_share}) must be in (0, 1].")
        self.deviation = finite("deviation", deviation)
        if self.deviation <= 0:
            raise ValueError(
                f"deviation (={deviation}) must be above 0. For zeros, Masks.create(model, 'asymmetric', sparsity) "
                "makes masks that no two outputs share."
            )
        self.seed = at_least("seed", seed, 0)
        self.w_init = w_init
        self.b_init = b_init or snt.initializers.Zeros()
        self.fixed: npt.NDArray[np.bool_] = np.zeros((0, self.output_size), bool)
        self.constants: npt.NDArray[np.float64] = np.zeros((0, self.output_size))

    @snt.once
    def _initialize(self, flat: tf.Tensor) -> None:
        shape = (flat.shape[1], self.output_size)
        rng = np.random.default_rng([self.seed, *shape])
        count = max(1, round(self.fixed_share * shape[0]))
        self.fixed = np.argsort(rng.random(shape), axis=0) < count
        self.constants = np.where(self.fixed, self.deviation * rng.standard_normal(shape), 0.0)
        w_init = self.w_init or snt.initializers.TruncatedNormal(stddev=1 / np.sqrt(shape[0]))
        self.w = tf.Variable(w_init(shape, flat.dtype), name="w")
        self.b = tf.Variable(self.b_init([self.output_size], flat.dtype), name="b")

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps inputs `[batch, ...]`, flattened, to `[batch, output_size]`."""
        flat = flattened(inputs)
        if len(self.fixed):
            check_width(inputs, len(self.fixed))
        self._initialize(flat)
        weights = tf.where(self.fixed, tf.constant(self.constants, flat.dtype), self.w)
        return tf.matmul(flat, weights) + self.b
