"""Tests of the convolutional network with max pooling, against NumPy."""

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.nets.convolutions import convolved, dense, quartered
from weirdonetworks.nets.small.convolution_networks import ConvolutionNetwork

IMAGES = np.random.default_rng(0).normal(size=(4, 9, 8, 2))
SEED = np.array([3, 4], np.int32)
SMALL: dict[str, Any] = {"num_classes": 3, "filters": (3, 4), "dense_size": 50}


def test_network_is_its_layers() -> None:
    network = ConvolutionNetwork(**SMALL)
    outputs = network(tf.constant(IMAGES), is_training=False).numpy()
    hidden = IMAGES
    for layer in network.convolutions:
        hidden = np.maximum(convolved(hidden, layer), 0)
    largest, mean = quartered(hidden).max(axis=-1), quartered(hidden).mean(axis=-1)
    errors = []
    for pooled in (largest, mean):
        expected = dense(np.maximum(dense(pooled, network.hidden), 0), network.output)
        errors.append(np.abs(outputs - expected).max() / np.abs(outputs).max())
    assert errors[0] < 1e-12 and errors[1] > 1e-2


def test_network_has_the_sizes_it_is_known_for() -> None:
    network = ConvolutionNetwork()
    network(tf.zeros([1, 28, 28, 1]), is_training=False)
    assert sum(math.prod(variable.shape) for variable in network.trainable_variables) == 1_199_882


@pytest.mark.slow
@pytest.mark.parametrize("rates", [(0.5, 0.0), (0.0, 0.5)])
def test_each_dropout_drops_in_training_and_keeps_the_mean(rates: tuple[float, float]) -> None:
    network = ConvolutionNetwork(**SMALL, dropout_rates=rates)
    images = tf.constant(IMAGES[:1])
    plain = network(images, is_training=False).numpy()
    drawn = [network(images, is_training=True, seed=tf.constant([3, i])).numpy() for i in range(40)]
    assert np.std(drawn, axis=0).min() > 0
    if rates[0] == 0:  # Only a linear layer follows the second one.
        mean, error = np.mean(drawn, axis=0), np.std(drawn, axis=0) / math.sqrt(len(drawn))
        assert (np.abs(mean - plain) < 5 * error).all()


def test_the_two_dropouts_draw_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    indices = []

    def spy(hidden: tf.Tensor, rate: float, *, is_training: bool, seed: tf.Tensor, index: int) -> tf.Tensor:
        indices.append((index, rate))
        return hidden

    monkeypatch.setattr("weirdonetworks.nets.small.convolution_networks.dropout", spy)
    ConvolutionNetwork(**SMALL)(tf.constant(IMAGES), is_training=True, seed=tf.constant(SEED))
    assert indices == [(0, 0.25), (1, 0.5)]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"filters": (3,)}, ValueError, r"filters \(=\(3,\)\) must hold two numbers"),
        ({"dropout_rates": (0.1, 0.2, 0.3)}, ValueError, r"dropout_rates \(=\(0.1, 0.2, 0.3\)\) must hold two"),
        ({"dropout_rates": (0.1, 1.0)}, ValueError, r"dropout_rates \(=1.0\) must be in \[0, 1\)"),
        ({"filters": (3, 0)}, ValueError, r"filters \(=0\) must be at least 1"),
        ({"dense_size": 2.5}, TypeError, r"dense_size \(=2.5\) must be an integer"),
        ({"num_classes": 0}, ValueError, r"num_classes \(=0\) must be at least 1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ConvolutionNetwork(**options)


def test_bad_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="must be at least 6 x 6 pixels"):
        ConvolutionNetwork(**SMALL)(tf.zeros([1, 6, 5, 1]), is_training=False)
    with pytest.raises(ValueError, match=r"seed \(=None\) must be given in training with dropout"):
        ConvolutionNetwork(**SMALL)(tf.zeros([1, 6, 6, 1]), is_training=True)
