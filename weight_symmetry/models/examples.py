"""Small models of four architectures, for `--model=weight_symmetry.models.examples:NAME` and as patterns.

They are written as a user would write them: nothing in them knows of masks or of symmetry.
"""

from typing import Any

import keras
import sonnet as snt
import tensorflow as tf

from weight_symmetry.models.asymmetric import AsymmetricLinear


def mlp(features: tuple[int, ...] = (300, 100), num_classes: int = 10) -> snt.Module:
    """Makes a network of dense layers with ReLU.

    >>> mlp()(tf.ones([2, 28, 28, 1])).shape.as_list()
    [2, 10]
    """
    return snt.Sequential([snt.Flatten(), snt.nets.MLP([*features, num_classes])])


def asymmetric_mlp(
    features: tuple[int, ...] = (300, 100), num_classes: int = 10, fixed_share: float = 0.1, deviation: float = 1.0
) -> snt.Module:
    """Makes the network of dense layers without symmetries of its hidden units: of each some weights are constants.

    >>> asymmetric_mlp()(tf.ones([2, 28, 28, 1])).shape.as_list()
    [2, 10]
    """
    layers: list[Any] = []
    for index, size in enumerate(features):
        layers += [AsymmetricLinear(size, fixed_share, deviation, seed=index, name=f"linear_{index}"), tf.nn.relu]
    return snt.Sequential([*layers, snt.Linear(num_classes, name="head")])


def cnn(filters: tuple[int, ...] = (16, 32), num_classes: int = 10) -> keras.Model:
    """Makes convolutions with batch norm and max pooling, and a dense layer on their flattened outputs.

    >>> cnn()(tf.ones([2, 28, 28, 1])).shape.as_list()
    [2, 10]
    """
    layers: list[keras.layers.Layer] = []
    for size in filters:
        layers += [
            keras.layers.Conv2D(size, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
        ]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(num_classes)])


def resnet(channels: int = 16, blocks: int = 2, num_classes: int = 10) -> snt.Module:
    """Makes residual blocks of two convolutions each, with batch norm, on one residual stream.

    >>> resnet()(tf.ones([2, 28, 28, 1]), is_training=False).shape.as_list()
    [2, 10]
    """
    return _ResNet(channels, blocks, num_classes)


class _ResNet(snt.Module):
    def __init__(self, channels: int, blocks: int, num_classes: int):
        super().__init__(name="resnet")
        self.stem = snt.Conv2D(channels, 3, stride=2, name="stem")
        self.blocks = [
            [snt.Conv2D(channels, 3, with_bias=False, name=f"conv_{block}_{index}") for index in range(2)]
            for block in range(blocks)
        ]
        self.norms = [
            [snt.BatchNorm(True, True, name=f"norm_{block}_{i}") for i in range(2)] for block in range(blocks)
        ]
        self.head = snt.Linear(num_classes, name="head")

    def __call__(self, images: tf.Tensor, is_training: bool) -> tf.Tensor:
        """Maps images to logits."""
        stream = self.stem(images)
        for convolutions, norms in zip(self.blocks, self.norms, strict=True):
            hidden = stream
            for convolution, norm in zip(convolutions, norms, strict=True):
                hidden = convolution(tf.nn.relu(norm(hidden, is_training)))
            stream += hidden
        return self.head(tf.reduce_mean(tf.nn.relu(stream), axis=(1, 2)))


def transformer(width: int = 64, heads: int = 4, num_classes: int = 10) -> keras.Model:
    """Makes a pre-norm transformer block on the 7 x 7 patches of a 28 x 28 image (Xiong et al. 2020).

    >>> transformer()(tf.ones([2, 28, 28, 1])).shape.as_list()
    [2, 10]
    """
    images = keras.Input((28, 28, 1))
    stream = keras.layers.Reshape((16, width))(keras.layers.Conv2D(width, 7, strides=7, name="patches")(images))
    normal = keras.layers.LayerNormalization()(stream)
    attended = keras.layers.MultiHeadAttention(heads, width // heads, name="attention")(normal, normal)
    stream = keras.layers.Add()([stream, attended])
    hidden = keras.layers.Dense(2 * width, activation="gelu", name="wide")(keras.layers.LayerNormalization()(stream))
    stream = keras.layers.Add()([stream, keras.layers.Dense(width, name="narrow")(hidden)])
    means = keras.layers.GlobalAveragePooling1D()(keras.layers.LayerNormalization()(stream))
    return keras.Model(images, keras.layers.Dense(num_classes, name="head")(means))
