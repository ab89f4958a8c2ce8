"""Models whose units are traced: what each is called with, and the sizes of its free spaces."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import sonnet as snt
import tensorflow as tf

from weight_symmetry.models import CIFAR10_CNN, MNIST_CNN, MNIST_FC
from weirdonetworks.measure.rescalings import Scalings
from weirdonetworks.measure.unit_graph import UnitGraph


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, what it is called with, and the sizes of its free spaces, counted by hand."""

    name: str
    make: Callable[[], Callable[..., Any]]
    shape: tuple[int, ...]
    free: tuple[int, ...]
    options: tuple[tuple[str, Any], ...] = ()
    integers: bool = False

    def inputs(self) -> np.ndarray:
        rng = np.random.default_rng(1)
        return rng.integers(0, 5, self.shape) if self.integers else rng.normal(size=self.shape).astype(np.float32)

    def graph(self, model: Callable[..., Any] | None = None) -> UnitGraph:
        graph = UnitGraph.trace(model or self.make(), self.inputs(), **dict(self.options))
        rng = np.random.default_rng(2)
        for variable in graph.variables:  # No weight is what it starts as: some start at 0, or all alike.
            if variable.dtype.is_floating:
                variable.assign(values(variable, rng))
        return graph


def values(variable: tf.Variable, rng: np.random.Generator) -> np.ndarray:
    """Draws weights of either sign, and positive vectors, biases large enough that hardly a ReLU is 0 throughout."""
    values = rng.uniform(0.5, 1, variable.shape)
    if (fan_in := np.prod(variable.shape[:-1])) > 1:
        return values * rng.choice([-1, 1], variable.shape) / np.sqrt(fan_in)
    return values * (4 if variable.name.partition(":")[0].endswith(("offset", "beta", "bias", "/b")) else 1)


def scaled(graph: UnitGraph, found: Scalings, factors: Any, unit: int = 0) -> list[np.ndarray]:
    """The variables in float64, one unit's weights multiplied by a factor for each group."""
    values = [variable.numpy().astype(np.float64) for variable in graph.variables]
    for group, factor in zip(found.groups, factors, strict=True):
        each = np.where(np.arange(found.space.size) == unit, factor, 1.0)
        values[group.variable] = group.scaled(values[group.variable], each)
    return values


def residual(inputs: keras.KerasTensor) -> keras.Model:
    """Two branches: a convolution that is added to what it reads, and a mean over the image beside it."""
    stem = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(inputs)
    inner = keras.layers.Conv2D(5, 3, padding="same")(stem)
    inner = keras.layers.ReLU()(keras.layers.BatchNormalization()(inner))
    added = keras.layers.Add()([stem, keras.layers.Conv2D(6, 1)(inner)])
    beside = keras.layers.Dense(3, activation="tanh")(keras.layers.GlobalAveragePooling2D()(inputs))
    both = keras.layers.Concatenate()([keras.layers.Flatten()(keras.layers.MaxPooling2D()(added)), beside])
    return keras.Model(inputs, keras.layers.Dense(2)(both))


def mobile(inputs: keras.KerasTensor) -> keras.Model:
    """An inverted residual block: widened, filtered by depth, narrowed."""
    stem = keras.layers.Conv2D(4, 1)(inputs)
    wide = keras.layers.ReLU(6)(keras.layers.BatchNormalization()(keras.layers.Conv2D(12, 1, use_bias=False)(stem)))
    deep = keras.layers.DepthwiseConv2D(3, padding="same", depth_multiplier=1)(wide)
    deep = keras.layers.ReLU(6)(keras.layers.BatchNormalization()(deep))
    added = keras.layers.Add()([stem, keras.layers.Conv2D(4, 1)(deep)])
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(added)))


def grouped(inputs: keras.KerasTensor) -> keras.Model:
    """Group norm and a grouped convolution: groups of two channels, which are units as groups and within them."""
    hidden = keras.layers.GroupNormalization(4)(keras.layers.Conv2D(8, 1)(inputs))
    hidden = keras.layers.Conv2D(12, 3, groups=4)(hidden)
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(hidden)))


def transformer(inputs: keras.KerasTensor) -> keras.Model:
    """A transformer block, normalised before each part, between dense layers."""
    stream = keras.layers.Dense(8)(inputs)
    heads = keras.layers.MultiHeadAttention(2, 3, value_dim=4)
    normal = keras.layers.LayerNormalization()(stream)
    stream = keras.layers.Add()([stream, heads(normal, normal)])
    wide = keras.layers.Dense(16, activation="gelu")(keras.layers.LayerNormalization()(stream))
    stream = keras.layers.Add()([stream, keras.layers.Dropout(0.1)(keras.layers.Dense(8)(wide))])
    return keras.Model(inputs, keras.layers.Dense(2)(stream))


