"""Invariance for the price of a few calls of a network: its input is first brought into a standard position."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.nets.inputs import checked_images, checked_set
from weirdonetworks.nets.symmetrized import sorted_lexicographically
from weirdonetworks.nets.turns import checked_group, turns

AXES = {"C4": [0, 2], "D4": [0, 2, 4, 6]}  # The elements that turn rows into rows.


class Frame(Protocol):
    """A rule that picks, for each input x, some elements g of a group, and for s.x those that give the same g x."""

    def canonical(self, inputs: tf.Tensor) -> tf.Tensor:
        """Brings each input into its standard position, `[batch, ...]` to the same: the same for x and s.x."""

    def images(self, inputs: tf.Tensor) -> tf.Tensor:
        """Gives the images of each input under its elements, `[elements, batch, ...]`: the same for x and s.x."""


class TurnFrame:
    """Frames of square images for quarter turns, or for mirror images too, by their moments.

    Of all images g x the standard position is that which, around the middle of the image, is spread most in height
    rather than in width, sum x (row^2 - column^2); among equals, has most of its mass on top; then, to the left; and if
    that leaves several, the one with the largest first pixel, then the largest second, and so on. What is left after
    that are equal images. So it is the same for x and s.x in every case, symmetric images and chance ties among them.

    The frame is that position and its images under the elements that keep the axes: 2 of the 4 turns, 4 of the 8
    elements of D4. These are the same set of images where mass goes from top to bottom or from left to right, so what
    is averaged over them jumps only where height and width are spread alike (on 2 x 2 pixels they always are); what
    reads the standard position alone jumps at all these places.

    >>> image = tf.constant([[[[0.0], [1.0]], [[0.0], [2.0]]]])
    >>> for each in (image, tf.image.rot90(image)):
    ...     print(TurnFrame("C4").canonical(each)[0, :, :, 0].numpy().tolist())
    [[1.0, 2.0], [0.0, 0.0]]
    [[1.0, 2.0], [0.0, 0.0]]
    """

    def __init__(self, group: str = "C4"):
        """Chooses the group.

        Args:
          group: `C4`, the quarter turns; or `D4`, with mirror images.

        Raises:
          ValueError: If there is no such group.
        """
        self.group = checked_group(group)

    def canonical(self, inputs: tf.Tensor) -> tf.Tensor:
        """Brings each image into its standard position, `[batch, side, side, channels]` to the same.

        Raises:
          ValueError: If the inputs are no square images.
        """
        inputs, side, channels = _checked_square(inputs)
        pixels = tf.reshape(inputs, [-1, side * side, channels])
        images = tf.gather(pixels, turns(self.group, side), axis=1)
        # An image's moments come from it alone, so that rounding breaks no tie one way for x and another for s.x.
        moments = _moments(tf.reshape(tf.reduce_sum(images, axis=3), [-1, images.shape[1], side, side]))
        values = tf.reshape(images, [-1, images.shape[1], side * side * channels])
        chosen = _largest(tf.concat([moments, values], axis=2))
        return tf.reshape(tf.gather(values, chosen, batch_dims=1), [-1, side, side, channels])

    def images(self, inputs: tf.Tensor) -> tf.Tensor:
        """Gives the images that make up the frame, `[elements, batch, side, side, channels]`.

        Raises:
          ValueError: If the inputs are no square images.
        """
        inputs, side, channels = _checked_square(inputs)
        gathers = turns(self.group, side)[AXES[self.group]]
        pixels = tf.reshape(self.canonical(inputs), [-1, side * side, channels])
        images = tf.transpose(tf.gather(pixels, gathers, axis=1), [1, 0, 2, 3])
        return tf.reshape(images, [len(gathers), -1, side, side, channels])


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

    def images(self, inputs: tf.Tensor) -> tf.Tensor:
        """Sorts the items of each set by each feature, to `[features, batch, items, features]`.

        Raises:
          ValueError: If the inputs are no sets.
        """
        inputs, _ = checked_set(inputs)
        rolled = [tf.roll(inputs, -feature, axis=2) for feature in range(inputs.shape[2])]
        return tf.stack([tf.roll(sorted_lexicographically(each), i, axis=2) for i, each in enumerate(rolled)])


@snt.allow_empty_variables
class _Framed(snt.Module):
    """A network and a frame."""

    def __init__(self, network: Callable[[tf.Tensor], tf.Tensor], frame: Frame, name: str | None = None):
        """Wraps a network.

        Args:
          network: A module or function of inputs `[batch, ...]`.
          frame: The rule that finds the position: `TurnFrame` for images, `SortFrame` for sets.
          name: The module's name.

        Raises:
          TypeError: If the network cannot be called, or the frame is none.
        """
        super().__init__(name=name)
        if not callable(network):
            raise TypeError(f"network (={network!r}) must be a module or a function.")
        if not (hasattr(frame, "canonical") and hasattr(frame, "images")):
            raise TypeError(f"frame (={frame!r}) must be a TurnFrame, a SortFrame or an object with their methods.")
        self.network = network
        self.frame = frame


class Canonicalise(_Framed):
    """A network that sees its input in a standard position only: invariant for the price of one call.

        f(x) = network(c(x) x),    c(s.x) s.x = c(x) x, so f(s.x) = f(x)

    Exact for every input, but not continuous: where c(x) x jumps, so does f, unless the network gives the same on both
    sides, as an invariant one does; see the frame for where that is.

    >>> network = Canonicalise(snt.Sequential([snt.Flatten(), snt.nets.MLP([8, 2])]), TurnFrame("D4"))
    >>> images = tf.random.stateless_normal([2, 5, 5, 1], seed=[0, 0])
    >>> bool(tf.reduce_max(tf.abs(network(images) - network(tf.image.flip_left_right(images)))) < 1e-5)
    True
    """

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, ...]` to what the network gives.

        Raises:
          ValueError: If the inputs are not what the frame is for.
        """
        return self.network(self.frame.canonical(inputs))


class FrameAverage(_Framed):
    """A network averaged over a frame, a few images of its input: invariant for the price of as many calls.

        f(x) = mean of network(g x) over g in the frame of x,    f(s.x) = f(x)

    Exact for every input. Continuous but where the frame changes: for a `TurnFrame` at fewer places than the standard
    position of `Canonicalise` does, for a `SortFrame` at more; see there. All images are one batch, in one call of the
    network.

    >>> network = FrameAverage(snt.Sequential([snt.Flatten(), snt.nets.MLP([8, 2])]), SortFrame())
    >>> one, other = network(tf.constant([[[1.0, 3.0], [2.0, 0.0]], [[2.0, 0.0], [1.0, 3.0]]]))
    >>> bool(tf.reduce_max(tf.abs(one - other)) < 1e-5)
    True

    Source: Puny et al., Frame averaging for invariant and equivariant network design, 2022.
    """

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, ...]` to what the network gives, averaged.

        Raises:
          ValueError: If the inputs are not what the frame is for.
        """
        images = self.frame.images(inputs)
        outputs = self.network(tf.reshape(images, tf.concat([[-1], tf.shape(images)[2:]], axis=0)))
        by_element = tf.reshape(outputs, tf.concat([[images.shape[0], -1], tf.shape(outputs)[1:]], axis=0))
        return tf.reduce_mean(by_element, axis=0)


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
