"""Masked layers: a masked weight is exactly zero and receives no gradient."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks.nets.base_module import BaseModule
from weirdonetworks.nets.inputs import checked_bias

Initializer: TypeAlias = snt.initializers.Initializer


@tf.custom_gradient
def _cut_gradient(weight: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, object]:
    """Returns the weight; its gradient is multiplied by the mask."""
    return tf.identity(weight), lambda upstream: (upstream * mask, None)


class _Masked(BaseModule):
    """A layer with a weight, its mask, and a bias.

    The weight is stored masked (code that sets it multiplies once) and the gradient is masked, which costs one product
    per step; multiplying by the mask at each use would cost three.
    """

    def __init__(
        self,
        output_size: int,
        with_bias: bool,
        w_init: Initializer | None,
        b_init: Initializer | None,
        name: str | None,
    ):
        super().__init__(name=name)
        if output_size < 1:
            raise ValueError(f"output size (={output_size}) must be at least 1.")
        self.output_size = output_size
        self.with_bias = with_bias
        self.w_init = w_init or snt.initializers.VarianceScaling(2.0, "fan_in", "truncated_normal")
        self.b_init = checked_bias(b_init, with_bias)

    def _create(self, shape: tuple[int, ...], dtype: tf.DType) -> None:
        """Creates the variables."""
        self.w = tf.Variable(self.w_init(shape, dtype), name="w")
        self.mask = tf.Variable(tf.ones(shape, dtype), trainable=False, name="mask")
        if self.with_bias:
            self.b = tf.Variable(self.b_init([self.output_size], dtype), name="b")

    @property
    def _weight(self) -> tf.Tensor:
        # As tensors: a custom gradient accepts no variables, which they are under a distribution strategy.
        return _cut_gradient(tf.convert_to_tensor(self.w), tf.convert_to_tensor(self.mask))

    def set_mask(self, mask: npt.ArrayLike) -> None:
        """Sets the mask, and zeroes the masked weights.

        An optimizer with momentum still moves a weight masked in mid-training: zero its slots there as well.

        Args:
          mask: Zeros and ones of the weight's shape.

        Raises:
          ValueError: If the shape differs or a value is neither 0 nor 1, or the layer was never called.
        """
        if not hasattr(self, "w"):
            raise ValueError(f"{self.name} has no weight yet: call it once on inputs before setting its mask.")
        values = np.asarray(mask)
        if values.shape != tuple(self.mask.shape):
            raise ValueError(f"mask of shape {values.shape} must have the weight's shape {tuple(self.mask.shape)}.")
        if not np.isin(values, (0, 1)).all():
            raise ValueError("mask must hold zeros and ones only.")
        self.mask.assign(values.astype(self.mask.dtype.as_numpy_dtype))
        self.w.assign(self.w * self.mask)

    def set_weight(self, weight: npt.ArrayLike) -> None:
        """Sets the weight, multiplied by the mask."""
        self.w.assign(tf.convert_to_tensor(weight, self.w.dtype) * self.mask)


class MaskedLinear(_Masked):
    """A linear layer `y = x w + b` whose masked weights are exactly zero and receive no gradient.

    `set_mask` and `set_weight` keep the weight masked; code that assigns `w` directly must multiply by the mask.

    >>> layer = MaskedLinear(2, name="output")
    >>> _ = layer(tf.ones([1, 3]))
    >>> layer.set_mask([[1, 0], [0, 0], [1, 0]])
    >>> layer(tf.ones([1, 3]))[0, 1].numpy().item()
    0.0
    """

    def __init__(
        self,
        output_size: int,
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          output_size: The number of neurons.
          with_bias: Whether to add a bias, which is never masked.
          w_init: Initializer of the weight; None for w ~ N(0, 2 / inputs), truncated at two deviations.
          b_init: Initializer of the bias; None for zeros.
          name: The module's name.

        Raises:
          ValueError: If a size is below 1, or `b_init` is given without a bias.
        """
        super().__init__(output_size, with_bias, w_init, b_init, name)

    @snt.once
    def _initialize(self, inputs: tf.Tensor) -> None:
        if inputs.shape.rank != 2 or inputs.shape[1] is None:
            raise ValueError(f"inputs of shape {inputs.shape} must be [batch, features], the features known.")
        self._create((inputs.shape[1], self.output_size), inputs.dtype)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, inputs]` to `[batch, output_size]`."""
        self._initialize(inputs)
        outputs = tf.matmul(inputs, self._weight)
        return outputs + self.b if self.with_bias else outputs


class MaskedConv2D(_Masked):
    """A convolution `y = conv(x, w) + b`, stride 1, whose masked weights are exactly zero and receive no gradient.

    `set_mask` and `set_weight` keep the weight masked; code that assigns `w` directly must multiply by the mask.

    >>> layer = MaskedConv2D(4, kernel_size=3)
    >>> layer(tf.ones([1, 8, 8, 1])).shape.as_list()
    [1, 8, 8, 4]
    """

    def __init__(
        self,
        output_channels: int,
        kernel_size: int,
        padding: str = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          output_channels: The number of filters.
          kernel_size: The height and width of a filter.
          padding: `SAME` or `VALID`.
          with_bias: Whether to add a bias, which is never masked.
          w_init: Initializer of the weight; None for w ~ N(0, 2 / (kernel_size^2 channels)), truncated at two
            deviations.
          b_init: Initializer of the bias; None for zeros.
          name: The module's name.

        Raises:
          ValueError: If a size is below 1, the padding is unknown, or `b_init` is given without a bias.
        """
        super().__init__(output_channels, with_bias, w_init, b_init, name)
        if padding not in ("SAME", "VALID"):
            raise ValueError(f"padding (={padding}) must be SAME or VALID.")
        if kernel_size < 1:
            raise ValueError(f"kernel_size (={kernel_size}) must be at least 1.")
        self.kernel_size = kernel_size
        self.padding = padding

    @snt.once
    def _initialize(self, inputs: tf.Tensor) -> None:
        if inputs.shape.rank != 4 or inputs.shape[3] is None:
            raise ValueError(f"inputs of shape {inputs.shape} must be [batch, height, width, channels].")
        self._create((self.kernel_size, self.kernel_size, inputs.shape[3], self.output_size), inputs.dtype)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, height, width, channels]` to as many positions of `output_channels`."""
        self._initialize(inputs)
        outputs = tf.nn.conv2d(inputs, self._weight, strides=1, padding=self.padding)
        return outputs + self.b if self.with_bias else outputs
