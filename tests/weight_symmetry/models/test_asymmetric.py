"""The dense layer some of whose weights are constants."""

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weight_symmetry import alignment
from weight_symmetry.models import AsymmetricLinear, examples
from weirdonetworks.measure.unit_graph import UnitGraph

X = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)


def test_fixed_weights_are_the_same_in_all_networks_and_get_no_gradient() -> None:
    one, other = (AsymmetricLinear(4, 0.4, deviation=2.0, seed=1) for _ in range(2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(one(X)))
    other(X)
    np.testing.assert_array_equal(one.constants, other.constants)
    assert one.fixed.sum(axis=0).tolist() == [2] * 4 and not np.array_equal(one.w, other.w)
    gradient = tape.gradient(loss, one.w).numpy()
    assert (gradient[one.fixed] == 0).all() and (gradient[~one.fixed] != 0).all()
    weights = np.where(one.fixed, one.constants, one.w)
    np.testing.assert_allclose(one(X), X @ weights, rtol=1e-5, atol=1e-5)
    third = AsymmetricLinear(4, 0.4, seed=2)
    third(X)
    assert not np.array_equal(one.fixed, third.fixed)


def test_no_units_are_left_to_align() -> None:
    images = tf.ones([2, 4, 4, 1])
    models = [examples.asymmetric_mlp((6, 5), 3) for _ in range(2)]
    assert all(not UnitGraph.trace(model, images).free for model in models)
    assert len(UnitGraph.trace(examples.mlp((6, 5), 3), images).free) == 2  # The control.
    assert not alignment.match(*models, images).by_space


def test_values_out_of_range_are_refused() -> None:
    for share in (0.0, 1.5):
        with pytest.raises(ValueError, match=rf"^fixed_share \(={share}\) must be in \(0, 1\]"):
            AsymmetricLinear(3, share)
    # Constants of zero are a mask: outputs with the same fixed places could change places.
    with pytest.raises(ValueError, match=r"^deviation \(=0\) must be above 0. For zeros, Masks.create"):
        AsymmetricLinear(3, deviation=0)
    with pytest.raises(ValueError, match="must have width 5"):
        layer = snt.Sequential([AsymmetricLinear(3)])
        layer(X)
        layer(X[:, :4])
