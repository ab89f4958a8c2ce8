"""The three models of the weight-symmetry experiments."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import sonnet as snt
import tensorflow as tf

from weight_symmetry.models.widths import DENSE_SIZE, FEATURES, FILTERS, KERNELS
from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.lab.records.tables import counted
from weirdonetworks.nets.base_module import BaseModule, Initializer
from weirdonetworks.nets.dropout import checked_rate, dropout
from weirdonetworks.nets.inputs import WIDTH, check_type, checked_sizes

Layer: TypeAlias = Any  # An snt.Linear or snt.Conv2D; Sonnet has no types.


class Classifier(BaseModule):
    """A classifier of dense layers and convolutions.

    >>> model = MNIST_FC(features=(32, 16))
    >>> _ = model(tf.ones([1, 28, 28, 1]), is_training=False)
    >>> [tuple(layer.w.shape) for layer in model.layers]
    [(784, 32), (32, 16), (16, 10)]

    Attributes:
      layers: The layers with weights, inputs first; the last gives the logits.
      norms: The batch norms, each after the layer of the same index; empty for a model without batch norm.
    """

    layers: list[Layer]
    norms: Sequence[snt.BatchNorm] = ()

    def __init__(self, dropout_rate: float, w_init: Initializer, b_init: Initializer, name: str | None):
        super().__init__(name=name)
        self.dropout_rate = checked_rate("dropout_rate", dropout_rate)
        self._w_init = w_init or snt.initializers.VarianceScaling(2.0, "fan_in", "truncated_normal")
        self._b_init = b_init

    def _dense(self, size: int, name: str, with_bias: bool = True) -> snt.Linear:
        return snt.Linear(size, with_bias, self._w_init, self._b_init if with_bias else None, name)

    def _convolution(self, channels: int, kernel_size: int, name: str, with_bias: bool = True) -> snt.Conv2D:
        b_init = self._b_init if with_bias else None
        return snt.Conv2D(channels, kernel_size, with_bias=with_bias, w_init=self._w_init, b_init=b_init, name=name)

    def _dropout(self, hidden: tf.Tensor, is_training: bool, seed: tf.Tensor | None, index: int) -> tf.Tensor:
        return dropout(hidden, self.dropout_rate, is_training=is_training, seed=seed, index=index)


class MNIST_FC(Classifier):  # noqa: N801 - the name that the experiments' flags and records use
    """A fully connected classifier with ReLU; the default is LeNet-300-100 (LeCun et al. 1998).

    >>> model = MNIST_FC(features=(32, 16))
    >>> model(tf.ones([2, 28, 28, 1]), is_training=False).shape.as_list()
    [2, 10]
    """

    def __init__(
        self,
        num_classes: int = 10,
        features: Sequence[int] = FEATURES,
        dropout_rate: float = 0.0,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the model.

        Args:
          num_classes: The number of logits.
          features: The width of each hidden layer; none gives a linear classifier.
          dropout_rate: The fraction of hidden units dropped in training, in [0, 1).
          w_init, b_init, name: As in `BaseModule`, but w_init=None for W ~ N(0, 2 / fan_in), truncated.
        """
        super().__init__(dropout_rate, w_init, b_init, name)
        features, num_classes = checked_sizes("features", features, can_be_empty=True), _classes(num_classes)
        self.layers = [self._dense(width, f"dense_{i}") for i, width in enumerate((*features, num_classes))]

    def __call__(self, images: tf.Tensor, is_training: bool, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps images `[batch, ...]`, flattened, to logits `[batch, num_classes]`; `seed` int32 `[2]` for dropout."""
        if images.shape.rank is None or images.shape.rank < 2 or None in images.shape[1:]:
            raise ValueError(f"images of shape {images.shape} must be [batch, ...], all sizes but the batch's known.")
        hidden = snt.flatten(images)
        for index, layer in enumerate(self.layers[:-1]):
            hidden = self._dropout(tf.nn.relu(layer(hidden)), is_training, seed, index)
        return self.layers[-1](hidden)


class MNIST_CNN(Classifier):  # noqa: N801
    """A small convolutional classifier with batch norm.

    Convolutions of `kernel_size`, each with batch norm and ReLU and all but the last with 2 x 2 max pooling; global
    average pooling; a dense layer with batch norm and ReLU; the logits.

    >>> model = MNIST_CNN(filters=(4, 8), dense_size=16)
    >>> model(tf.ones([2, 28, 28, 1]), is_training=False).shape.as_list()
    [2, 10]
    """

    def __init__(
        self,
        num_classes: int = 10,
        filters: Sequence[int] = FILTERS["MNIST_CNN"],
        dense_size: int = DENSE_SIZE,
        kernel_size: int = KERNELS["MNIST_CNN"],
        dropout_rate: float = 0.0,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the model.

        Args:
          num_classes: The number of logits.
          filters: The number of filters of each convolution, at least one.
          dense_size: The width of the hidden dense layer.
          kernel_size: The filters' height and width.
          dropout_rate: The fraction of the dense layer's units dropped in training, in [0, 1).
          w_init, b_init, name: As in `BaseModule`, but w_init=None for W ~ N(0, 2 / fan_in), truncated.
        """
        super().__init__(dropout_rate, w_init, b_init, name)
        filters, kernel_size = checked_sizes("filters", filters), at_least("kernel_size", kernel_size, 1, WIDTH)
        dense_size, num_classes = at_least("dense_size", dense_size, 1, WIDTH), _classes(num_classes)
        # Batch norm subtracts the mean, so a bias before it would do nothing.
        convolutions = [self._convolution(n, kernel_size, f"conv_{i}", with_bias=False) for i, n in enumerate(filters)]
        dense = self._dense(dense_size, "dense_0", with_bias=False)
        self.layers = [*convolutions, dense, self._dense(num_classes, "dense_1")]
        self.norms = [_batch_norm(f"norm_{i}") for i in range(len(filters) + 1)]

    def __call__(self, images: tf.Tensor, is_training: bool, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps images `[batch, height, width, channels]`, float32, to logits; `seed` is for dropout."""
        check_type(images, tf.float32)  # The batch norm of images is a kernel for float32 alone.
        *convolutions, dense, output = self.layers
        _check_size(images, poolings=len(convolutions) - 1)
        hidden = images
        for index, layer in enumerate(convolutions):
            if index:
                hidden = tf.nn.max_pool2d(hidden, 2, 2, "VALID")
            hidden = tf.nn.relu(self.norms[index](layer(hidden), is_training))
        hidden = tf.reduce_mean(hidden, axis=(1, 2))
        hidden = tf.nn.relu(self.norms[-1](dense(hidden), is_training))
        return output(self._dropout(hidden, is_training, seed, 0))


class CIFAR10_CNN(Classifier):  # noqa: N801
    """A convolutional classifier without batch norm.

    Convolutions of `kernel_size` with ReLU, 2 x 2 max pooling after every second; global average pooling; the logits.

    >>> model = CIFAR10_CNN(filters=(4, 4, 8, 8))
    >>> model(tf.ones([2, 32, 32, 3]), is_training=False).shape.as_list()
    [2, 10]
    """

    def __init__(
        self,
        num_classes: int = 10,
        filters: Sequence[int] = FILTERS["CIFAR10_CNN"],
        kernel_size: int = KERNELS["CIFAR10_CNN"],
        dropout_rate: float = 0.0,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the model.

        Args:
          num_classes: The number of logits.
          filters: The number of filters of each convolution, at least one.
          kernel_size: The filters' height and width.
          dropout_rate: The fraction of activations dropped in training after each pooling, in [0, 1).
          w_init, b_init, name: As in `BaseModule`, but w_init=None for W ~ N(0, 2 / fan_in), truncated.
        """
        super().__init__(dropout_rate, w_init, b_init, name)
        filters, kernel_size = checked_sizes("filters", filters), at_least("kernel_size", kernel_size, 1, WIDTH)
        num_classes = _classes(num_classes)
        convolutions = [self._convolution(channels, kernel_size, f"conv_{i}") for i, channels in enumerate(filters)]
        self.layers = [*convolutions, self._dense(num_classes, "dense_0")]

    def __call__(self, images: tf.Tensor, is_training: bool, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps images `[batch, height, width, channels]` to logits `[batch, num_classes]`; `seed` is for dropout."""
        *convolutions, output = self.layers
        _check_size(images, poolings=len(convolutions) // 2)
        hidden = images
        for index, layer in enumerate(convolutions):
            hidden = tf.nn.relu(layer(hidden))
            if index % 2:
                hidden = tf.nn.max_pool2d(hidden, 2, 2, "VALID")
                hidden = self._dropout(hidden, is_training, seed, index)
        return output(tf.reduce_mean(hidden, axis=(1, 2)))


def _batch_norm(name: str) -> snt.BatchNorm:
    return snt.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.99, name=name)


def _classes(num_classes: int) -> int:
    return at_least("num_classes", num_classes, 1, WIDTH)


def _check_size(images: tf.Tensor, poolings: int) -> None:
    if images.shape.rank != 4 or None in images.shape[1:]:
        raise ValueError(f"images of shape {images.shape} must be [batch, height, width, channels], all sizes known.")
    if min(images.shape[1:3]) < 2**poolings:
        raise ValueError(f"images of shape {images.shape} are too small for {counted(poolings, 'pooling')} by 2.")


MODELS: dict[str, Callable[..., Classifier]] = {
    "MNIST_FC": MNIST_FC,
    "MNIST_CNN": MNIST_CNN,
    "CIFAR10_CNN": CIFAR10_CNN,
}
