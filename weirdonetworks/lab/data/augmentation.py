"""Augmentation inside the compiled step: a random transformation of each image of a batch."""

import tensorflow as tf

from weirdonetworks.algebra.actions import ActionLike, LinearAction, Placement, as_action, items
from weirdonetworks.algebra.actions.maps import SparseMaps
from weirdonetworks.algebra.arrays import written
from weirdonetworks.algebra.groups.permutation_groups import LISTED, PermutationGroup
from weirdonetworks.nets.inputs import is_known
from weirdonetworks.nets.orbits import drawn


class RandomTransform:
    """An augmentation by a transformation drawn uniformly for each image.

    >>> from weirdonetworks.algebra import image_rotations, pixels
    >>> move = RandomTransform(image_rotations(2, 2))
    >>> move(tf.reshape(tf.range(4.0), [1, 2, 2, 1]), seed=(1, 2)).shape.as_list()
    [1, 2, 2, 1]
    >>> RandomTransform(pixels())(tf.ones([2, 5, 5, 3]), seed=(1, 2)).shape.as_list()
    [2, 5, 5, 3]
    """

    def __init__(self, action: ActionLike):
        """Takes the action that transformations are drawn from.

        Args:
          action: An action on images, such as `pixels()`; a bare group on the pixels, for all channels alike, or on all
            entries of an image; or image transformations of one size, at least one.

        Raises:
          TypeError: If it is none of these.
          ValueError: If there is no transformation, they differ in size, or the group is too large to list.
        """
        # A bare group acts on pixels, channels alike, if its degree is their number; else on all entries.
        self._is_bare = isinstance(action, PermutationGroup)
        self.action = items(action) if isinstance(action, PermutationGroup) else as_action("action", action)
        if isinstance(self.action, LinearAction):
            raise TypeError(
                f"action (={action!r}) must move pixels: a group of matrices acts on vectors, not on images."
            )
        if self.action.order > LISTED:
            raise ValueError(
                f"action (={action!r}) must have at most {LISTED} elements, and has {written(self.action.order)}. Take "
                "a smaller group, or a list of transformations."
            )
        self._maps: dict[tuple[int, ...], tuple[Placement, SparseMaps]] = {}

    def __call__(self, images: tf.Tensor, seed: tf.Tensor | tuple[int, int]) -> tf.Tensor:
        """Transforms images `[batch, height, width, channels]` of any type to float32 of the same shape.

        Args:
          images: The images.
          seed: Two integers; equal seeds draw equal transformations.

        Raises:
          ValueError: If the images are no such batch, or do not fit the action.
        """
        images = tf.convert_to_tensor(images)
        if images.shape.rank != 4 or not is_known(images.shape):
            raise ValueError(
                f"images of shape {images.shape} must be [batch, height, width, channels], the last three known."
            )
        place, maps = self._on(tuple(images.shape[1:]))
        flat = tf.cast(tf.reshape(images, [-1, place.positions, place.channels]), tf.float32)
        chosen = drawn([tf.shape(flat)[0]], len(maps), seed)
        indices = tf.gather(maps.indices.astype("int32"), chosen)
        weights = None if maps.weights is None else tf.gather(maps.weights.astype("float32"), chosen)
        moved = 0.0 if maps.offset is None else tf.gather(maps.offset.astype("float32"), chosen)[..., None]
        for tap in range(indices.shape[2]):
            values = tf.gather(flat, indices[..., tap], axis=1, batch_dims=1)
            moved += values if weights is None else weights[..., tap, None] * values
        return tf.reshape(moved, tf.shape(images))

    def _on(self, shape: tuple[int, ...]) -> tuple[Placement, SparseMaps]:
        if shape not in self._maps:
            height, width, channels = shape
            lists_pixels = self._is_bare and self.action.group.degree == height * width  # type: ignore[union-attr]
            listed = (height * width, channels) if lists_pixels else (height * width * channels,)
            place = self.action.on(listed if self._is_bare else shape)
            self._maps[shape] = place, place.maps(self.action.elements())  # type: ignore[assignment]
        return self._maps[shape]
