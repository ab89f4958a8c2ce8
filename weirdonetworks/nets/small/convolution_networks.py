"""Convolutional networks for small images: a network with max pooling and dropout, and LeNet."""

from collections.abc import Sequence

import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least, listed
from weirdonetworks.nets.base_module import BaseModule, Initializer, linear_layers, perceptron
from weirdonetworks.nets.dropout import checked_rate, dropout
from weirdonetworks.nets.inputs import WIDTH, checked_images, checked_sizes
from weirdonetworks.nets.small.activations import ScaledTanh


class ConvolutionNetwork(BaseModule):
    """A convolutional network with max pooling and dropout.

        conv 32 (3 x 3), conv 64 (3 x 3), max pool 2, dropout 1/4, dense 128, dropout 1/2, num_classes

    ReLU follows each layer but the last; there is no padding. For images `[batch, 28, 28, channels]` the first dense
    layer has 12 * 12 * 64 = 9216 inputs.

    >>> network = ConvolutionNetwork(10)
    >>> network(tf.zeros([2, 28, 28, 1]), is_training=False).shape.as_list()
    [2, 10]
    """

    def __init__(
        self,
        num_classes: int = 10,
        filters: tuple[int, int] = (32, 64),
        dense_size: int = 128,
        dropout_rates: tuple[float, float] = (0.25, 0.5),
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the network.

        Args:
          num_classes: The width of the last layer.
          filters: The number of filters of each of the two convolutions.
          dense_size: The width of the hidden dense layer.
          dropout_rates: The dropout rates after the pooling and after the hidden dense layer, each in [0, 1).
          w_init, b_init, name: As in `BaseModule`.
        """
        super().__init__(name=name)
        _check_two("filters", filters)
        _check_two("dropout_rates", dropout_rates)
        self.dropout_rates = [checked_rate("dropout_rates", rate) for rate in dropout_rates]
        self.convolutions = [
            snt.Conv2D(channels, 3, padding="VALID", w_init=w_init, b_init=b_init, name=f"conv_{i}")
            for i, channels in enumerate(checked_sizes("filters", filters))
        ]
        self.hidden = snt.Linear(at_least("dense_size", dense_size, 1, WIDTH), True, w_init, b_init, name="linear_0")
        self.output = snt.Linear(at_least("num_classes", num_classes, 1, WIDTH), True, w_init, b_init, name="linear_1")

    def __call__(self, images: tf.Tensor, is_training: bool, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps images to `[batch, num_classes]`.

        Args:
          images: `[batch, height, width, channels]`, at least 6 x 6 pixels.
          is_training: Whether to apply dropout.
          seed: int32 `[2]`, for dropout; new at each step.
        """
        hidden = checked_images(images, minimum=6)
        for convolution in self.convolutions:
            hidden = tf.nn.relu(convolution(hidden))
        hidden = snt.flatten(tf.nn.max_pool2d(hidden, 2, 2, "VALID"))
        first, second = self.dropout_rates
        hidden = dropout(hidden, first, is_training=is_training, seed=seed, index=0)
        hidden = tf.nn.relu(self.hidden(hidden))
        hidden = dropout(hidden, second, is_training=is_training, seed=seed, index=1)
        return self.output(hidden)


class LeNet(BaseModule):
    """A LeNet-5: a convolutional network with scaled tanh and average pooling.

        conv 6 (5 x 5, padding 2), pool 2, conv 16 (5 x 5), pool 2, dense 120, 84, num_classes

    The scaled tanh follows each layer but the last. For images `[batch, 28, 28, channels]` the first dense layer has
    5 * 5 * 16 = 400 inputs. After LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document
    recognition, 1998, with every filter of the second convolution connected to all channels of the first.

    >>> LeNet(10)(tf.zeros([2, 28, 28, 1])).shape.as_list()
    [2, 10]
    """

    def __init__(
        self, num_classes: int = 10, w_init: Initializer = None, b_init: Initializer = None, name: str | None = None
    ):
        """Constructs the network.

        Args:
          num_classes: The width of the last layer.
          w_init, b_init, name: As in `BaseModule`.
        """
        super().__init__(name=name)
        sizes = (120, 84, at_least("num_classes", num_classes, 1, WIDTH))
        self.activation = ScaledTanh()
        self.convolutions = [
            snt.Conv2D(6, 5, padding="SAME", w_init=w_init, b_init=b_init, name="conv_0"),
            snt.Conv2D(16, 5, padding="VALID", w_init=w_init, b_init=b_init, name="conv_1"),
        ]
        self.layers = linear_layers(sizes, True, w_init, b_init)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Maps images `[batch, height, width, channels]`, at least 12 x 12 pixels, to `[batch, num_classes]`."""
        hidden = checked_images(images, minimum=12)
        for convolution in self.convolutions:
            hidden = tf.nn.avg_pool2d(self.activation(convolution(hidden)), 2, 2, "VALID")
        return perceptron(self.layers, self.activation, snt.flatten(hidden))


def _check_two(name: str, values: Sequence[float]) -> None:
    if len(listed(name, values, "two numbers")) != 2:
        raise ValueError(f"{name} (={tuple(values)}) must hold two numbers.")
