"""Tests of attention over pixels: values against NumPy, and equivariance under permutations of the pixels."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from weirdonetworks.algebra import items
from weirdonetworks.measure.stability import equivariance_error, invariance_error
from weirdonetworks.nets.small.pixel_attention import PixelAttention, PixelTransformer
from weirdonetworks.testing import assert_equivariant

IMAGES = np.random.default_rng(0).normal(size=(3, 6, 5, 2))
FLAT = IMAGES.reshape(3, 30, 2)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def on_lists(network: Any) -> Any:
    """A network of images as one of lists of pixels, of which all permutations are tried, or some."""
    return lambda pixels: tf.reshape(network(tf.reshape(pixels, [-1, 6, 5, 2])), [-1, 30, 8])


def test_layer_is_equivariant_under_all_permutations_of_pixels() -> None:
    assert_equivariant(on_lists(PixelAttention(8, num_heads=2)), FLAT, items(30), tolerance=1e-12)


@pytest.mark.slow
def test_a_layer_with_a_window_is_not() -> None:
    layer = on_lists(PixelAttention(8, num_heads=2, window=1))
    assert equivariance_error(layer, FLAT, items(30), dtype=tf.float64).overall_relative > 1e-2


def change(**options: Any) -> float:
    """The largest change of a network's outputs over permutations of the pixels, over their size."""
    network = PixelTransformer(4, size=8, **options)
    on_pixels = lambda pixels: network(tf.reshape(pixels, [-1, 6, 5, 2]))  # noqa: E731
    return invariance_error(on_pixels, FLAT, items(30), dtype=tf.float64).overall_relative


@pytest.mark.slow
def test_network_without_positions_and_window_is_invariant() -> None:
    assert change(with_positions=False) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"with_positions": False, "window": 1}])
def test_a_network_that_is_told_of_places_is_not(options: dict[str, Any]) -> None:
    assert change(**options) > 1e-3


@pytest.mark.parametrize("window", [None, 2])
def test_layer_is_multihead_attention(window: int | None) -> None:
    layer = PixelAttention(6, num_heads=3, window=window)
    layer(tf.constant(IMAGES))
    for biased in (layer.queries, layer.values, layer.output):
        biased.b.assign(np.random.default_rng(2).normal(size=6))
    outputs = layer(tf.constant(IMAGES)).numpy()
    pixels = IMAGES.reshape(3, 30, 2)
    projected = [pixels @ each.w.numpy() for each in (layer.queries, layer.keys, layer.values)]
    projected[0] += layer.queries.b.numpy()
    projected[2] += layer.values.b.numpy()
    places = np.stack(np.divmod(np.arange(30), 5))
    hidden = np.abs(places[:, :, None] - places[:, None]).max(axis=0) > (9 if window is None else window)
    heads = []
    for head in range(3):
        queries, keys, values = (each[..., 2 * head : 2 * head + 2] for each in projected)
        weights = np.exp(np.where(hidden, -np.inf, queries @ keys.transpose(0, 2, 1) / 2**0.5))
        heads.append(weights / weights.sum(axis=-1, keepdims=True) @ values)
    expected = np.concatenate(heads, axis=-1) @ layer.output.w.numpy() + layer.output.b.numpy()
    assert relative_error(outputs.reshape(expected.shape), expected) < 1e-12


def test_maps_are_those_that_the_blocks_use() -> None:
    """A change of one pixel's query changes what it looks at, and the maps say where: they weigh the values."""
    network = PixelTransformer(4, size=8, num_blocks=1)
    images = tf.constant(IMAGES)
    network(images)
    maps = network.attention_maps(images, (2, 3)).numpy()
    assert maps.shape == (3, 1, 2, 6, 5)
    np.testing.assert_allclose(maps.sum(axis=(3, 4)), 1, rtol=1e-12)
    attention = network.blocks[0].attention
    inputs = network.blocks[0].norms[0](network._embedded(images))
    values = (inputs.numpy() @ attention.values.w.numpy() + attention.values.b.numpy()).reshape(3, 6, 5, 2, 4)
    attended = np.einsum("bhrc,brchd->bhd", maps[:, 0], values).reshape(3, 8)
    expected = attended @ attention.output.w.numpy() + attention.output.b.numpy()
    assert relative_error(attention(inputs).numpy()[:, 2, 3], expected) < 1e-12


@pytest.mark.exhaustive
@pytest.mark.parametrize("rows", [1, 3, 6])
def test_rows_change_rounding_only(rows: int) -> None:
    tf.random.set_seed(3)
    expected = PixelTransformer(4, size=8)(tf.constant(IMAGES)).numpy()
    tf.random.set_seed(3)
    found = PixelTransformer(4, size=8, rows=rows)(tf.constant(IMAGES)).numpy()
    assert relative_error(found, expected) < 1e-12


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"size": 6, "num_heads": 4}, ValueError, r"size \(=6\) must be divisible by num_heads \(=4\)"),
        ({"size": 0}, ValueError, r"size \(=0\) must be at least 1"),
        ({"num_heads": 0}, ValueError, r"num_heads \(=0\) must be at least 1"),
        ({"window": -1}, ValueError, r"window \(=-1\) must be at least 0"),
        ({"rows": 1.0}, TypeError, r"rows \(=1.0\) must be an integer"),
        ({"num_blocks": 0}, ValueError, r"num_blocks \(=0\) must be at least 1"),
        ({"num_classes": 0}, ValueError, r"num_classes \(=0\) must be at least 1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PixelTransformer(**options)


def test_positions_are_for_one_size_of_images() -> None:
    network = PixelTransformer(4, size=8)
    network(tf.constant(IMAGES))
    with pytest.raises(ValueError, match=r"shape \(3, 5, 6, 2\) must have \(6, 5\) pixels, as at the first call"):
        network(tf.constant(IMAGES.transpose(0, 2, 1, 3)))
    free = PixelTransformer(4, size=8, with_positions=False)
    free(tf.constant(IMAGES))
    assert free(tf.constant(IMAGES.transpose(0, 2, 1, 3))).shape == (3, 4)
