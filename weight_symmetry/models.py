"""The three models of the weight-symmetry experiments, with every layer masked."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weight_symmetry import initialisation
from weight_symmetry.layers import MaskedConv2D, MaskedLinear
from weirdonetworks.lab import seeds
from weirdonetworks.lab.records.tables import counted
from weirdonetworks.nets.base_module import BaseModule
from weirdonetworks.nets.dropout import checked_rate, dropout
from weirdonetworks.nets.inputs import check_type

MaskedLayer = MaskedLinear | MaskedConv2D


class MaskedModel(BaseModule):
    """A classifier of masked layers.

    Attributes:
      layers: The masked layers, inputs first; the last gives the logits.
      norms: The batch norms, each after the layer of the same index; empty for a model without batch norm.
    """

    layers: list[MaskedLayer]
    norms: Sequence[snt.BatchNorm] = ()

    def __init__(self, dropout_rate: float, name: str | None):
        super().__init__(name=name)
        self.dropout_rate = checked_rate("dropout_rate", dropout_rate)

    @property
    def masks(self) -> list[npt.NDArray[np.bool_]]:
        """The layers' masks, as booleans."""
        return [layer.mask.numpy() > 0 for layer in self.layers]

    def initialise(self, seed: int, trial: int = 0, scheme: str = "he_normal") -> None:
        """Draws new weights under the present masks and resets all else; assigns values, so nothing is traced again.

        Each layer draws its weights from a seed of its own, scaled by the connections that its present mask leaves (see
        `initialisation.draw`), so set the masks first; they do not change. Biases become zero, batch
        norm's scale 1, its offset 0, and its moving statistics are reset.

        >>> model = MNIST_FC(features=(32, 16))
        >>> _ = model(tf.ones([1, 28, 28, 1]), is_training=False)
        >>> model.initialise(seed=42, trial=1, scheme="glorot_uniform")

        Args:
          seed: The base seed of the experiment.
          trial: The number of the trial; each has its own weights.
          scheme: One of `initialisation.SCHEMES`.

        Raises:
          ValueError: If the scheme is unknown.
        """
        for index, layer in enumerate(self.layers):
            rng = seeds.generator(seed, "init", index, trial)
            layer.set_weight(initialisation.draw(layer.mask.numpy(), rng, scheme))
            if layer.with_bias:
                layer.b.assign(tf.zeros_like(layer.b))
        for norm in self.norms:
            norm.scale.assign(tf.ones_like(norm.scale))
            norm.offset.assign(tf.zeros_like(norm.offset))
            norm.moving_mean.reset()
            norm.moving_variance.reset()

    def _dropout(self, hidden: tf.Tensor, is_training: bool, seed: tf.Tensor | None, index: int) -> tf.Tensor:
        return dropout(hidden, self.dropout_rate, is_training=is_training, seed=seed, index=index)


class MNIST_FC(MaskedModel):  # noqa: N801 - the name that the experiments' flags and records use
    """A fully connected classifier with ReLU; the default is LeNet-300-100 (LeCun et al. 1998).

    >>> model = MNIST_FC(features=(32, 16))
    >>> model(tf.ones([2, 28, 28, 1]), is_training=False).shape.as_list()
    [2, 10]
    """

    def __init__(
        self,
        num_classes: int = 10,
        features: Sequence[int] = (300, 100),
        dropout_rate: float = 0.0,
        name: str | None = None,
    ):
        """Constructs the model.

        Args:
          num_classes: The number of logits.
          features: The width of each hidden layer; none gives a linear classifier.
          dropout_rate: The fraction of hidden units dropped in training, in [0, 1).
          name: The module's name.
        """
        super().__init__(dropout_rate, name)
        self.layers = [MaskedLinear(width, name=f"dense_{i}") for i, width in enumerate((*features, num_classes))]

    def __call__(self, images: tf.Tensor, is_training: bool, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps images `[batch, ...]`, flattened, to logits `[batch, num_classes]`; `seed` int32 `[2]` for dropout."""
        if images.shape.rank is None or images.shape.rank < 2:
            raise ValueError(f"images of shape {images.shape} must be [batch, ...].")
        hidden = snt.flatten(images)
        for index, layer in enumerate(self.layers[:-1]):
            hidden = self._dropout(tf.nn.relu(layer(hidden)), is_training, seed, index)
        return self.layers[-1](hidden)


class MNIST_CNN(MaskedModel):  # noqa: N801
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
        filters: Sequence[int] = (16, 32),
        dense_size: int = 64,
        kernel_size: int = 5,
        dropout_rate: float = 0.0,
        name: str | None = None,
    ):
        """Constructs the model.

        Args:
          num_classes: The number of logits.
          filters: The number of filters of each convolution, at least one.
          dense_size: The width of the hidden dense layer.
          kernel_size: The filters' height and width.
          dropout_rate: The fraction of the dense layer's units dropped in training, in [0, 1).
          name: The module's name.
        """
        super().__init__(dropout_rate, name)
        _check_filters(filters)
        # Batch norm subtracts the mean, so a bias before it would do nothing.
        convolutions = [
            MaskedConv2D(channels, kernel_size, with_bias=False, name=f"conv_{i}") for i, channels in enumerate(filters)
        ]
        dense = MaskedLinear(dense_size, with_bias=False, name="dense_0")
        self.layers = [*convolutions, dense, MaskedLinear(num_classes, name="dense_1")]
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


class CIFAR10_CNN(MaskedModel):  # noqa: N801
    """A convolutional classifier without batch norm.

    Convolutions of `kernel_size` with ReLU, 2 x 2 max pooling after every second; global average pooling; the logits.

    >>> model = CIFAR10_CNN(filters=(4, 4, 8, 8))
    >>> model(tf.ones([2, 32, 32, 3]), is_training=False).shape.as_list()
    [2, 10]
    """

    def __init__(
        self,
        num_classes: int = 10,
        filters: Sequence[int] = (32, 32, 64, 64, 128, 128),
        kernel_size: int = 3,
        dropout_rate: float = 0.0,
        name: str | None = None,
    ):
        """Constructs the model.

        Args:
          num_classes: The number of logits.
          filters: The number of filters of each convolution, at least one.
          kernel_size: The filters' height and width.
          dropout_rate: The fraction of activations dropped in training after each pooling, in [0, 1).
          name: The module's name.
        """
        super().__init__(dropout_rate, name)
        _check_filters(filters)
        convolutions = [MaskedConv2D(channels, kernel_size, name=f"conv_{i}") for i, channels in enumerate(filters)]
        self.layers = [*convolutions, MaskedLinear(num_classes, name="dense_0")]

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


def _check_filters(filters: Sequence[int]) -> None:
    if not filters:
        raise ValueError(f"filters (={tuple(filters)}) must hold at least one number of filters.")


def _check_size(images: tf.Tensor, poolings: int) -> None:
    if images.shape.rank != 4 or None in images.shape[1:]:
        raise ValueError(f"images of shape {images.shape} must be [batch, height, width, channels], all sizes known.")
    if min(images.shape[1:3]) < 2**poolings:
        raise ValueError(f"images of shape {images.shape} are too small for {counted(poolings, 'pooling')} by 2.")


MODELS: dict[str, Callable[..., MaskedModel]] = {
    "MNIST_FC": MNIST_FC,
    "MNIST_CNN": MNIST_CNN,
    "CIFAR10_CNN": CIFAR10_CNN,
}
