"""The correction of gradients by the fan-in."""

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weight_symmetry.masks import Masks, create, gradient_ratios
from weight_symmetry.masks.fan_in import fan_in_scale


def gradients(layer: snt.Linear, normalised: bool) -> list[np.ndarray]:
    inputs = tf.random.stateless_normal([400, 200], [1, 2])
    with tf.GradientTape() as tape:
        logits = layer(inputs)
        if normalised:
            logits = snt.BatchNorm(False, False)(logits, is_training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(400) % 40, logits))
    return [each.numpy() for each in tape.gradient(loss, [layer.w])]


@pytest.mark.parametrize("sparsity", [0.9, 0.97])
def test_batch_norm_amplifies_the_gradients_of_sparse_neurons(sparsity: float) -> None:
    ratios = {}
    for mask_type in ("random", "per-neuron"):
        for normalised in (True, False):
            layer = snt.Linear(40, with_bias=False, w_init=snt.initializers.RandomNormal(stddev=0.1, seed=1))
            layer(tf.zeros([1, 200]))
            drawn = create(mask_type, [(200, 40)], sparsity, seed=2)
            (found,) = gradient_ratios(Masks(layer), drawn, lambda: gradients(layer, normalised))  # noqa: B023
            fans = drawn[0].sum(axis=0)
            ratios[mask_type, normalised] = found * np.sqrt(fans / 200)
    for mask_type in ("random", "per-neuron"):
        assert np.nanmean(ratios[mask_type, True]) == pytest.approx(1, abs=0.12)
        assert abs(np.nanmean(ratios[mask_type, False]) - 1) > 0.5  # A control: without batch norm there is none.


def test_the_correction_scales_by_the_fan_in() -> None:
    model = snt.Linear(4, with_bias=False)
    model(tf.zeros([1, 6]))
    masks = Masks(model)
    mask = np.array([[1, 1, 1, 0]] * 3 + [[1, 0, 0, 0]] * 3, bool)
    masks.set([mask])
    ones = [tf.ones([6, 4])]
    (plain,), (corrected,) = masks.masked(ones), masks.masked(ones, corrects_fan_in=True)
    np.testing.assert_array_equal(plain.numpy(), mask)
    np.testing.assert_allclose(corrected.numpy(), mask * np.sqrt(np.array([6, 3, 3, 0]) / 3), rtol=1e-6)
    before = model.w.numpy()
    masks.wrap(snt.optimizers.SGD(1.0), corrects_fan_in=True).apply(ones, [model.w])
    np.testing.assert_allclose(before - model.w.numpy(), corrected.numpy(), rtol=1e-5, atol=1e-6)
    # With a constant fan-in it changes nothing.
    masks.set(create("per-neuron", [(6, 4)], 0.5, seed=0))
    np.testing.assert_array_equal(masks.masked(ones, corrects_fan_in=True)[0].numpy(), masks.arrays[0])
    rows = tf.IndexedSlices(tf.ones([2, 4]), tf.constant([0, 5]), tf.constant([6, 4]))
    (few,) = masks.masked([rows], corrects_fan_in=True)
    np.testing.assert_array_equal(few.values.numpy(), masks.arrays[0][[0, 5]])


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(784, 300), (70_000, 2)], ids=str)
def test_half_precision_neither_overflows_nor_stagnates(shape: tuple[int, int], dtype: tf.DType) -> None:
    mask = np.ones(shape)
    np.testing.assert_array_equal(tf.cast(fan_in_scale(mask, dtype), tf.float32), np.ones(shape[1]))
    mask[shape[0] // 2 :, 1] = 0
    found = fan_in_scale(mask, dtype)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, tf.cast(fan_in_scale(mask, tf.float32), dtype))
