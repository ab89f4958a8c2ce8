"""The equivariant linear layer between any two permutation actions, its weights shared along orbits."""

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.actions import PermutationAction
from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.algebra.weights.weight_orbits import paired_permutations
from weirdonetworks.nets.base_module import BaseModule, Initializer, drawn_weights
from weirdonetworks.nets.inputs import WIDTH, checked_bias, checked_choice, flattened
from weirdonetworks.nets.shared_maps import METHODS, shared_map


class EquivariantLinear(BaseModule):
    """The general equivariant affine layer between two permutation actions of a group: f(g.x) = g.f(x).

        y[k] = b[k] + sum_i x[i] W[k, i],    x of shape [batch, n_in, channels_in], y [batch, n_out, channels],
        W[t(k), s(i)] = W[k, i] and b[t(k)] = b[k],    W[k, i] of shape [channels_in, channels],

    where an element g permutes the input positions by s (`action_in`) and the output positions by t (`action_out`). So
    there is one weight matrix per orbit on pairs of an output and an input, whose number is the mean of fix(s) fix(t)
    over the group (Burnside), and one bias per orbit of outputs. A group of translations makes it a circular
    convolution, S_n gives a I + b 1 1^T, and `action_out=trivial(1)` an invariant output. Elementwise activations are
    equivariant too, so a stack of such layers obeys the same law.

    A layer depends on the orbits of pairs alone, and larger groups can have the same ones. Then it obeys their law too:
    on its corners the rotations of a cube have those of all its symmetries, so a stack of layers between corners does
    not tell mirror images apart. Layers to and between `regular(group)` do.

    Three methods compute the same map up to rounding: `dense` gathers the whole matrix; `sum` takes
    sums over inputs and a small product per orbit, for groups with few orbits such as S_n; `fourier` is for free cyclic
    shifts along one or two axes. `auto` selects the cheapest by an estimate: `dense` for few positions or small groups,
    `fourier` from some 500 shifts of one channel or 40 of sixteen.

    Default initialisation, for outputs of variance 1 on independent standard normal inputs, with equal shares of the
    orbits that contribute to an output:

        w[r] ~ N(0, 1 / (fan_in[r] channels_in)),    fan_in[r] = (orbits that reach an output) (its inputs in orbit r),
        b = 0.

    float16 and bfloat16 inputs give outputs of their type; sums and Fourier transforms are computed in float32.

    >>> from weirdonetworks.algebra import cyclic_group, symmetric_group
    >>> layer = EquivariantLinear(cyclic_group(3))
    >>> one, other = layer(tf.constant([[1.0, 2.0, 4.0], [4.0, 1.0, 2.0]]))
    >>> bool(tf.reduce_max(tf.abs(tf.roll(one, 1, axis=0) - other)) < 1e-5), layer.w.shape.as_list()
    (True, [3, 1, 1])
    >>> layer = EquivariantLinear(symmetric_group(100), channels=8)
    >>> layer(tf.ones([2, 100, 5])).shape.as_list(), layer.w.shape.as_list(), layer.applied
    ([2, 100, 8], [2, 5, 8], 'sum')
    >>> from weirdonetworks.algebra import alternating_group
    >>> from weirdonetworks.testing import assert_equivariant
    >>> inputs = tf.random.stateless_normal([2, 4], seed=[0, 0])
    >>> assert_equivariant(EquivariantLinear(alternating_group(4)), inputs, symmetric_group(4))  # The same orbits.
    >>> from weirdonetworks.algebra import image_dihedral, pixels, regular
    >>> square = image_dihedral(2, 2)
    >>> layer = EquivariantLinear(pixels(square) * regular(square), channels=3)
    >>> layer(tf.ones([2, 5, 5, 8, 2])).shape.as_list()
    [2, 5, 5, 8, 3]

    Weights tied along orbits: Wood & Shawe-Taylor, Representation theory and invariant neural networks, 1996;
    Ravanbakhsh, Schneider & Poczos, Equivariance through parameter-sharing, 2017.

    Attributes:
      w: The weights, `[orbits, channels_in, channels]`, in the order of `algebra.equivariant_weight_orbits`.
      b: The biases, `[orbits of outputs, channels]`.
      applied: The method in use. All three attributes exist after the first call.
    """

    def __init__(
        self,
        action_in: PermutationAction | PermutationGroup,
        action_out: PermutationAction | PermutationGroup | None = None,
        channels: int = 1,
        with_bias: bool = True,
        method: str = "auto",
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          action_in: The permutation action on the inputs: `items(group)`, `pixels(group)`, `regular(group)`, their sums
            and products, or `points(group)`, for which a bare group may be passed.
          action_out: The permutation action on the outputs, of a known number of positions: of the same group, or of
            one whose generators are the images of those of the first under a homomorphism; or `trivial(outputs)`, for
            invariant outputs. None for `action_in`.
          channels: The channels of each output.
          with_bias: Whether to add a bias.
          method: `dense`, `sum`, `fourier` or `auto`.
          w_init, b_init, name: As in `BaseModule`; the default is the one above.

        Raises:
          TypeError: If an action does not permute positions.
          ValueError: If the actions cannot be paired.
        """
        super().__init__(name=name)
        is_same = action_out is None
        self.action_in, self.action_out = paired_permutations(action_in, action_in if is_same else action_out)
        self._given_sizes_out = None if is_same else self.action_out.known_sizes()
        self.channels = at_least("channels", channels, 1, WIDTH)
        self.with_bias = with_bias
        self.method = checked_choice("method", method, ("auto", *METHODS))
        self.w_init, self.b_init = w_init, checked_bias(b_init, with_bias)

    @snt.once
    def _initialize(self, values: tf.Tensor, sizes_in: tuple[int, ...]) -> None:
        channels_in, dtype = values.shape[2], values.dtype
        self._sizes_in = sizes_in
        self._sizes_out = self._given_sizes_out or sizes_in
        group_in = self.action_in.position_group(sizes_in)
        group_out = self.action_out.position_group(self._sizes_out)
        self._map = shared_map(group_in, group_out, self.method, channels_in, self.channels)
        self.applied = self._map.method
        shape = [len(self._map.fan_in), channels_in, self.channels]
        deviations = 1 / np.sqrt(self._map.fan_in * channels_in)[:, None, None]
        self.w = tf.Variable(drawn_weights(self.w_init, shape, deviations, dtype), name="w")
        if self.with_bias:
            self._bias_labels = group_out.orbits().labels
            self.b = tf.Variable(self.b_init([self._bias_labels.max() + 1, self.channels], dtype), name="b")

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, n_in, channels_in]` to `[batch, n_out, channels]`.

        The axes of positions are preserved: under `pixels(group)` `[batch, height, width, channels_in]` is mapped to
        `[batch, height, width, channels]`.

        Args:
          inputs: The values at the positions, channels last; the channel axis may be omitted for one channel. Under
            `points(group)` the points may have any axes, which are flattened.

        Raises:
          ValueError: If the action does not act on the inputs' shape; or at the first call as in
            `shared_maps.shared_map`.
        """
        values, sizes_in = self._positions(inputs)
        self._initialize(values, sizes_in)
        if sizes_in != self._sizes_in or values.shape[2] != self.w.shape[1]:
            raise ValueError(
                f"inputs of shape {inputs.shape} must have {list(self._sizes_in)} positions and {self.w.shape[1]} "
                "channels, as at the first call."
            )
        # Long sums overflow or stagnate in half precision, which Fourier transforms do not support.
        dtype = inputs.dtype if self.applied == "dense" or inputs.dtype.size >= 4 else tf.float32
        outputs = tf.cast(self._map(tf.cast(values, dtype), tf.cast(self.w, dtype)), inputs.dtype)
        if self.with_bias:
            # The gradient of a gather from a reshaped tensor is dense, not IndexedSlices.
            outputs += tf.gather(tf.reshape(self.b, [-1, self.channels]), self._bias_labels)
        if len(self._sizes_out) == 1:
            return outputs
        return tf.reshape(outputs, [-1, *self._sizes_out, self.channels])

    def _positions(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tuple[int, ...]]:
        """Reshapes inputs to `[batch, positions, channels]`; returns also the sizes of the axes of positions."""
        flat = flattened(inputs)
        if not self.action_in.spans_example:
            place = self.action_in.on(inputs.shape[1:])
            sizes = tuple(inputs.shape[1 : 1 + len(self.action_in.sizes)])
            return tf.reshape(flat, [-1, place.positions, place.channels]), sizes
        n = self.action_in.size
        if flat.shape[1] != n and (inputs.shape.rank < 3 or inputs.shape[1:-1].num_elements() != n):
            raise ValueError(f"inputs of shape {inputs.shape} must be [batch, {n}, channels] or [batch, {n}].")
        return tf.reshape(flat, [-1, n, flat.shape[1] // n]), (n,)
