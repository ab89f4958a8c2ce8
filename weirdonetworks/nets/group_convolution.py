"""Group-equivariant convolutions for symmetries of the square: quarter turns, reflections, or both."""

import math

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.actions import PermutationAction, pixels, regular
from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.algebra.groups.permutations import inverse
from weirdonetworks.nets import pooling as poolings
from weirdonetworks.nets.base_module import BaseModule, Initializer
from weirdonetworks.nets.inputs import WIDTH, checked_bias, checked_choice, checked_floats, checked_images

PADDED = 2**15  # The most pixels of padding: images of so many on a side have a billion.
NEAR = 8  # Pixels more or less at which an error looks for a size that works.


class _GroupConvolution(BaseModule):
    """The base class of convolutions of images and of group feature maps.

    Attributes:
      group: The symmetries of the square.
      action_out: The action on the outputs, `pixels(group) * regular(group)`.
      w: The filters, `[kernel_size, kernel_size, ..., channels, filters]`.
      b: The biases, `[filters]`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        group: PermutationGroup | PermutationAction | None = None,
        stride: int = 1,
        padding: str | int = "SAME",
        with_bias: bool = True,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          filters: The number of filters, each applied in one copy per element.
          kernel_size: The side of a filter.
          group: Symmetries of the square, as in `algebra.pixels`: `image_rotations(2, 2)` for the quarter turns (with
            translations p4), the default; `image_dihedral(2, 2)`, with reflections (p4m); or a subgroup. Or their
            action, `pixels(group)`.
          stride: The stride along both axes.
          padding: `VALID` for none; `SAME` as in TensorFlow; or the number of zero pixels to add at each side.
          with_bias: Whether to add a bias per filter.
          w_init, b_init, name: As in `BaseModule`; the default is the one that the layer states.
        """
        super().__init__(name=name)
        self.filters = at_least("filters", filters, 1, WIDTH)
        self.kernel_size = at_least("kernel_size", kernel_size, 1, WIDTH)
        self.group = _symmetries(group)
        self.action_out = pixels(self.group) * regular(self.group)
        self.stride = at_least("stride", stride, 1, WIDTH)
        if isinstance(padding, str) and padding not in ("SAME", "VALID"):
            raise ValueError(f"padding (={padding!r}) must be SAME, VALID or a number of pixels.")
        self.padding = padding if isinstance(padding, str) else at_least("padding", padding, 0, PADDED)
        self.with_bias = with_bias
        self.w_init, self.b_init = w_init, checked_bias(b_init, with_bias)

    @property
    def action_in(self) -> PermutationAction:
        """The action on the inputs, which are maps as the outputs are."""
        return self.action_out

    @snt.once
    def _initialize(self, inputs: tf.Tensor) -> None:
        positions, dtype = (self.kernel_size, self.kernel_size, *inputs.shape[3:-1]), inputs.dtype
        # The copy for g of a filter w is g.w, whose entry i is entry g^-1 i of w.
        copies = self.action_in.permutations(self.group.elements(), positions)
        self._sources = inverse(copies).T.astype(np.int32)
        shape = [*positions, inputs.shape[-1], self.filters]
        w_init = self.w_init or snt.initializers.RandomNormal(stddev=1 / math.sqrt(math.prod(shape[:-1])))
        self.w = tf.Variable(w_init(shape, dtype), name="w")
        if self.with_bias:
            self.b = tf.Variable(self.b_init([self.filters], dtype), name="b")

    def _convolve(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, height, width, ..., channels]` to `[batch, height', width', |G|, filters]`."""
        pads = [[self._pad(size, inputs.shape)] * 2 for size in inputs.shape[1:3]]
        self._initialize(inputs)
        if inputs.shape[-1] != self.w.shape[-2]:
            raise ValueError(
                f"inputs of shape {inputs.shape} must have {self.w.shape[-2]} channels, as at the first call."
            )
        images = tf.reshape(inputs, [-1, *inputs.shape[1:3], math.prod(inputs.shape[3:])])
        entries, elements = self._sources.shape
        channels = self.w.shape[-2]
        rows = tf.reshape(self.w, [entries, channels * self.filters])
        copies = tf.reshape(tf.gather(rows, self._sources), [entries, elements, channels, self.filters])
        side = self.kernel_size
        bank = tf.reshape(tf.transpose(copies, [0, 2, 1, 3]), [side, side, images.shape[3], elements * self.filters])
        padding = self.padding
        if isinstance(padding, int):  # TensorFlow does not vectorise convolutions that are given numbers.
            images, padding = tf.pad(images, [[0, 0], *pads, [0, 0]]), "VALID"
        maps = tf.nn.conv2d(images, bank, self.stride, padding)
        outputs = tf.reshape(maps, [-1, *maps.shape[1:3], elements, self.filters])
        return outputs + self.b if self.with_bias else outputs

    def _pad(self, size: int, shape: tf.TensorShape) -> int:
        """Computes the padding at each end of a side; raises a `ValueError` if that would break equivariance."""
        if self._is_even(size):
            return self._total_pad(size) // 2
        near = sorted(range(max(size - NEAR, 1), size + NEAR + 1), key=lambda each: abs(each - size))
        fitting = sorted([each for each in near if self._is_even(each)][:2])
        remedy = f"Take {'an odd' if self.padding == 'SAME' else 'a smaller'} kernel_size"
        if fitting:
            remedy = f"Crop or pad the images to a side of {' or '.join(map(str, fitting))}"
        raise ValueError(
            f"inputs of shape {shape} have a side of {size}, on which filters with kernel_size (={self.kernel_size}), "
            f"stride (={self.stride}) and padding (={self.padding!r}) do not lie evenly from edge to edge, so that the "
            f"layer would not commute with turns. {remedy}, or change kernel_size, stride or padding."
        )

    def _is_even(self, size: int) -> bool:
        total = self._total_pad(size)
        room = size + total - self.kernel_size
        return total % 2 == 0 and room >= 0 and room % self.stride == 0

    def _total_pad(self, size: int) -> int:
        if self.padding == "SAME":
            return max((math.ceil(size / self.stride) - 1) * self.stride + self.kernel_size - size, 0)
        return 0 if self.padding == "VALID" else 2 * int(self.padding)


class LiftingConv2D(_GroupConvolution):
    """A lifting convolution of images with filters and their transformed copies: a map per filter and symmetry g in G.

        y(p, g) = b + sum_q x(p + q) w(g^-1 q),    x of shape [batch, h, w, channels], y [batch, h', w', |G|, filters],

    p and q counted from the centre; the copies of a filter are its images under `pixels(G)`. It is equivariant, from
    `action_in = pixels(G)` to `action_out = pixels(G) * regular(G)`: turning or reflecting the image does the same to
    the maps and permutes them,

        f(s.x)(p, g) = f(x)(s^-1 p, s^-1 g)    for each s in G.

    The elements are in the order of `group.elements()`: quarter turns counter-clockwise are 0 to 3, and with
    reflections 4 to 7 are the same after the exchange of left and right. Images need not be square, nor G contain a
    turn.

    The law is exact where the filter positions are symmetric about the centre of the image. With a stride they often
    are not, and `SAME` then pads asymmetrically; images of such a size raise a ValueError.

    Default initialisation, for outputs of variance 1 on independent standard normal inputs where no padding is read:

        w ~ N(0, 1 / fan_in),    fan_in = kernel_size^2 channels,    b = 0.

    >>> layer = LiftingConv2D(4, kernel_size=3)
    >>> images = tf.reshape(tf.range(50.0), [2, 5, 5, 1]) / 50
    >>> maps, turned = layer(images), layer(tf.image.rot90(images))
    >>> expected = tf.stack([tf.image.rot90(maps[:, :, :, g - 1]) for g in range(4)], axis=3)
    >>> maps.shape.as_list(), bool(tf.reduce_max(tf.abs(turned - expected)) < 1e-5)
    ([2, 5, 5, 4, 4], True)

    Source: Cohen & Welling, Group equivariant convolutional networks, 2016 (p4 and p4m).
    """

    @property
    def action_in(self) -> PermutationAction:
        """The action on the inputs, which are images."""
        return pixels(self.group)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, height, width, channels]` to `[batch, height', width', |G|, filters]`.

        Raises:
          ValueError: If the layer would not be equivariant on images of this size.
        """
        return self._convolve(checked_images(images))


class GroupConv2D(_GroupConvolution):
    """A group convolution of feature maps over positions and symmetries of the square, as `LiftingConv2D` returns them.

        y(p, g) = b + sum_q sum_h x(p + q, h) w(g^-1 q, g^-1 h),    x of shape [batch, height, width, |G|, channels],

    y of shape [batch, height', width', |G|, filters]; the copies of a filter are its images under the action on maps.
    It is equivariant, with `action_in = action_out = pixels(G) * regular(G)`,

        f(s.x) = s.f(x),    (s.x)(p, g) = x(s^-1 p, s^-1 g)    for each s in G.

    Elementwise activations obey the same law, so layers can be stacked. Sizes and default initialisation are as in
    `LiftingConv2D`, with fan_in = kernel_size^2 |G| channels.

    >>> network = snt.Sequential([LiftingConv2D(4, 3), tf.nn.relu, GroupConv2D(8, 3), GroupPool(over="all")])
    >>> images = tf.random.stateless_normal([2, 9, 9, 3], seed=[0, 0])
    >>> bool(tf.reduce_max(tf.abs(network(images) - network(tf.image.rot90(images)))) < 1e-5)
    True
    """

    def __call__(self, maps: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, height, width, |G|, channels]` to `[batch, height', width', |G|, filters]`.

        Raises:
          ValueError: If the layer would not be equivariant on maps of this size.
        """
        maps = _checked_maps(maps)
        if maps.shape[3] != self.group.order:
            raise ValueError(f"inputs of shape {maps.shape} must have the {self.group.order} elements of G in axis 3.")
        return self._convolve(maps)


