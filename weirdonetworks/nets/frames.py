"""Frames: a few elements of a group that depend on the input, which is first brought into a standard position."""

from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import tensorflow as tf

from weirdonetworks.algebra.actions import PermutationAction, pixels
from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.algebra.groups import PermutationGroup
from weirdonetworks.algebra.permutations import inverse
from weirdonetworks.nets.inputs import checked_images, checked_set

Given = TypeVar("Given")


@runtime_checkable
class Frame(Protocol):
    """A rule that picks, for each input x, some elements g of a group, and for s.x those that give the same g x."""

    def canonical(self, inputs: tf.Tensor) -> tf.Tensor:
        """Brings each input into its standard position, `[batch, ...]` to the same: the same for x and s.x."""

    def images(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Gives the images of each input under its elements, `[elements, batch, ...]`: the same for x and s.x."""


def checked_frame(frame: Given) -> Given:
    """Returns a frame as it is.

    Raises:
      TypeError: If it is none.
    """
    if not isinstance(frame, Frame):
        raise TypeError(f"frame (={frame!r}) must be a TurnFrame, a SortFrame or an object with their methods.")
    return frame


class Standard:
    """The standard position of a frame alone, as the one image of each input that `Averaged` calls a network on."""

    def __init__(self, frame: Frame):
        """Takes a frame; raises a `TypeError` if it is none."""
        self.frame = checked_frame(frame)

    def images(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps inputs `[batch, ...]` to their standard position, `[1, batch, ...]`."""
        return self.frame.canonical(inputs)[None]


class TurnFrame:
    """Frames of square images for symmetries of the square, the quarter turns or mirror images too, by their moments.

    Of all images g x the standard position is that which, around the middle of the image, is spread most in height
    rather than in width, sum x (row^2 - column^2); among equals, has most of its mass on top; then, to the left; and if
    that leaves several, the one with the largest first pixel, then the largest second, and so on. What is left after
    that are equal images. So it is the same for x and s.x in every case, symmetric images and chance ties among them.

    The frame is that position and its images under the elements that keep the axes: 2 of the 4 turns, 4 of the 8
    symmetries of the square. These are the same set of images where mass goes from top to bottom or from left to right,
    so what is averaged over them jumps only where height and width are spread alike (on 2 x 2 pixels they always are);
    what reads the standard position alone jumps at all these places.

    >>> image = tf.constant([[[[0.0], [1.0]], [[0.0], [2.0]]]])
    >>> for each in (image, tf.image.rot90(image)):
    ...     print(TurnFrame().canonical(each)[0, :, :, 0].numpy().tolist())
    [[1.0, 2.0], [0.0, 0.0]]
    [[1.0, 2.0], [0.0, 0.0]]
    """

    def __init__(self, action: PermutationAction | PermutationGroup | None = None):
        """Chooses the group.

        Args:
          action: An action on square images, `pixels(...)`, or the group that it takes: `image_rotations(2, 2)`, the
            quarter turns, unless given; `image_dihedral(2, 2)`, with mirror images; or a subgroup.

        Raises:
          TypeError: If it is neither.
          ValueError: If it does not consist of symmetries of the square.
        """
        self.action = action if isinstance(action, PermutationAction) else pixels(action)
        if len(self.action.sizes) != 2:
            raise ValueError(f"action (={action!r}) must act on the pixels of square images. Use pixels(...).")

    def canonical(self, inputs: tf.Tensor) -> tf.Tensor:
        """Brings each image into its standard position, `[batch, side, side, channels]` to the same.

        Raises:
          ValueError: If the inputs are no square images.
        """
        inputs, side, channels = _checked_square(inputs)
        images = tf.gather(tf.reshape(inputs, [-1, side * side, channels]), self._gathers(side), axis=1)
        # An image's moments come from it alone, so that rounding breaks no tie one way for x and another for s.x.
        moments = _moments(tf.reshape(tf.reduce_sum(images, axis=3), [-1, images.shape[1], side, side]))
        values = tf.reshape(images, [-1, images.shape[1], side * side * channels])
        chosen = _largest(tf.concat([moments, values], axis=2))
        return tf.reshape(tf.gather(values, chosen, batch_dims=1), [-1, side, side, channels])

    def images(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Gives the images that make up the frame, `[elements, batch, side, side, channels]`.

        Raises:
          ValueError: If the inputs are no square images.
        """
        inputs, side, channels = _checked_square(inputs)
        gathers = self._gathers(side)
        if side > 1:  # Those that keep the axes read the first row off one row.
            gathers = gathers[np.ptp(gathers[:, :side] // side, axis=1) == 0]
        standard = tf.reshape(self.canonical(inputs), [-1, side * side, channels])
        images = tf.transpose(tf.gather(standard, gathers, axis=1), [1, 0, 2, 3])
        return tf.reshape(images, [len(gathers), -1, side, side, channels])

    def _gathers(self, side: int) -> Ints:
        """Gives the pixels that each element reads, `[elements, side * side]`."""
        return inverse(self.action.permutations(self.action.elements(), (side, side)))


class SortFrame:
    """Frames of sets `[batch, items, features]` for all orders of the items: the items sorted, once by each feature.

    The standard position is sorted by the first feature, among equals by the second, and so on; the frame holds, for
    each feature, the items sorted by that one first. Items that tie are equal, so all of it is the same for x and s.x.
    That position jumps where two different items have the same first feature. What is averaged over the frame jumps at
    more places, where they have any feature the same; but there only one of its terms does, of as many as features.

    >>> SortFrame().images(tf.constant([[[2.0, 1.0], [1.0, 5.0]]])).numpy().tolist()
    [[[[1.0, 5.0], [2.0, 1.0]]], [[[2.0, 1.0], [1.0, 5.0]]]]
    """

    def canonical(self, inputs: tf.Tensor) -> tf.Tensor:
        """Sorts the items of each set.

        Raises:
          ValueError: If the inputs are no sets.
        """
        inputs, _ = checked_set(inputs)
        return sorted_lexicographically(inputs)

    def images(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Sorts the items of each set by each feature, to `[features, batch, items, features]`.

        Raises:
          ValueError: If the inputs are no sets.
        """
        inputs, _ = checked_set(inputs)
        rolled = [tf.roll(inputs, -feature, axis=2) for feature in range(inputs.shape[2])]
        return tf.stack([tf.roll(sorted_lexicographically(each), i, axis=2) for i, each in enumerate(rolled)])


def sorted_lexicographically(items: tf.Tensor) -> tf.Tensor:
    """Sorts the items of each set by the first feature, among equals by the second, and so on.

    >>> sorted_lexicographically(tf.constant([[[2.0, 1.0], [1.0, 5.0], [2.0, 0.0]]])).numpy().tolist()
    [[[1.0, 5.0], [2.0, 0.0], [2.0, 1.0]]]

    Args:
      items: Sets, `[batch, items, features]`.

    Returns:
      The sets sorted, of the same shape.

    Raises:
      ValueError: If they are no sets, or the number of features is not known.
    """
    if items.shape.rank != 3 or items.shape[2] is None:
        raise ValueError(f"items of shape {items.shape} must be [batch, items, features], the features known.")
    # Stable sorts, the last feature first: the smallest by `top_k`, which gives equal entries in their order.
    for feature in reversed(range(items.shape[2])):
        order = tf.math.top_k(-items[:, :, feature], tf.shape(items)[1]).indices
        items = tf.gather(items, order, batch_dims=1)
    return items


def _checked_square(images: tf.Tensor) -> tuple[tf.Tensor, int, int]:
    images = checked_images(images)
    _, height, width, channels = images.shape
    if height != width:
        raise ValueError(f"images of shape {images.shape} must be square, to be turned. Crop or pad them.")
    return images, height, channels


def _moments(images: tf.Tensor) -> tf.Tensor:
    """Gives spread in height over that in width, mass on top, and to the left, of `[..., side, side]` as `[..., 3]`."""
    side = images.shape[-1]
    row, column = np.indices((side, side)) - (side - 1) / 2
    # The spread is the same for mirror images, and the mass on top for those by the exchange of left and right. So that
    # it is the same number too, they are added up first, in an order that does not tell them apart.
    both = images + tf.reverse(images, [-1])
    all_four = both + tf.reverse(both, [-2])
    weighted = [(all_four, row**2 - column**2), (both, -row), (images, -column)]
    return tf.stack([tf.reduce_sum(each * tf.constant(w, images.dtype), [-2, -1]) for each, w in weighted], axis=-1)


def _largest(keys: tf.Tensor) -> tf.Tensor:
    """Finds which of the rows `[batch, rows, entries]` is the largest, compared entry by entry, the first decisive."""
    best, chosen = keys[:, 0], tf.zeros_like(keys[:, 0, 0], tf.int32)
    for row in range(1, keys.shape[1]):
        other = keys[:, row]
        first = tf.argmax(tf.cast(other != best, tf.int32), axis=1, output_type=tf.int32)
        is_larger = tf.gather(other > best, first, batch_dims=1)
        best = tf.where(is_larger[:, None], other, best)
        chosen = tf.where(is_larger, row, chosen)
    return chosen
