"""Frames, equivariant maps from inputs to subsets of a group, and canonical forms of inputs.

A canonical form, or standard position, is the image c(x) x that is the same for all inputs of an orbit.
"""

from typing import Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from weirdonetworks.algebra.actions import PermutationAction, pixels
from weirdonetworks.algebra.arrays import Ints, brief
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.algebra.groups.permutations import inverse
from weirdonetworks.nets.inputs import checked_floats, checked_images, checked_set, checked_tensor
from weirdonetworks.nets.pooling import ordered


@runtime_checkable
class Images(Protocol):
    """A choice of elements of an action, as a map from inputs to their images under these elements."""

    def images(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps inputs `[batch, ...]` to their images `[elements, batch, ...]`.

        Args:
          inputs: The inputs, `[batch, ...]`.
          is_training: Whether it is a training step; must not be None where the elements depend on it.
          seed: Two integers, new at each step; needed where elements are resampled.
        """


@runtime_checkable
class Frame(Images, Protocol):
    """A map from inputs x to subsets of a group, such that the images g x over the subset agree for x and s.x."""

    def canonical(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps each input to its canonical form, in the same shape `[batch, ...]`: the same for x and s.x."""


def checked_frame(frame: Frame) -> Frame:
    """Returns a frame; raises a `TypeError` if it is not one, such as its class."""
    if isinstance(frame, type) or not isinstance(frame, Frame):
        raise TypeError(f"frame (={frame!r}) must be a TurnFrame, a SortFrame or an object with their methods.")
    return frame


class Standard:
    """The canonical form of a frame, as the single image of each input for `Averaged`.

    >>> from weirdonetworks import Averaged
    >>> Averaged(tf.identity, Standard(SortFrame()))(tf.constant([[[3.0], [1.0], [2.0]]])).numpy().ravel().tolist()
    [1.0, 2.0, 3.0]
    """

    def __init__(self, frame: Frame):
        """Sets the frame; raises a `TypeError` if it is not one."""
        self.frame = checked_frame(frame)

    def images(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps inputs `[batch, ...]` to their canonical forms, `[1, batch, ...]`."""
        return self.frame.canonical(inputs)[None]


class TurnFrame:
    """Frames of square images under quarter turns, or all symmetries of the square, from the images' moments.

    The canonical form is the image g x with the largest second moment sum x (row^2 - column^2) about the centre; among
    equals, that with most mass at the top; then, at the left; then the first in descending lexicographic order of the
    pixels. Images that still tie are equal. So it is the same for x and s.x without exception, including symmetric
    images, chance ties, and NaN, which counts as above infinity.

    The frame is the canonical form and its images under the elements that preserve the axes: 2 of the 4 turns, 4 of the
    8 symmetries of the square. This set does not change where mass shifts from top to bottom or from left to right, so
    a frame average is discontinuous only where the second moments tie (on 2 x 2 pixels they always do); a function of
    the canonical form is discontinuous at all these ties.

    >>> image = tf.constant([[[[0.0], [1.0]], [[0.0], [2.0]]]])
    >>> for each in (image, tf.image.rot90(image)):
    ...     print(TurnFrame().canonical(each)[0, :, :, 0].numpy().tolist())
    [[1.0, 2.0], [0.0, 0.0]]
    [[1.0, 2.0], [0.0, 0.0]]
    """

    def __init__(self, action: PermutationAction | PermutationGroup | None = None):
        """Sets the action on square images, `pixels(group)`, or the group.

        That is `image_rotations(2, 2)` for the quarter turns, the default; `image_dihedral(2, 2)`, with reflections; or
        a subgroup.
        """
        if not (action is None or isinstance(action, PermutationAction | PermutationGroup)):
            raise TypeError(
                f"action (={brief(action)}) must be a PermutationGroup of symmetries of the square, or pixels(group). "
                "Use image_rotations(2, 2), image_dihedral(2, 2) or a subgroup."
            )
        self.action = action if isinstance(action, PermutationAction) else pixels(action)
        if len(self.action.sizes) != 2:
            raise ValueError(f"action (={action!r}) must act on the pixels of square images. Use pixels(...).")

    def canonical(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps each image to its canonical form, `[batch, side, side, channels]`."""
        inputs, side, channels = _checked_square(inputs)
        images = tf.gather(tf.reshape(inputs, [-1, side * side, channels]), self._gathers(side), axis=1)
        # Moments are computed from each image separately, lest rounding break a tie differently for x and s.x.
        moments = _moments(tf.reshape(tf.reduce_sum(images, axis=3), [-1, images.shape[1], side, side]))
        values = tf.reshape(images, [-1, images.shape[1], side * side * channels])
        chosen = _largest(ordered(tf.concat([moments, values], axis=2)))
        return tf.reshape(tf.gather(values, chosen, batch_dims=1), [-1, side, side, channels])

    def images(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps each image to its images under the frame, `[elements, batch, side, side, channels]`."""
        inputs, side, channels = _checked_square(inputs)
        gathers = self._gathers(side)
        if side > 1:  # Elements that preserve the axes read the first row from a row.
            gathers = gathers[np.ptp(gathers[:, :side] // side, axis=1) == 0]
        standard = tf.reshape(self.canonical(inputs), [-1, side * side, channels])
        images = tf.transpose(tf.gather(standard, gathers, axis=1), [1, 0, 2, 3])
        return tf.reshape(images, [len(gathers), -1, side, side, channels])

    def _gathers(self, side: int) -> Ints:
        """Computes the pixels that each element gathers, `[elements, side * side]`."""
        return inverse(self.action.permutations(self.action.elements(), (side, side)))


class SortFrame:
    """Frames of sets `[batch, items, features]` under the symmetric group: the items sorted, once by each feature.

    The canonical form is sorted lexicographically by the features; the frame holds, for each feature, the items sorted
    with that feature as the first key, NaN last. Items that tie are equal, so both are the same for x and s.x.

    The canonical form is discontinuous where two different items have the same first feature. A frame average is
    discontinuous at more points, where they have any feature in common, but there only one of its terms jumps.

    >>> SortFrame().images(tf.constant([[[2.0, 1.0], [1.0, 5.0]]])).numpy().tolist()
    [[[[1.0, 5.0], [2.0, 1.0]]], [[[2.0, 1.0], [1.0, 5.0]]]]
    """

    def canonical(self, inputs: tf.Tensor) -> tf.Tensor:
        """Sorts the items of each set lexicographically."""
        return sorted_lexicographically(checked_set(inputs)[0])

    def images(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Sorts the items of each set once by each feature, to `[features, batch, items, features]`."""
        inputs, _ = checked_set(inputs)
        rolled = [tf.roll(inputs, -feature, axis=2) for feature in range(inputs.shape[2])]
        return tf.stack([tf.roll(sorted_lexicographically(each), i, axis=2) for i, each in enumerate(rolled)])


def sorted_lexicographically(items: tf.Tensor) -> tf.Tensor:
    """Sorts the items of each set lexicographically by their features.

    >>> sorted_lexicographically(tf.constant([[[2.0, 1.0], [1.0, 5.0], [2.0, 0.0]]])).numpy().tolist()
    [[[1.0, 5.0], [2.0, 0.0], [2.0, 1.0]]]

    Args:
      items: Sets, `[batch, items, features]`, the features known.
    """
    items = checked_floats(checked_tensor(items, "items"), "items")
    if items.shape.rank != 3 or items.shape[2] is None:
        raise ValueError(f"items of shape {items.shape} must be [batch, items, features], the features known.")
    # Stable sorts, the last feature first, by `top_k`, which returns equal entries in their order.
    for feature in reversed(range(items.shape[2])):
        order = tf.math.top_k(~ordered(items[:, :, feature]), tf.shape(items)[1]).indices
        items = tf.gather(items, order, batch_dims=1)
    return items


def _checked_square(images: tf.Tensor) -> tuple[tf.Tensor, int, int]:
    images = checked_images(images)
    _, height, width, channels = images.shape
    if height != width:
        raise ValueError(f"images of shape {images.shape} must be square, to be turned. Crop or pad them.")
    return images, height, channels


def _moments(images: tf.Tensor) -> tf.Tensor:
    """Computes second moment, mass at the top and mass at the left of `[..., side, side]` as `[..., 3]`."""
    side = images.shape[-1]
    row, column = np.indices((side, side)) - (side - 1) / 2
    # The second moment is invariant under reflections, the mass at the top under exchange of left and right. Reflected
    # pixels are summed first, in an order that is invariant too, so that rounding errors are the same.
    both = images + tf.reverse(images, [-1])
    all_four = both + tf.reverse(both, [-2])
    weighted = [(all_four, row**2 - column**2), (both, -row), (images, -column)]
    return tf.stack([tf.reduce_sum(each * tf.constant(w, images.dtype), [-2, -1]) for each, w in weighted], axis=-1)


def _largest(keys: tf.Tensor) -> tf.Tensor:
    """Finds the index of the lexicographically largest of the rows `[batch, rows, entries]`."""
    best, chosen = keys[:, 0], tf.zeros_like(keys[:, 0, 0], tf.int32)
    for row in range(1, keys.shape[1]):
        other = keys[:, row]
        first = tf.argmax(tf.cast(other != best, tf.float32), axis=1, output_type=tf.int32)
        is_larger = tf.gather(other > best, first, batch_dims=1)
        best = tf.where(is_larger[:, None], other, best)
        chosen = tf.where(is_larger, row, chosen)
    return chosen