def volumes(inputs: keras.KerasTensor) -> keras.Model:
    """Convolutions over three axes, one of them transposed."""
    hidden = keras.layers.Conv3D(3, 2, strides=2, padding="same", activation="relu")(inputs)
    hidden = keras.layers.Conv3DTranspose(4, 2, activation="tanh")(hidden)
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling3D()(hidden)))


def keras_model(build: Callable[[Any], keras.Model], *shape: int) -> Callable[[], keras.Model]:
    return lambda: build(keras.Input(shape))


def resnet() -> snt.Module:
    network = snt.nets.ResNet([1, 1, 1, 1], 3, channels_per_group_list=[16, 16, 16, 16])
    network(tf.ones([1, 8, 8, 3]), is_training=True)
    return network


class Recurrent(snt.Module):
    """A recurrent cell, unrolled."""

    def __init__(self) -> None:
        super().__init__()
        self.core, self.head = snt.LSTM(6), snt.Linear(2)

    def __call__(self, sequence: tf.Tensor) -> tf.Tensor:
        state = self.core.initial_state(sequence.shape[0])
        for step in range(sequence.shape[1]):
            outputs, state = self.core(sequence[:, step], state)
        return self.head(outputs)


class Transposed(snt.Module):
    """A convolution, and a transposed one back to the size of the images."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide = snt.Conv2D(3, 3, stride=2), snt.Conv2DTranspose(4, 2, stride=2)
        self.head = snt.Conv2D(2, 1)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        return self.head(tf.nn.tanh(self.wide(tf.nn.relu(self.narrow(images)))))


class Quantised(snt.Module):
    """The distances of encoded vectors to the codes of a quantiser."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.codes = snt.nets.MLP([8, 4]), snt.nets.VectorQuantizer(4, 5, 0.25)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.codes(self.encoder(x), is_training=False)["distances"]


def twice() -> Callable[[tf.Tensor], tf.Tensor]:
    """A function, which holds no variables, that uses a layer twice."""
    first, shared, head = snt.Linear(6), snt.Linear(6), snt.Linear(2)
    return lambda x: head(tf.nn.relu(shared(tf.nn.relu(shared(tf.nn.relu(first(x)))))))


NOT_TRAINING = (("is_training", False),)
CASES = [
    Case("MLP", lambda: snt.nets.MLP([5, 4, 2]), (3, 6), (5, 4)),
    Case("MNIST_FC", lambda: MNIST_FC(features=(7, 5)), (2, 28, 28, 1), (7, 5), NOT_TRAINING),
    Case("MNIST_CNN", lambda: MNIST_CNN(filters=(3, 4), dense_size=5), (2, 28, 28, 1), (3, 4, 5), NOT_TRAINING),
    Case(
        "CIFAR10_CNN", lambda: CIFAR10_CNN(filters=(3, 4, 3, 4, 3, 4)), (1, 32, 32, 3), (3, 4, 3, 4, 3, 4), NOT_TRAINING
    ),
    Case("ResNet", resnet, (1, 16, 16, 3), (64, *[16, 4, 4] * 4), NOT_TRAINING),
    Case("residual", keras_model(residual, 6, 6, 3), (2, 6, 6, 3), (6, 5, 3)),
    Case("mobile", keras_model(mobile, 6, 6, 3), (2, 6, 6, 3), (4, 12)),
    Case("grouped", keras_model(grouped, 4, 4, 3), (2, 4, 4, 3), (4, 2, 3)),
    Case("transformer", keras_model(transformer, 5, 3), (2, 5, 3), (8, 2, 3, 4, 16)),
    Case("LSTM", Recurrent, (2, 3, 4), (6,)),
    Case("volumes", keras_model(volumes, 3, 4, 4, 2), (2, 3, 4, 4, 2), (3, 4)),
    Case("transposed", Transposed, (2, 4, 4, 2), (3, 4)),
    Case("shared", twice, (3, 4), (6,)),
    Case("encoder", Quantised, (3, 4), (8, 4)),
    Case("embedding", lambda: snt.Sequential([snt.Embed(9, 4), snt.Linear(2)]), (2, 3), (4,), integers=True),
    # Cannot be followed through the sorting.
    Case("sorted", lambda: snt.Sequential([snt.Linear(6), tf.sort, snt.Linear(2)]), (3, 4), ()),
]
