"""A convolutional autoencoder of images."""

import math

import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.nets.base_module import BaseModule, Initializer, linear_layers, perceptron
from weirdonetworks.nets.inputs import WIDTH, checked_images


class Autoencoder(BaseModule):
    """An autoencoder of images with a convolutional encoder and a dense decoder.

        code = dense code_size(flatten(relu(conv 8(relu(conv 4(x))))))        both 2 x 2, stride 2
        output = dense height * width * channels(relu(dense flattened(code)))

    with x and the output `[batch, height, width, channels]` and the code `[batch, code_size]`. The first dense layer of
    the decoder is as wide as the flattened features of the encoder: for 28 x 28 pixels, 7 * 7 * 8 = 392.

    >>> network = Autoencoder(32)
    >>> network.encode(tf.zeros([2, 28, 28, 1])).shape.as_list(), network(tf.zeros([2, 28, 28, 1])).shape.as_list()
    ([2, 32], [2, 28, 28, 1])
    """

    def __init__(
        self, code_size: int = 32, w_init: Initializer = None, b_init: Initializer = None, name: str | None = None
    ):
        """Constructs the network.

        Args:
          code_size: The dimension of the code.
          w_init, b_init, name: As in `BaseModule`.
        """
        super().__init__(name=name)
        self.convolutions = [
            snt.Conv2D(channels, 2, stride=2, padding="VALID", w_init=w_init, b_init=b_init, name=f"conv_{i}")
            for i, channels in enumerate((4, 8))
        ]
        self.w_init, self.b_init = w_init, b_init
        self.to_code = snt.Linear(at_least("code_size", code_size, 1, WIDTH), True, w_init, b_init, name="code")

    @snt.once
    def _initialize(self, images: tf.Tensor, flattened: tf.Tensor) -> None:
        self.image_shape = images.shape[1:]
        sizes = (flattened.shape[1], math.prod(self.image_shape))
        self.layers = linear_layers(sizes, True, self.w_init, self.b_init)

    def encode(self, images: tf.Tensor) -> tf.Tensor:
        """Maps images `[batch, height, width, channels]`, at least 4 x 4 pixels, to codes `[batch, code_size]`."""
        hidden = images = checked_images(images, minimum=4)
        for convolution in self.convolutions:
            hidden = tf.nn.relu(convolution(hidden))
        hidden = snt.flatten(hidden)
        self._initialize(images, hidden)
        if images.shape[1:] != self.image_shape:
            raise ValueError(f"images of shape {images.shape} must be {self.image_shape} each, as at the first call.")
        return self.to_code(hidden)

    def decode(self, codes: tf.Tensor) -> tf.Tensor:
        """Maps codes `[batch, code_size]` to images of the size of the first call of `encode`."""
        if not hasattr(self, "layers"):
            raise ValueError("codes can be decoded only once images were encoded: they tell the size.")
        return tf.reshape(perceptron(self.layers, tf.nn.relu, codes), [-1, *self.image_shape])

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Maps images to their reconstructions, of the same shape."""
        return self.decode(self.encode(images))
