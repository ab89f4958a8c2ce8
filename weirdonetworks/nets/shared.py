"""Layers for any symmetry. Here: the linear layer of any permutation group, its weights shared along orbits.

The others have files of their own, and are here by name: `group_convolution`, `soft_equivariant`, `local_pool`,
`frames` and `learned_augmentation`.
"""

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.algebra.groups import PermutationGroup
from weirdonetworks.nets.frames import Canonicalise, FrameAverage, SortFrame, TurnFrame
from weirdonetworks.nets.group_convolution import GroupConv2D, GroupPool, LiftingConv2D
from weirdonetworks.nets.inputs import check_type, flattened
from weirdonetworks.nets.learned_augmentation import LearnedAugmentation
from weirdonetworks.nets.local_pool import LocalPool
from weirdonetworks.nets.shared_maps import METHODS, shared_map
from weirdonetworks.nets.soft_equivariant import SoftEquivariant

__all__ = [
    "Canonicalise",
    "EquivariantLinear",
    "FrameAverage",
    "GroupConv2D",
    "GroupPool",
    "LearnedAugmentation",
    "LiftingConv2D",
    "LocalPool",
    "SoftEquivariant",
    "SortFrame",
    "TurnFrame",
]


class EquivariantLinear(snt.Module):
    """All affine maps of channels on points that commute with a group: f(s.x) = t.f(x).

        y[k] = b[k] + sum_i x[i] W[k, i],    x of shape [batch, n_in, channels_in], y [batch, n_out, channels],
        W[t(k), s(i)] = W[k, i] and b[t(k)] = b[k],    W[k, i] of shape [channels_in, channels],

    for each generator s of `group_in` and the generator t of `group_out` in the same place. So there is one matrix of
    weights for each orbit on pairs of an output and an input, whose number is the mean of fix(s) fix(t) over the group
    (Burnside), and one bias for each orbit of outputs. A group of translations makes it a circular convolution, S_n
    gives a I + b 1 1^T, and `group_out=trivial_group(1)` an invariant output. An activation applied to each number
    commutes with permutations too, so a stack of such layers obeys the same law.

    The weights are applied in one of three ways, the same map up to rounding (see `shared_maps`): `dense`, gathered to
    the whole matrix; `sum`, sums over inputs and a small product for each orbit, for groups that leave few orbits, as
    S_n does; `fourier`, for cyclic shifts along one or two axes that move every point. `auto` takes the cheapest by an
    estimate: `dense` for small or little symmetry, `fourier` from some 500 shifts of one channel or 40 of sixteen.

    Initialisation: on independent standard normal inputs the outputs have variance 1, over inputs and weights, of which
    each orbit that reaches an output has the same share.

    >>> from weirdonetworks.algebra import cyclic_group, symmetric_group
    >>> layer = EquivariantLinear(cyclic_group(3))
    >>> one, other = layer(tf.constant([[1.0, 2.0, 4.0], [4.0, 1.0, 2.0]]))
    >>> bool(tf.reduce_max(tf.abs(tf.roll(one, 1, axis=0) - other)) < 1e-5), layer.w.shape.as_list()
    (True, [3, 1, 1])
    >>> layer = EquivariantLinear(symmetric_group(100), channels=8)
    >>> layer(tf.ones([2, 100, 5])).shape.as_list(), layer.w.shape.as_list(), layer.applied
    ([2, 100, 8], [2, 5, 8], 'sum')

    Weights tied along orbits: Wood & Shawe-Taylor, Representation theory and invariant neural networks, 1996;
    Ravanbakhsh, Schneider & Poczos, Equivariance through parameter-sharing, 2017.

    Attributes:
      w: The weights, `[orbits, channels_in, channels]`, in the order of `algebra.equivariant_weight_orbits`.
      b: The biases, `[orbits of outputs, channels]`.
      applied: The way the weights are applied; like the others there from the first call on.
    """

    def __init__(
        self,
        group_in: PermutationGroup,
        group_out: PermutationGroup | None = None,
        channels: int = 1,
        with_bias: bool = True,
        method: str = "auto",
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          group_in: Acts on the points of the inputs.
          group_out: Acts on the points of the outputs, with as many generators, each going with that of `group_in`;
            `trivial_group(outputs)`, for invariant ones, goes with any. None for the action on the inputs.
          channels: The channels of each output.
          with_bias: Whether to add a bias.
          method: `dense`, `sum`, `fourier` or `auto`.
          name: The module's name.

        Raises:
          TypeError: If a group is none, or the channels are no integer.
          ValueError: If the channels are below 1, or the method is unknown.
        """
        super().__init__(name=name)
        self.group_in = _checked_group("group_in", group_in)
        self.group_out = self.group_in if group_out is None else _checked_group("group_out", group_out)
        self.channels = at_least("channels", channels, 1)
        self.with_bias = with_bias
        if method not in ("auto", *METHODS):
            raise ValueError(f"method (={method!r}) must be auto, {', '.join(METHODS[:-1])} or {METHODS[-1]}.")
        self.method = method

    @snt.once
    def _initialize(self, points: tf.Tensor) -> None:
        channels_in, dtype = points.shape[2], points.dtype
        self._map = shared_map(self.group_in, self.group_out, self.method, channels_in, self.channels)
        self.applied = self._map.method
        deviation = 1 / np.sqrt(self._map.fan_in * channels_in)
        drawn = tf.random.normal([len(deviation), channels_in, self.channels], dtype=dtype)
        self.w = tf.Variable(drawn * tf.constant(deviation, dtype)[:, None, None], name="w")
        if self.with_bias:
            self._bias_labels = self.group_out.orbits().labels
            self.b = tf.Variable(tf.zeros([self._bias_labels.max() + 1, self.channels], dtype), name="b")

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, n_in, channels_in]` to `[batch, n_out, channels]`.

        Args:
          inputs: The numbers at the points, channels last. The points may have several axes, as in images
            `[batch, height, width, channels]`; and with one channel the last may be left out.

        Raises:
          ValueError: If the inputs' shape is not known after the batch, or they are not of the group's points, or of
            other channels or another type than at the first call; or at the first call as in `shared_maps.shared_map`.
        """
        inputs = tf.convert_to_tensor(inputs)
        flat, n = flattened(inputs), self.group_in.degree
        is_bare = flat.shape[1] == n
        if not is_bare and (inputs.shape.rank < 3 or inputs.shape[1:-1].num_elements() != n):
            raise ValueError(f"inputs of shape {inputs.shape} must be [batch, {n}, channels] or [batch, {n}].")
        points = tf.reshape(flat, [-1, n, flat.shape[1] // n])
        self._initialize(points)
        check_type(points, self.w.dtype)
        if points.shape[2] != self.w.shape[1]:
            raise ValueError(
                f"inputs of shape {inputs.shape} must have {self.w.shape[1]} channels, as at the first call."
            )
        outputs = self._map(points, tf.convert_to_tensor(self.w))
        if not self.with_bias:
            return outputs
        # The gradient of what is gathered from a reshaped tensor is a tensor, and no IndexedSlices.
        return outputs + tf.gather(tf.reshape(self.b, [-1, self.channels]), self._bias_labels)


def _checked_group(name: str, group: PermutationGroup) -> PermutationGroup:
    if not isinstance(group, PermutationGroup):
        raise TypeError(f"{name} (={group!r}) must be a PermutationGroup.")
    return group
