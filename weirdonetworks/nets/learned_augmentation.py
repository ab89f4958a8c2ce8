"""Learned data augmentation: random affine maps of images whose magnitudes are trained with the network."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra.actions.transforms import AFFINE_GENERATORS
from weirdonetworks.algebra.arrays import at_least, finite
from weirdonetworks.nets.averaged import Averaged
from weirdonetworks.nets.inputs import check_type, checked_images, checked_seed

# Generators acting on points (x, y, 1): x to the right, y upwards, from the image's centre, in units of half its longer
# side.
GENERATORS = {
    name.removeprefix("shift "): (*AFFINE_GENERATORS[name], (0.0, 0.0, 0.0))
    for name in ("shift right", "shift up", "rotation", "zoom", "stretch", "shear")
}
# Of the exponential series. For matrices of norm below 20 its relative error is 1e-8, in float32 3e-5 even for small
# ones: each squaring doubles the rounding error.
TERMS, SQUARINGS = 8, 6

SAMPLES = 2**16  # The most copies of an input: more fill any memory.


class LearnedRange(tf.Module):
    """Random affine maps of images with learned ranges: elements for `Averaged`.

        T(exp(sum_i e_i w_i G_i)) x,    each e_i uniform in [-1, 1]

    with the generators G_i of affine maps, T the action of an affine map on images by bilinear interpolation, and
    widths w_i > 0. In training each image is transformed by one random draw of its own; otherwise all images by the
    same few, evenly spread draws.

    >>> turns = LearnedRange(strength=0.1, generators=["rotation"], samples=4)
    >>> turns.images(tf.ones([2, 5, 5, 1]), is_training=False).shape.as_list()
    [4, 2, 5, 5, 1]
    """

    def __init__(
        self,
        strength: float,
        generators: Sequence[str] = tuple(GENERATORS),
        width: float = 0.1,
        samples: int = 8,
        fill: float = 0.0,
        resample: bool = True,
    ):
        """Sets the range; arguments as those of `LearnedAugmentation`."""
        super().__init__()
        names = list(generators) if np.iterable(generators) else []
        if not names or sum(each in names for each in GENERATORS) != len(names):
            raise ValueError(f"generators (={generators!r}) must be different ones of {', '.join(GENERATORS)}.")
        self.strength = finite("strength", strength, least=0)
        self.fill = finite("fill", fill)
        self.resample = resample
        self._generators = np.array([GENERATORS[each] for each in names], np.float64)
        self._width = finite("width", width)
        if self._width <= 0:
            raise ValueError(f"width (={width}) must be above 0.")
        self._draws = _evenly_spread(at_least("samples", samples, 1, SAMPLES), len(self._generators))

    @property
    def widths(self) -> tf.Tensor:
        """The widths w, in the order of the generators, once the module has been called."""
        if not hasattr(self, "raw_widths"):
            raise ValueError("The module must be called once before it has widths.")
        return tf.math.softplus(self.raw_widths)

    def width_penalty(self) -> tf.Tensor:
        """Computes the regulariser to add to the loss, `-strength * |w|`, which rewards large widths."""
        return -self.strength * tf.norm(self.widths)

    def images(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Transforms images `[batch, height, width, channels]` to `[draws, batch, height, width, channels]`.

        Half-precision images are transformed in float32.
        """
        given = checked_images(inputs)
        if is_training is None and self.resample:
            raise ValueError("is_training (=None) must be given: True or False.")
        images = tf.cast(given, tf.float32) if given.dtype.size < 4 else given
        if not hasattr(self, "raw_widths"):
            start = self._width + math.log(-math.expm1(-self._width))  # The inverse of softplus at the width.
            self.raw_widths = tf.Variable(tf.constant(start, images.dtype, [len(self._generators)]), name="raw_widths")
        check_type(images, self.raw_widths.dtype)
        moved = self.fill + move(images - self.fill, _exponential(-self._drawn(images, is_training, seed)))
        return tf.cast(tf.transpose(moved, [1, 0, 2, 3, 4]), given.dtype)

    def _drawn(self, images: tf.Tensor, is_training: bool | None, seed: tf.Tensor | None) -> tf.Tensor:
        """Returns random elements of the Lie algebra, `[batch, 1, 3, 3]`, or the fixed ones, `[samples, 3, 3]`."""
        if not (is_training and self.resample):
            draws = tf.constant(self._draws, images.dtype)
        else:
            shape = [tf.shape(images)[0], 1, len(self._generators)]
            drawn_by = checked_seed(seed, "resample")
            draws = tf.random.stateless_uniform(shape, drawn_by, -1, 1, images.dtype, alg="philox")
        return tf.tensordot(draws * self.widths, tf.constant(self._generators, images.dtype), axes=1)