@snt.allow_empty_variables
class GroupPool(snt.Module):
    """A pooling of group feature maps over the elements of the group, or over elements and positions.

        y(p) = pool_g x(p, g),    x of shape [batch, height, width, |G|, channels], equivariant from
                                  pixels(G) * regular(G) to pixels(G): f(s.x)(p) = f(x)(s^-1 p);
        or y = pool_{p, g} x(p, g),    invariant under pixels(G) * regular(G): f(s.x) = f(x).

    >>> maps = tf.ones([2, 5, 5, 4, 3])
    >>> GroupPool("max")(maps).shape.as_list(), GroupPool("max", over="all")(maps).shape.as_list()
    ([2, 5, 5, 3], [2, 3])
    """

    def __init__(self, pooling: str | poolings.Pooling = "mean", over: str = "elements", name: str | None = None):
        """Constructs the layer.

        Args:
          pooling: A symmetric function, or its name; see `nets.pooling`.
          over: `elements`; or `all`, for elements and positions.
        """
        super().__init__(name=name)
        self.over = checked_choice("over", over, ("elements", "all"))
        self._pooling = poolings.named(pooling)

    def __call__(self, maps: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, height, width, |G|, channels]` to `[batch, height, width, ...]`, or to `[batch, ...]`."""
        values = maps = _checked_maps(maps)
        if self.over == "all":
            values = tf.reshape(values, [-1, math.prod(maps.shape[1:4]), maps.shape[4]])
        return self._pooling(values)


def _symmetries(given: PermutationGroup | PermutationAction | None) -> PermutationGroup:
    action = given if isinstance(given, PermutationAction) else pixels(given)
    if action.sizes != (None, None):
        raise ValueError(f"group (={given!r}) must act on the pixels of images of any size. Use pixels(group).")
    return action.abstract_group  # type: ignore[return-value]  # `pixels` refuses any other.


def _checked_maps(maps: tf.Tensor) -> tf.Tensor:
    maps = checked_floats(maps)
    if maps.shape.rank != 5 or not maps.shape[1:].is_fully_defined() or 0 in maps.shape[1:]:
        raise ValueError(
            f"inputs of shape {maps.shape} must be [batch, height, width, elements, channels], all sizes known and "
            "above 0, as LiftingConv2D gives them."
        )
    return maps
