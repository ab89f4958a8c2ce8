"""Activation functions as modules: the scaled tanh, the grouped softmax and the convolution along units."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import Ints, at_least
from weirdonetworks.nets.base_module import BaseModule, Initializer
from weirdonetworks.nets.gradients import custom_gradient
from weirdonetworks.nets.inputs import WIDTH, checked_tensor, checked_units

Seed: TypeAlias = int | Sequence[int] | None


@snt.allow_empty_variables
class ScaledTanh(snt.Module):
    """The scaled hyperbolic tangent, 1.7159 tanh(2 x / 3), elementwise.

    It maps 1 to 1 and -1 to -1, and its second derivative is largest near there, so that targets of +-1 avoid
    saturation. LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to
    document recognition, 1998, appendix A.

    >>> round(float(ScaledTanh()(tf.constant(1.0))), 4)
    1.0
    """

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps a tensor of any shape, elementwise."""
        return 1.7159 * tf.tanh(checked_tensor(inputs) * (2 / 3))


@snt.allow_empty_variables
class GroupedSoftmax(snt.Module):
    """The softmax within each group of units.

        y[i] = exp(x[i]) / sum_{j in the group of i} exp(x[j]),    x and y of shape [batch, units]

    It is equivariant under permutations of the units that map groups to groups.

    >>> GroupedSoftmax(2)(tf.constant([[5.0, 5.0, 0.0, 100.0]])).numpy().tolist()
    [[0.5, 0.5, 0.0, 1.0]]
    """

    def __init__(self, group_size: int, seed: Seed = None, name: str | None = None):
        """Constructs the activation.

        Args:
          group_size: The number of units per group, a divisor of the number of units.
          seed: Seed of random groups, the same at each call; None for groups of neighbours.
        """
        super().__init__(name=name)
        self.group_size = at_least("group_size", group_size, 1, WIDTH)
        self.seed = _checked_seed(seed)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, units]` to the same shape."""
        inputs = checked_units(inputs)
        units = inputs.shape[1]
        if units % self.group_size:
            raise ValueError(f"inputs of shape {inputs.shape} must have units divisible by {self.group_size}.")
        order = unit_order(units, self.seed)
        groups = tf.reshape(_permuted(inputs, order), [-1, units // self.group_size, self.group_size])
        return _permuted(tf.reshape(tf.nn.softmax(groups), [-1, units]), np.argsort(order))


class UnitConvolution(BaseModule):
    """A one-dimensional circular convolution along the units in a fixed order p.

        y[p(i)] = sum_{j < width} w[j] x[p(i + j)],    i + j modulo the units, x and y of shape [batch, units]

    It is equivariant under cyclic shifts along the order, linear, and has `width` weights; at initialisation its
    outputs have variance 1 (over inputs and weights) on independent standard inputs.

    >>> layer = UnitConvolution(2)
    >>> _ = layer(tf.zeros([1, 3]))
    >>> _ = layer.w.assign([1.0, 10.0])
    >>> layer(tf.constant([[1.0, 2.0, 3.0]])).numpy().tolist()
    [[21.0, 32.0, 13.0]]
    """

    def __init__(self, width: int, seed: Seed = None, w_init: Initializer = None, name: str | None = None):
        """Constructs the activation.

        Args:
          width: The number of units in the window, at most all.
          seed: Seed of a random order of the units, the same at each call; None for their own order.
          w_init: Draws the weights, `[width]`; None for N(0, 1 / width).
        """
        super().__init__(name=name)
        self.width = at_least("width", width, 1, WIDTH)
        self.seed = _checked_seed(seed)
        self.w_init = w_init or snt.initializers.RandomNormal(stddev=self.width**-0.5)

    @snt.once
    def _initialize(self, inputs: tf.Tensor) -> None:
        self.w = tf.Variable(self.w_init([self.width], inputs.dtype), name="w")

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, units]` to the same shape."""
        inputs = checked_units(inputs)
        units = inputs.shape[1]
        if units < self.width:
            raise ValueError(f"inputs of shape {inputs.shape} must have at least {self.width} units, the width.")
        self._initialize(inputs)
        order = unit_order(units, self.seed)
        ring = _permuted(inputs, order)
        ring = tf.concat([ring, ring[:, : self.width - 1]], axis=1)
        # Slices, since a convolution with one channel is slow on CPUs, and its gradient slower.
        outputs = tf.add_n([self.w[j] * ring[:, j : j + units] for j in range(self.width)])
        return _permuted(outputs, np.argsort(order))


def _checked_seed(seed: Seed) -> Seed:
    """Returns the seed of a generator of NumPy: None, an integer at least 0, or several."""
    if seed is None or not np.iterable(seed) or isinstance(seed, str | bytes):
        return None if seed is None else at_least("seed", seed, 0)
    return [at_least("seed", each, 0) for each in seed]


def unit_order(units: int, seed: Seed) -> Ints:
    """Draws a random order of the units, or returns their own without a seed.

    >>> unit_order(4, None).tolist()
    [0, 1, 2, 3]
    """
    return np.arange(units) if seed is None else np.random.default_rng(seed).permutation(units)


def _permuted(values: tf.Tensor, order: Ints) -> tf.Tensor:
    """Gathers the columns `order`, with a gather as gradient in place of TensorFlow's slow scatter."""

    @custom_gradient
    def gathered(columns: tf.Tensor) -> tuple[tf.Tensor, Any]:
        return tf.gather(columns, order, axis=1), lambda upstream: _permuted(upstream, np.argsort(order))

    return gathered(values)
