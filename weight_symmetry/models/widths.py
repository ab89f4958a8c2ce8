"""Sizes of the layers of the classifiers: apart, since settings are read without TensorFlow."""

import itertools
from collections.abc import Mapping
from typing import Any

FEATURES = (300, 100)  # Of MNIST_FC.
FILTERS = {"MNIST_CNN": (16, 32), "CIFAR10_CNN": (32, 32, 64, 64, 128, 128)}
KERNELS = {"MNIST_CNN": 5, "CIFAR10_CNN": 3}  # The filters' height and width.
DENSE_SIZE = 64  # The width of the dense layer of MNIST_CNN.


def layer_sizes(
    model: str, options: Mapping[str, Any], image_size: int = 784, channels: int = 1, classes: int = 10
) -> list[int]:
    """Counts the weights of each layer of a classifier, from its keyword arguments.

    >>> layer_sizes("MNIST_FC", {"features": (300, 100)})
    [235200, 30000, 1000]
    >>> layer_sizes("CIFAR10_CNN", {"filters": (4, 8)}, channels=3)
    [108, 288, 80]
    """
    outputs = options.get("num_classes", classes)
    if model == "MNIST_FC":
        return _products([image_size, *options.get("features", FEATURES), outputs])
    filters = options.get("filters", FILTERS[model])
    dense = [options.get("dense_size", DENSE_SIZE)] if model == "MNIST_CNN" else []
    kernel = options.get("kernel_size", KERNELS[model]) ** 2
    return [kernel * size for size in _products([channels, *filters])] + _products([*filters[-1:], *dense, outputs])


def _products(sizes: list[int]) -> list[int]:
    return [before * after for before, after in itertools.pairwise(sizes)]
