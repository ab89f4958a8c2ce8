"""Images are checked in one line."""

import pytest
import tensorflow as tf

from weirdonetworks.nets.images import checked_images


def test_good_images_are_returned_as_they_are() -> None:
    images = tf.zeros([2, 3, 4, 1])
    assert checked_images(images, minimum=3) is images


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
