"""Tests of the layers found in Sonnet and Keras networks."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.measure.conserved import conserved_quantities, drift
from weirdonetworks.measure.layer_chain import Layer, layers_of

SPARSE = tf.nn.sparse_softmax_cross_entropy_with_logits


def described(layers: Sequence[Layer]) -> list[tuple[Any, ...]]:
    """What layers are made of: shape, whether there is a bias, the activation at -2 and 2, and the norm."""
    return [
        (
            *layer.weights.shape,
            layer.bias is not None,
            None if layer.activation is None else np.ravel(layer.activation(tf.constant([[-2.0, 2.0]]))).tolist(),
            None if layer.norm is None else (layer.norm.kind, len(layer.norm.variables)),
        )
        for layer in layers
    ]


def test_sonnet_networks_are_read() -> None:
    network = snt.Sequential(
        [
            *(snt.Conv2D(2, 3), tf.nn.relu, snt.Flatten()),
            *(snt.Linear(5, with_bias=False), snt.LayerNorm(-1, True, False), tf.nn.relu, tf.negative),
            snt.Sequential([snt.nets.MLP([4, 3], activation=tf.abs, activate_final=True)]),
            snt.Linear(2),
        ]
    )
    network(tf.zeros([1, 3, 3, 1]))
    convolution, *dense = layers_of(network)
    assert convolution.weights.shape == (3, 3, 1, 2) and convolution.activation(tf.zeros([1, 3, 3, 2])).shape == (1, 18)
    assert described(dense) == [
        (18, 5, False, [0, -2], ("layer", 1)),
        (5, 4, True, [2, 2], None),
        (4, 3, True, [2, 2], None),
        (3, 2, True, None, None),
    ]
    dropping = snt.nets.MLP([4, 3], dropout_rate=0.5)
    dropping(tf.zeros([1, 2]), is_training=False)
    found = conserved_quantities(dropping, SPARSE)
    assert [each.name for each in found] == ["layer_1/class_sums"]


def test_keras_networks_are_read() -> None:
    kinds = tf.keras.layers
    network = tf.keras.Sequential(
        [
            *(
                kinds.Conv1D(2, 1, activation="relu"),
                kinds.Flatten(),
                kinds.Dense(5),
                kinds.BatchNormalization(),
                kinds.ReLU(),
            ),
            *(tf.keras.Sequential([kinds.Dense(4, activation="relu", use_bias=False)]), kinds.Dense(3)),
            *(kinds.Dropout(0.5), kinds.Dense(2, activation="softmax")),
        ]
    )
    network(np.zeros([1, 3, 2], np.float32))
    convolution, *layers = layers_of(network)
    assert convolution.weights.shape == (1, 2, 2) and convolution.bias.shape == (2,)
    assert described([*layers[:2], dataclasses.replace(layers[2], activation=None)]) == [
        (6, 5, True, [0, 2], ("batch", 2)),
        (5, 4, False, [0, 2], None),
        (4, 3, True, None, None),
    ]
    found = conserved_quantities(network, tf.keras.losses.SparseCategoricalCrossentropy())
    assert [each.name for each in found] == [
        *("layer_0/balance", "layer_0/equal_units", "layer_1/length", "layer_1/balance", "layer_1/equal_units"),
        *("layer_2/balance", "layer_2/equal_units", "layer_4/class_sums"),
    ]
    before = [each.value() for each in found]
    network.layers[-1].kernel.assign_add(np.eye(3, 2))
    assert [drift(one, each.value()) > 0 for one, each in zip(before, found, strict=True)] == [False] * 7 + [True]


def test_norms_along_other_axes_and_frozen_ones_are_maps() -> None:
    kinds = tf.keras.layers
    for norm in (
        kinds.BatchNormalization(axis=1),
        kinds.LayerNormalization(axis=(1, 2)),
        kinds.BatchNormalization(scale=False, center=False, trainable=False),
    ):
        network = tf.keras.Sequential([kinds.Conv2D(4, 1), norm, kinds.Flatten(), kinds.Dense(3)])
        network(np.zeros([1, 4, 4, 2], np.float32))
        layers = layers_of(network)
        assert [layer.norm for layer in layers] == [None, None]
        assert "length" not in str([each.name for each in conserved_quantities(layers, SPARSE)])


def test_images_of_any_shape_and_types_of_weights_are_taken() -> None:
    kinds = tf.keras.layers
    with_flattening = tf.keras.Sequential([kinds.Conv2D(4, 1, activation="relu"), kinds.Flatten(), kinds.Dense(3)])
    with_flattening(np.zeros([1, 6, 3, 2], np.float32))
    double = tf.keras.Sequential(
        [kinds.Dense(4, dtype="float64"), kinds.ReLU(dtype="float64"), kinds.Dense(3, dtype="float64")]
    )
    double(np.zeros([1, 2]))
    for network in (with_flattening, double):
        names = [each.name for each in conserved_quantities(network, SPARSE)]
        assert names == ["layer_0/balance", "layer_0/equal_units", "layer_1/class_sums"]
