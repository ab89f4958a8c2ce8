"""Tests of activation functions, against their formulas."""

import numpy as np
import tensorflow as tf

from weirdonetworks.nets.small.activations import ScaledTanh


def test_scaled_tanh_is_its_formula() -> None:
    values = np.linspace(-5, 5, 101)
    outputs = ScaledTanh()(tf.constant(values)).numpy()
    np.testing.assert_allclose(outputs, 1.7159 * np.tanh(2 / 3 * values), rtol=1e-14)


def test_scaled_tanh_bends_most_near_1() -> None:
    values = np.linspace(0, 5, 5001)
    outputs = ScaledTanh()(tf.constant(values)).numpy()
    bend = values[1:-1][np.argmax(np.abs(np.diff(outputs, 2)))]
    assert abs(bend - 1) < 0.02
    assert abs(outputs[1000] - 1) < 1e-4
