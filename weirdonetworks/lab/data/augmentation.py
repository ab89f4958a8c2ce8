"""Augmentation in the compiled step: each image of a batch is moved by a transformation drawn for it."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from weirdonetworks.algebra.arrays import written
from weirdonetworks.algebra.groups import LISTED, PermutationGroup
from weirdonetworks.algebra.transforms import ImageTransform
from weirdonetworks.nets.orbit_elements import Sparse, drawn, source_of


class RandomTransform:
    """Moves each image by one of some transformations, each as likely, drawn for each image.

    >>> from weirdonetworks.algebra import image_rotations
    >>> move = RandomTransform(image_rotations(2, 2))
    >>> move(tf.reshape(tf.range(4.0), [1, 2, 2, 1]), seed=(1, 2)).shape.as_list()
    [1, 2, 2, 1]
    """

    def __init__(self, group_or_transforms: PermutationGroup | Iterable[ImageTransform]):
        """Lists what is drawn from.

        Args:
          group_or_transforms: A group on the pixels, which moves all channels alike, or on all numbers of an image; or
            image transformations of one size, at least one.

        Raises:
          TypeError: If it is neither.
          ValueError: If there is no transformation, they differ in size, or the group is too large to list.
        """
        source = source_of(group_or_transforms)
        if source.order > LISTED:
            raise ValueError(
                f"group_or_transforms (={group_or_transforms!r}) must have at most {LISTED} elements, and has "
                f"{written(source.order)}. Take a smaller group, or a list of transformations."
            )
        action = source.every()
        if not isinstance(action, Sparse):
            raise TypeError(
                f"group_or_transforms (={group_or_transforms!r}) must be a PermutationGroup or a list of "
                "ImageTransforms: a group of matrices acts on vectors, not on images."
            )
        self._action, self._number = action, source.order
        matrices = action.matrices
        self._indices = matrices.indices
        self._weights = None if matrices.weights is None else np.asarray(matrices.weights, np.float32)
        self._offset = None if action.offset is None else np.asarray(action.offset, np.float32)

    def __call__(self, images: tf.Tensor, seed: tf.Tensor | tuple[int, int]) -> tf.Tensor:
        """Moves images `[batch, height, width, channels]` of any type to float32 of the same shape.

        Args:
          images: The images.
          seed: Two integers; the same ones draw the same transformations.

        Raises:
          ValueError: If the images are no such batch, or of another size than what moves them.
        """
        images = tf.convert_to_tensor(images)
        flat = tf.cast(tf.reshape(images, [-1, self._action.points, self._channels(images.shape)]), tf.float32)
        chosen = drawn([tf.shape(flat)[0]], self._number, seed)
        indices = tf.gather(self._indices, chosen)
        weights = None if self._weights is None else tf.gather(self._weights, chosen)
        moved = 0.0 if self._offset is None else tf.gather(self._offset, chosen)[..., None]
        for tap in range(indices.shape[2]):
            values = tf.gather(flat, indices[..., tap], axis=1, batch_dims=1)
            moved += values if weights is None else weights[..., tap, None] * values
        return tf.reshape(moved, tf.shape(images))

    def _channels(self, shape: tf.TensorShape) -> int:
        """Counts the channels that move alike: those of the images, or 1 where a group acts on all their numbers."""
        if shape.rank != 4 or not shape[1:].is_fully_defined():
            raise ValueError(f"images of shape {shape} must be [batch, height, width, channels], the last three known.")
        points, frame = self._action.points, self._action.frame
        if frame is None and points not in (shape[1:3].num_elements(), shape[1:].num_elements()):
            raise ValueError(f"images of shape {shape} must have {points} pixels or values, on which the group acts.")
        if frame is not None and shape[1:3] != frame:
            rows, columns = frame
            raise ValueError(f"images of shape {shape} must have {points} pixels, {rows} x {columns}, to be moved.")
        return int(shape[1:].num_elements()) // points
