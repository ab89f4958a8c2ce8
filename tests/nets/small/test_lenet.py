"""Tests of LeNet, against NumPy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tests.nets.convolutions import Array, convolved, dense, quartered
from weirdonetworks.nets.small.convolution_networks import LeNet

IMAGES = np.random.default_rng(0).normal(size=(3, 28, 28, 1))


def scaled_tanh(values: Array) -> Array:
    return 1.7159 * np.tanh(2 * values / 3)


def expected(network: LeNet, images: Array, activation: Callable[[Array], Array]) -> Array:
    first, second = network.convolutions
    hidden = quartered(activation(convolved(images, first, padding=2))).mean(axis=-1)
    hidden = quartered(activation(convolved(hidden, second))).mean(axis=-1)
    hidden = activation(dense(hidden, network.layers[0]))
    return dense(activation(dense(hidden, network.layers[1])), network.layers[2])


def test_network_is_its_layers() -> None:
    network = LeNet()
    outputs = network(tf.constant(IMAGES)).numpy()
    error = np.abs(outputs - expected(network, IMAGES, scaled_tanh)).max() / np.abs(outputs).max()
    assert error < 1e-12
    other = np.abs(outputs - expected(network, IMAGES, np.tanh)).max() / np.abs(outputs).max()
    assert other > 1e-2


def test_network_has_the_sizes_of_the_paper() -> None:
    network = LeNet()
    network(tf.constant(IMAGES))
    shapes = [tuple(variable.shape) for variable in network.trainable_variables if variable.shape.rank > 1]
    assert sorted(shapes) == sorted([(5, 5, 1, 6), (5, 5, 6, 16), (400, 120), (120, 84), (84, 10)])
    assert sum(math.prod(variable.shape) for variable in network.trainable_variables) == 61_706


def test_images_of_12_pixels_are_the_smallest() -> None:
    assert LeNet(4)(tf.zeros([1, 12, 12, 3])).shape == (1, 4)
    with pytest.raises(ValueError, match="must be at least 12 x 12 pixels"):
        LeNet(4)(tf.zeros([1, 12, 11, 3]))


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (2.0, TypeError)])
def test_a_bad_number_of_classes_is_refused(size: float, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"num_classes \(={size}\) must be"):
        LeNet(size)  # type: ignore[arg-type]
