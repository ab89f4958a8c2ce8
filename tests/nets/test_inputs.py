"""Tests of the checks of arguments and inputs: errors of one line."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from weirdonetworks.nets import inputs
from weirdonetworks.nets.frames import TurnFrame
from weirdonetworks.nets.group_convolution import LiftingConv2D
from weirdonetworks.nets.inputs import checked_images
from weirdonetworks.nets.small.convolution_networks import ConvolutionNetwork, LeNet
from weirdonetworks.nets.small.image_autoencoder import Autoencoder
from weirdonetworks.nets.small.pixel_attention import PixelAttention, PixelTransformer


def test_good_images_are_returned_as_they_are() -> None:
    images = tf.zeros([2, 3, 4, 1])
    assert checked_images(images, minimum=3) is images


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("network", "options"),
    [
        (Autoencoder(4), {}),
        (ConvolutionNetwork(3), {"is_training": False}),
        (TurnFrame().canonical, {}),
        (TurnFrame().images, {}),
        (LeNet(3), {}),
        (LiftingConv2D(2, 3), {}),
        (PixelAttention(4), {}),
        (PixelTransformer(3, size=4), {}),
    ],
)
def test_arrays_will_do_for_tensors(network: Any, options: dict[str, Any]) -> None:
    images = np.random.default_rng(0).normal(size=(2, 12, 12, 1)).astype(np.float32)
    found = network(images, **options)
    np.testing.assert_array_equal(found, network(tf.constant(images), **options))
    with pytest.raises(ValueError, match="must be"):
        network(images[0], **options)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ([2, 3, 4], tf.float32, r"shape \(2, 3, 4\) must be \[batch, height, width, channels\], all sizes known"),
        ([2, 3, 2, 1], tf.float32, "must be at least 3 x 3 pixels"),
        ([2, 2, 3, 1], tf.float32, "must be at least 3 x 3 pixels"),
        ([2, 3, 3, 1], tf.uint8, "type uint8 must be floating point"),
    ],
)
def test_bad_images_are_refused(shape: list[int], dtype: tf.DType, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_images(tf.zeros(shape, dtype), minimum=3)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: inputs.checked_function("network", 3), r"^network \(=3\) must be a module or a function\.$"),
        (lambda: inputs.checked_choice("kind", "x", ("a", "b")), r"^kind \(='x'\) must be one of a, b\.$"),
        (lambda: inputs.checked_sizes("sizes", 3), r"^sizes \(=3\) must be a list of integers"),
        (lambda: inputs.checked_sizes("sizes", [2, 0]), r"^sizes \(=0\) must be at least 1\.$"),
        (lambda: inputs.checked_sizes("sizes", []), r"^sizes must hold at least one\.$"),
        (lambda: inputs.checked_seed(None, "dropout"), r"^seed \(=None\) must be given in training with dropout"),
        (lambda: inputs.checked_seed((1, 2, 3), "dropout"), r"shape \(3,\) must be two integers"),
        (lambda: inputs.checked_seed((0.5, 1.0), "dropout"), "type float32 .* must be two integers"),
        (lambda: inputs.check_width(tf.zeros([2, 3, 2]), 5), r"shape \(2, 3, 2\) must have width 5, as at the first"),
        (lambda: inputs.checked_mask([[True], [False]], tf.TensorShape([2, 1])), r"leaves none in set 1 of"),
        (lambda: inputs.checked_mask([True], tf.TensorShape([2, 1])), r"shape \(1,\) must have shape \(2, 1\)"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(check: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as refused:
        check()
    assert "\n" not in str(refused.value)
