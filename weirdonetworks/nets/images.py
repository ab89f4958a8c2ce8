"""What networks on images ask of them."""

import tensorflow as tf


def checked_images(images: tf.Tensor, minimum: int = 1) -> tf.Tensor:
    """Returns images `[batch, height, width, channels]` as they are, as a tensor.

    Raises:
      ValueError: If they have another rank, a size after the batch is not known, a side is below `minimum`, there is
        no channel, or the numbers are no floating-point ones.
    """
    images = tf.convert_to_tensor(images)
    if images.shape.rank != 4 or not images.shape[1:].is_fully_defined():
        raise ValueError(f"images of shape {images.shape} must be [batch, height, width, channels], all sizes known.")
    if min(images.shape[1:3]) < minimum:
        raise ValueError(f"images of shape {images.shape} must be at least {minimum} x {minimum} pixels.")
    if not images.shape[3]:
        raise ValueError(f"images of shape {images.shape} must have at least one channel.")
    if not images.dtype.is_floating:
        raise ValueError(f"images of type {images.dtype.name} must be floating point.")
    return images
