"""Random affine deformations of images for augmentation: rotation, shear, zoom, shift, reflection."""

import dataclasses
import math

import tensorflow as tf

from weirdonetworks.nets.inputs import checked_images
from weirdonetworks.nets.learned_augmentation import move

# The greatest shear, change of size (as a share of it, across and upwards apart) and shift (as a share of the longer
# side).
SHEAR = 0.15
ZOOM = 0.15
SHIFT = 0.1


@dataclasses.dataclass(frozen=True)
class RandomDeformation:
    """A random affine map of each image: reflection, zoom, shear, rotation, shift, in this order.

    Each parameter is uniform in its range, drawn for each image; values between pixels are interpolated.

    >>> deform = RandomDeformation(max_turn=30)
    >>> deform(tf.ones([2, 4, 4, 1]), seed=(1, 2)).shape.as_list()
    [2, 4, 4, 1]

    Attributes:
      max_turn: The largest angle either way, in degrees, in [0, 180].
      fill: The value of everything outside the image.

    Raises:
      ValueError: If the angle is out of its range.
    """

    max_turn: float
    fill: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.max_turn <= 180:
            raise ValueError(f"max_turn (={self.max_turn}) must be in [0, 180] degrees.")

    def __call__(self, images: tf.Tensor, seed: tf.Tensor | tuple[int, int]) -> tf.Tensor:
        """Deforms images `[batch, height, width, channels]` of any type to float32 of the same shape.

        Args:
          images: The images.
          seed: Two integers; the same ones draw the same deformations, for images of any size.

        Raises:
          ValueError: If the images are no such batch.
        """
        images = tf.cast(images, tf.float32)
        moved = move(checked_images(images) - self.fill, self._sources(tf.shape(images)[0], seed))
        return self.fill + moved[:, 0]

    def _sources(self, count: tf.Tensor, seed: tf.Tensor | tuple[int, int]) -> tf.Tensor:
        """Draws the inverses of deformations, `[count, 1, 3, 3]`, since `move` asks where a point comes from."""
        draws = tf.random.stateless_uniform([7, count], seed, -1, 1, alg="philox")
        angle, shear = math.radians(self.max_turn) * draws[0], SHEAR * draws[1]
        across, upwards = (1 + ZOOM * draws[2]) * tf.where(draws[4] < 0, -1.0, 1.0), 1 + ZOOM * draws[3]
        cosine, sine = tf.cos(angle), tf.sin(angle)
        # Of turn @ shear @ zoom.
        a, b = (cosine + shear * sine) / across, (sine - shear * cosine) / across
        c, d = -sine / upwards, cosine / upwards
        right, up = 2 * SHIFT * draws[5], 2 * SHIFT * draws[6]  # Of half the side, the unit of `move`.
        zero, one = tf.zeros_like(angle), tf.ones_like(angle)
        rows = [[a, b, -a * right - b * up], [c, d, -c * right - d * up], [zero, zero, one]]
        return tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)[:, None]
