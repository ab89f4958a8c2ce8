"""The synchronous multilayer perceptron: dense layers shared over an orbit, pooling, and a dense head."""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from weirdonetworks.algebra.actions import ActionLike
from weirdonetworks.nets import pooling as poolings
from weirdonetworks.nets.averaged import Averaged
from weirdonetworks.nets.base_module import Activation, Initializer, linear_layers, perceptron
from weirdonetworks.nets.inputs import checked_choice, checked_sizes, flattened
from weirdonetworks.nets.orbits import Orbit

POSITIONS = ("inside", "first")


class SynchronousMLP(Averaged):
    """A multilayer perceptron with dense layers shared by all images g x of its input, orbit pooling and a dense head.

        f(x) = head(pool_g shared(g x))             position inside,
        f(x) = head(shared(pool_g g x))             position first,
        f(x)[g] = head(shared(g x))                 output equivariant; all with x of shape [batch, n],

    so `f(h x) = f(x)`, and for the last `f(h x)[g] = f(x)[g h]`, exactly for a whole group; see `Orbit` for samples and
    transformations. With position first, f depends only on symmetric functions of the values that the orbit takes at
    each coordinate: cheaper, and less expressive.

    The first layer transforms the inputs or its weights, `W (g x) = (W g) x`, whichever costs less.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> network = SynchronousMLP(cyclic_group(3), shared_sizes=[8], head_sizes=[8, 2])
    >>> one, other = network(tf.constant([[1.0, 2.0, 4.0], [4.0, 1.0, 2.0]]))
    >>> bool(tf.reduce_max(tf.abs(one - other)) < 1e-6)
    True

    Attributes:
      orbit: The orbit that the shared layers and the pooling run over.
      layers: All dense layers, the shared ones first.
    """

    def __init__(
        self,
        action: ActionLike,
        shared_sizes: Iterable[int],
        head_sizes: Iterable[int],
        pooling: str | poolings.Pooling = "mean",
        position: str = "inside",
        output: str = "invariant",
        activation: Activation = tf.nn.relu,
        with_bias: bool = True,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
        **orbit_options: Any,
    ):
        """Constructs the network.

        Args:
          action: The action on the inputs; see `Orbit`.
          shared_sizes: The width of each shared layer, at least one.
          head_sizes: The width of each dense layer after the shared ones, at least one.
          pooling: As in `Averaged`.
          position: `inside`, pooled after the shared layers; or `first`, before them, for an invariant output only.
          output: As in `Averaged`.
          activation: Applied after each layer but the last.
          with_bias: Whether the layers add a bias.
          w_init, b_init, name: As in `BaseModule`.
          **orbit_options: `limit`, `samples`, `resample` and `seed` of `Orbit`.
        """
        super().__init__(flattened, Orbit(action, **orbit_options), pooling, output, name=name)
        checked_choice("position", position, POSITIONS)
        if output == "equivariant" and position == "first":
            raise ValueError("position (='first') must be inside for an equivariant output, which is not pooled.")
        self._activation = activation
        shared, head = checked_sizes("shared_sizes", shared_sizes), checked_sizes("head_sizes", head_sizes)
        self.layers = linear_layers([*shared, *head], with_bias, w_init, b_init)
        # The number of layers before the pooling.
        self._num_shared = 0 if position == "first" else len(shared if self._is_pooled else self.layers)

    @property
    def orbit(self) -> Orbit:
        """The orbit that the shared layers and the pooling run over."""
        assert isinstance(self.elements, Orbit)
        return self.elements

    def __call__(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps `[batch, ...]`, flattened, to `[batch, head_sizes[-1]]`, or to `[batch, elements, head_sizes[-1]]`.

        Args:
          inputs: The inputs.
          is_training, seed: As in `Averaged`, needed only if the orbit is resampled.
        """
        values = super().__call__(inputs, is_training, seed)
        return perceptron(self.layers[self._num_shared :], self._activation, values)

    def _values(self, inputs: tf.Tensor, is_training: bool | None, seed: tf.Tensor | None) -> tf.Tensor:
        """Applies the shared layers to each image, `[batch, elements, outputs]`; an activation last where pooled."""
        if not self._num_shared:
            return super()._values(inputs, is_training, seed)
        first, *rest = self.layers[: self._num_shared]
        if not hasattr(first, "w"):
            flat = flattened(inputs)
            self.orbit.check(inputs.shape)  # Before it fixes the width of the layer.
            first(flat)  # Creates its variables; the outputs are discarded.
        hidden = self.orbit.linear(inputs, first.w, self.orbit.call_seed(is_training, seed))
        if first.with_bias:
            hidden += first.b
        hidden = tf.reshape(hidden, [-1, first.output_size])
        for layer in rest:
            hidden = layer(self._activation(hidden))
        values = tf.reshape(hidden, [-1, len(self.orbit), hidden.shape[-1]])
        return self._activation(values) if self._is_pooled else values
