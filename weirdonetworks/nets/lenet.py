"""LeNet-5 as a plain stack: scaled tanh, average pooling, dense layers."""

import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.nets.activations import ScaledTanh
from weirdonetworks.nets.inputs import checked_images


class LeNet(snt.Module):
    """A convolution network with scaled tanh and average pooling.

        conv 6 (5 x 5, padding 2), pool 2, conv 16 (5 x 5), pool 2, dense 120, 84, num_classes

    The scaled tanh follows each layer but the last. From images `[batch, 28, 28, channels]` the dense layers read
    5 * 5 * 16 = 400 numbers. After LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document
    recognition, 1998, with every filter of the second convolution joined to all of the first.

    >>> LeNet(10)(tf.zeros([2, 28, 28, 1])).shape.as_list()
    [2, 10]
    """

    def __init__(self, num_classes: int = 10, name: str | None = None):
        """Constructs the network.

        Args:
          num_classes: The width of the last layer.
          name: The module's name.

        Raises:
          TypeError: If the number of classes is no integer.
          ValueError: If it is below 1.
        """
        super().__init__(name=name)
        sizes = (120, 84, at_least("num_classes", num_classes, 1))
        self.activation = ScaledTanh()
        self.convolutions = [
            snt.Conv2D(6, 5, padding="SAME", name="conv_0"),
            snt.Conv2D(16, 5, padding="VALID", name="conv_1"),
        ]
        self.layers = [snt.Linear(size, name=f"linear_{i}") for i, size in enumerate(sizes)]

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Maps images `[batch, height, width, channels]`, of 12 pixels and more a side, to `[batch, num_classes]`.

        Raises:
          ValueError: If the images have another rank, a size that is not known, or a side below 12.
        """
        hidden = checked_images(images, minimum=12)
        for convolution in self.convolutions:
            hidden = tf.nn.avg_pool2d(self.activation(convolution(hidden)), 2, 2, "VALID")
        hidden = snt.flatten(hidden)
        for index, layer in enumerate(self.layers):
            hidden = layer(self.activation(hidden) if index else hidden)
        return hidden
