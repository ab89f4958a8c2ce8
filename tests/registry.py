"""Every public Sonnet module of the project, once: how to construct it, and what it takes.

A new module needs one entry here and a golden file (`python -m tests.conformance.update_goldens`); the suites in
`tests/conformance` then run over it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import sonnet as snt
import tensorflow as tf

from weight_symmetry.layers import MaskedConv2D, MaskedLinear
from weight_symmetry.models import CIFAR10_CNN, MNIST_CNN, MNIST_FC
from weirdonetworks.algebra import image_rotations
from weirdonetworks.lab.optimizers import Adam, Momentum
from weirdonetworks.nets.invariant import InvariantMLP
from weirdonetworks.nets.polynomial import PolynomialLinear, PolynomialMLP, QuadraticMLP


@dataclasses.dataclass(frozen=True)
class Network:
    """A module that maps a batch of one tensor to another.

    Attributes:
      module: Its class.
      shape: The shape of its inputs, batch first.
      options: The constructor's arguments; small sizes make fast tests.
      randomness: Further arguments, with which it is random in training.
      dtype: The type of its inputs.
      takes: Which of `is_training` and `seed` its call takes beside the inputs, as keywords.
      free_axes: The axes after the first whose size it need not know.
      flattens: Whether it takes inputs of every rank from 2 on.
      float64: Whether it computes in float64 too.
    """

    module: type[Any]
    shape: tuple[int, ...]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    randomness: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dtype: tf.DType = tf.float32
    takes: tuple[str, ...] = ()
    free_axes: tuple[int, ...] = ()
    flattens: bool = False
    float64: bool = True

    @property
    def name(self) -> str:
        """The class's name; unique in the registry."""
        return self.module.__name__

    def construct(self, is_random: bool = False) -> snt.Module:
        """Constructs the module; it has no variables before its first call."""
        return self.module(**self.options, **(self.randomness if is_random else {}))

    def build(self, is_random: bool = False) -> snt.Module:
        """Constructs the module and creates its variables."""
        module = self.construct(is_random)
        self.call(module, self.inputs())
        return module

    def inputs(self, batch: int | None = None, seed: int = 0) -> tf.Tensor:
        """Draws inputs, the number in `shape` unless `batch` says otherwise."""
        shape = (self.shape[0] if batch is None else batch, *self.shape[1:])
        rng = np.random.default_rng(seed)
        values = rng.normal(size=shape) if self.dtype.is_floating else rng.integers(0, 2, shape)
        return tf.constant(values, self.dtype)

    def call(
        self, module: Any, inputs: tf.Tensor, is_training: bool = False, seed: tf.Tensor | tuple[int, int] = (1, 2)
    ) -> tf.Tensor:
        """Calls a module of this entry."""
        keywords = {"is_training": is_training, "seed": tf.convert_to_tensor(seed, tf.int32)}
        return module(inputs, **{name: keywords[name] for name in self.takes})


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """A module that moves variables: `initialize(parameters)`, then `apply(updates, parameters, learning_rate)`."""

    module: type[Any]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """The class's name; unique in the registry."""
        return self.module.__name__

    def build(self, parameters: list[tf.Variable]) -> Any:
        """Constructs the optimizer and creates its slots."""
        optimizer = self.module(**self.options)
        optimizer.initialize(parameters)
        return optimizer

    @staticmethod
    def parameters() -> list[tf.Variable]:
        """Makes a matrix and a vector to optimize."""
        return [
            tf.Variable([[1.0, -2.0], [0.5, 3.0], [-1.5, 0.25]], name="w"),
            tf.Variable([0.1, -0.2], name="b"),
        ]

    @staticmethod
    def updates(seed: int) -> list[tf.Tensor]:
        """Draws gradients of `parameters`."""
        rng = np.random.default_rng(seed)
        return [tf.constant(rng.normal(size=shape), tf.float32) for shape in ((3, 2), (2,))]


MODEL = ("is_training", "seed")
DROPOUT = {"dropout_rate": 0.4}
NETWORKS = (
    Network(MaskedLinear, (4, 5), {"output_size": 3}),
    Network(MaskedConv2D, (3, 6, 5, 2), {"output_channels": 4, "kernel_size": 3}, free_axes=(1, 2)),
    Network(MNIST_FC, (4, 6, 6, 1), {"features": (8, 5)}, DROPOUT, takes=MODEL, flattens=True),
    Network(
        MNIST_CNN,
        (4, 8, 8, 1),
        {"filters": (3, 4), "dense_size": 6, "kernel_size": 3},
        DROPOUT,
        takes=MODEL,
        float64=False,  # Sonnet's batch norm of images is a kernel for float32.
    ),
    Network(PolynomialLinear, (4, 3, 3, 1), {"output_size": 3, "degree": 3}, flattens=True),
    Network(PolynomialMLP, (4, 3, 2, 1), {"output_sizes": (5, 2), "degree": 4}, flattens=True),
    Network(QuadraticMLP, (4, 8), {"output_sizes": (5, 2)}, flattens=True),
    Network(
        InvariantMLP,
        (4, 3, 3, 1),
        {"group": image_rotations(3, 3), "degree": 2, "output_sizes": (5, 2)},
        flattens=True,
    ),
    Network(CIFAR10_CNN, (4, 8, 8, 3), {"filters": (3, 4, 5, 6)}, DROPOUT, takes=MODEL),
)
OPTIMIZERS = (
    Optimizer(Adam, {"weight_decay": 0.1}),
    Optimizer(Momentum, {"weight_decay": 0.1}),
)


def name(entry: Network | Optimizer) -> str:
    """Names an entry in the ids of tests."""
    return entry.name
