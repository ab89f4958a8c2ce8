"""Tests of the image autoencoder, against NumPy."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.nets.convolutions import Array, dense
from weirdonetworks.nets.small.image_autoencoder import Autoencoder

IMAGES = np.random.default_rng(0).normal(size=(3, 8, 13, 2))


def squares(images: Array, layer: object) -> Array:
    """A 2 x 2 convolution of stride 2, and ReLU; an odd last row and column are left out."""
    rows, columns = images.shape[1] // 2, images.shape[2] // 2
    parts = images[:, : 2 * rows, : 2 * columns].reshape(len(images), rows, 2, columns, 2, -1)
    return np.maximum(np.einsum("bricjd,ijde->brce", parts, layer.w.numpy()) + layer.b.numpy(), 0)  # type: ignore


def test_network_is_its_layers() -> None:
    network = Autoencoder(5)
    outputs = network(tf.constant(IMAGES)).numpy()
    hidden = IMAGES
    for layer in network.convolutions:
        hidden = squares(hidden, layer)
    codes = dense(hidden, network.to_code)
    np.testing.assert_allclose(network.encode(tf.constant(IMAGES)), codes, rtol=1e-10)
    first, second = network.layers
    expected = dense(np.maximum(dense(codes, first), 0), second).reshape(IMAGES.shape)
    assert np.abs(outputs - expected).max() / np.abs(expected).max() < 1e-12
    linear = dense(dense(codes, first), second).reshape(IMAGES.shape)
    assert np.abs(outputs - linear).max() / np.abs(expected).max() > 1e-2


def test_network_has_the_sizes_it_is_known_for() -> None:
    network = Autoencoder()
    network(tf.zeros([1, 28, 28, 1]))
    shapes = [tuple(variable.shape) for variable in network.trainable_variables if variable.shape.rank > 1]
    assert sorted(shapes) == sorted([(2, 2, 1, 4), (2, 2, 4, 8), (392, 32), (32, 392), (392, 784)])
    assert sum(math.prod(variable.shape) for variable in network.trainable_variables) == 333_780


def test_all_comes_through_the_code() -> None:
    network = Autoencoder(5)
    images = tf.constant(IMAGES)
    np.testing.assert_array_equal(network(images), network.decode(network.encode(images)))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"code_size \(=0\) must be at least 1"):
        Autoencoder(0)
    with pytest.raises(ValueError, match="must be at least 4 x 4 pixels"):
        Autoencoder(2)(tf.zeros([1, 4, 3, 1]))
    network = Autoencoder(2)
    with pytest.raises(ValueError, match="only once images were encoded"):
        network.decode(tf.zeros([1, 2]))
    network(tf.zeros([1, 8, 8, 1]))
    with pytest.raises(ValueError, match=r"shape \(1, 8, 9, 1\) must be \(8, 8, 1\) each, as at the first call"):
        network(tf.zeros([1, 8, 9, 1]))  # After two strides as large as the first, which the layers could not tell.
