"""A multilayer perceptron with quantised hidden units, trained by soft rounding or straight-through gradients."""

from collections.abc import Iterable

import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.nets.base_module import BaseModule, Initializer, linear_layers
from weirdonetworks.nets.inputs import checked_choice, checked_sizes, flattened
from weirdonetworks.nets.small.soft_floor import softfloor

ROUNDINGS = ("softfloor", "straight_through", "none")


class QuantisedMLP(BaseModule):
    """A multilayer perceptron whose hidden units are quantised to `levels` evenly spaced values from 0 to 1.

        h = floor((levels - 1) s(W x + b) + 1/2) / (levels - 1),    s the logistic sigmoid

    The floor has gradient 0. With `softfloor` it is replaced in training by the soft floor, whose factor is the
    untrained variable `factor`, initially 1. At a large factor h is s(W x + b), so lowering the factor step by step
    anneals from the network without rounding to the one with. Outside training the floor is exact.

    With `straight_through` the floor is exact in training too, and its gradient is taken to be 1 (Bengio, Leonard &
    Courville, Estimating or propagating gradients through stochastic neurons, 2013). With `none` there is no rounding.

    >>> network = QuantisedMLP([8, 3], levels=4)
    >>> network(tf.ones([2, 5]), is_training=False).shape.as_list()
    [2, 3]
    >>> hidden = network.hidden(tf.random.normal([50, 5]), is_training=False)[0]
    >>> set((3 * hidden).numpy().round(5).ravel().tolist()) <= {0.0, 1.0, 2.0, 3.0}
    True
    """

    def __init__(
        self,
        output_sizes: Iterable[int],
        levels: int = 2,
        rounding: str = "softfloor",
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the network.

        Args:
          output_sizes: The width of each layer, at least one; the last is not rounded.
          levels: The number of quantisation levels of a hidden unit, at least 2.
          rounding: `softfloor`, `straight_through` or `none`.
          w_init, b_init, name: As in `BaseModule`.
        """
        super().__init__(name=name)
        sizes = checked_sizes("output_sizes", output_sizes)
        self.levels = at_least("levels", levels, 2)
        self.rounding = checked_choice("rounding", rounding, ROUNDINGS)
        self.layers = linear_layers(sizes, True, w_init, b_init)

    @snt.once
    def _initialize(self, inputs: tf.Tensor) -> None:
        self.factor = tf.Variable(tf.ones([], inputs.dtype), trainable=False, name="factor")

    def hidden(self, inputs: tf.Tensor, is_training: bool) -> list[tf.Tensor]:
        """Maps `[batch, ...]`, flattened, to the hidden units of each layer, `[batch, output_sizes[i]]`."""
        found, below = [], flattened(inputs)
        self._initialize(below)
        for layer in self.layers[:-1]:
            below = self._rounded(tf.sigmoid(layer(below)), is_training)
            found.append(below)
        return found

    def __call__(self, inputs: tf.Tensor, is_training: bool) -> tf.Tensor:
        """Maps `[batch, ...]`, flattened, to `[batch, output_sizes[-1]]`."""
        return self.layers[-1]([flattened(inputs), *self.hidden(inputs, is_training)][-1])

    def _rounded(self, values: tf.Tensor, is_training: bool) -> tf.Tensor:
        if self.rounding == "none":
            return values
        steps = (self.levels - 1) * values + 0.5
        if self.rounding == "softfloor" and is_training:
            return softfloor(steps, self.factor) / (self.levels - 1)
        rounded = tf.floor(steps) / (self.levels - 1)
        return values + tf.stop_gradient(rounded - values)