class LearnedAugmentation(Averaged):
    """A network averaged over random affine maps of its images, whose ranges are trained with its weights.

        f(x) = mean of network(T(exp(sum_i e_i w_i G_i)) x) over draws of e; see `LearnedRange`

    The training loss alone would shrink the widths, since transformed images are harder to classify. `width_penalty` is
    added to the loss and rewards large widths, which grow until the loss outweighs it. So the widths depend on
    `strength`, and the width of a map that does not change the loss grows without bound, whether or not the data have
    that symmetry.

    >>> import sonnet as snt
    >>> network = snt.Sequential([snt.Flatten(), snt.Linear(3)])
    >>> augmented = LearnedAugmentation(network, strength=0.1, generators=["rotation"])
    >>> images = tf.ones([2, 4, 4, 1])
    >>> augmented(images, is_training=False).shape.as_list(), augmented.widths.numpy().round(3)
    ([2, 3], array([0.1], dtype=float32))

    Source: Benton et al., Learning invariances in neural networks from training data, 2020.
    """

    elements: LearnedRange

    def __init__(
        self,
        network: Callable[[tf.Tensor], tf.Tensor],
        strength: float,
        generators: Sequence[str] = tuple(GENERATORS),
        width: float = 0.1,
        samples: int = 8,
        fill: float = 0.0,
        resample: bool = True,
        name: str | None = None,
    ):
        """Wraps a network.

        Args:
          network: A module or function from images `[batch, height, width, channels]` to `[batch, ...]`.
          strength: The coefficient of the norm of the widths in `width_penalty`, at least 0.
          generators: The kinds of maps: the shifts `right` and `up`, in units of half the image's longer side;
            `rotation`, in radians; and as logarithms of a factor `zoom`, `stretch` of width against height, and
            `shear`, the same along the diagonals.
          width: The initial value of each width, above 0.
          samples: The number of maps averaged outside training, at most 65,536.
          fill: The value of pixels outside the image, finite.
          resample: Whether training draws new maps; if not, it averages the same maps as evaluation.
        """
        super().__init__(network, LearnedRange(strength, generators, width, samples, fill, resample), name=name)

    @property
    def widths(self) -> tf.Tensor:
        """The widths w, as those of `LearnedRange`."""
        return self.elements.widths

    def width_penalty(self) -> tf.Tensor:
        """Computes the regulariser to add to the loss, as `LearnedRange.width_penalty`."""
        return self.elements.width_penalty()

    def __call__(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps images `[batch, height, width, channels]` to the network's averaged outputs; see `Averaged`."""
        outputs = super().__call__(inputs, is_training, seed)
        self.raw_widths = self.elements.raw_widths  # The path of the variable in checkpoints.
        return outputs


def move(images: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """Transforms images by affine maps with bilinear interpolation, differentiable in both; outside the image is 0.

    The output at the point p is the input at `matrix @ p`; see `GENERATORS` for the coordinates.

    >>> half_a_turn = tf.constant([[[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]])
    >>> move(tf.constant([[[[1.0], [2.0]], [[3.0], [4.0]]]]), half_a_turn).numpy().round(3).ravel().tolist()
    [4.0, 3.0, 2.0, 1.0]

    Args:
      images: `[batch, height, width, channels]`.
      matrices: `[maps, 3, 3]` for all images, or `[batch, maps, 3, 3]` per image; the last row (0, 0, 1).

    Returns:
      The transformed images, `[batch, maps, height, width, channels]`.
    """
    _, height, width, channels = images.shape
    rows, columns = np.divmod(np.arange(height * width), width)
    unit, middle, centre = max(height, width) / 2, (height - 1) / 2, (width - 1) / 2
    points = np.stack([(columns - centre) / unit, (middle - rows) / unit, np.ones(height * width)])
    sources = tf.tensordot(matrices, tf.constant(points, images.dtype), axes=1)
    row, column = middle - unit * sources[..., 1, :], unit * sources[..., 0, :] + centre
    top, left = tf.floor(row), tf.floor(column)
    flat = tf.reshape(images, [-1, height * width, channels])
    moved = tf.zeros([], images.dtype)
    for tap_row, down in ((top, top + 1 - row), (top + 1, row - top)):
        for tap_column, across in ((left, left + 1 - column), (left + 1, column - left)):
            inside = (tap_row >= 0) & (tap_row < height) & (tap_column >= 0) & (tap_column < width)
            places = tf.cast(tf.where(inside, tap_row * width + tap_column, 0), tf.int32)
            values = tf.gather(flat, places, axis=1, batch_dims=matrices.shape.rank - 3)
            moved += tf.math.multiply_no_nan(values, tf.where(inside, down * across, 0)[..., None])
    return tf.reshape(moved, [-1, matrices.shape[-3], height, width, channels])


def _exponential(matrices: tf.Tensor) -> tf.Tensor:
    """Computes the exponentials of square matrices, `[..., n, n]`."""
    one, scaled = tf.eye(matrices.shape[-1], dtype=matrices.dtype), matrices / 2**SQUARINGS
    result = one + scaled / TERMS  # Not by a product: of ranks 4 and 2, oneDNN writes outside its memory.
    for term in range(TERMS - 1, 0, -1):
        result = one + tf.matmul(scaled, result) / term
    for _ in range(SQUARINGS):
        result = tf.matmul(result, result)
    return result


def _evenly_spread(samples: int, dimensions: int) -> npt.NDArray[np.float64]:
    """Makes points in the cube [-1, 1]^dimensions, each coordinate of which takes evenly spaced values."""
    values = (2 * np.arange(samples) + 1) / samples - 1
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(values) for _ in range(dimensions)], axis=1)
