"""How fast the outputs of a model on images change as the image turns, moves, grows or shears, layer by layer too.

The Lie derivative of a model F along a generator (Gruver et al., The Lie derivative for measuring learned equivariance,
2023) is the derivative at t = 0 of what F gives for the image moved by t, moved back:

    (L F)(x) = J_F(x) v(x) - w(F(x)),

with v the velocity of the image and w that of the outputs. Outputs `[images, height, width, channels]` are images that
ought to move along; any others ought to stay, w = 0. So F is equivariant, or invariant, under a connected group just if
its Lie derivatives vanish.

Velocities are taken by differences of neighbouring pixels. On an image with a wave number of k radians a pixel they are
short by a factor sin(k) / k, about 1 - k^2 / 6.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.measure.jacobian import checked_fields, checked_inputs, differentiable, in_pieces, jvp
from weirdonetworks.measure.models import Model, named, ready
from weirdonetworks.measure.stability import BATCH, Floats


@dataclasses.dataclass(frozen=True)
class ImageGenerator:
    """The velocity of an image whose points p move with the velocity u(p) = matrix p + move:

        v[p] = -(u(p) . grad x)[p],    p = (x, y) in pixels, to the right and upwards from the centre of the image.

    The gradient at a pixel is half the difference of its two neighbours, at the border the difference to its only one.
    So inside the image v is the mean of the two one-sided derivatives of the bilinear maps in `algebra.transforms`,
    which have a kink at the identity; and what lies outside is taken to go on as the border does.

    >>> right = ImageGenerator(move=(1.0, 0.0))
    >>> right(tf.reshape(tf.constant([1.0, 2.0, 5.0]), [1, 1, 3, 1])).numpy().ravel().tolist()
    [-1.0, -2.0, -3.0]

    Attributes:
      matrix: The linear part of the velocity, `[2, 2]`, a unit of time.
      move: The velocity of the centre in pixels a unit of time, to the right and upwards.
    """

    matrix: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 0.0), (0.0, 0.0))
    move: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        matrix, move = np.asarray(self.matrix, np.float64), np.asarray(self.move, np.float64)
        if matrix.shape != (2, 2) or move.shape != (2,) or not np.isfinite([*matrix.ravel(), *move]).all():
            raise ValueError(f"matrix (={self.matrix}) must be [2, 2] and move (={self.move}) [2], all finite.")

    def __call__(self, images: tf.Tensor, pitch: tuple[float, float] = (1.0, 1.0)) -> tf.Tensor:
        """Gives the velocity of each image.

        Args:
          images: `[batch, height, width, channels]`, floating point.
          pitch: How many of the pixels that `move` counts there are from a row to the next, and from a column to the
            next: more than 1 for features of a lower resolution.

        Raises:
          ValueError: If the images are no such batch of a known size.
        """
        images = tf.convert_to_tensor(images)
        if images.shape.rank != 4 or None in images.shape[1:3] or not images.dtype.is_floating:
            raise ValueError(
                f"images ({images.dtype.name} of shape {images.shape}) must be floating point, "
                "[batch, height, width, channels], of known size."
            )
        height, width = images.shape[1:3]
        x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, (height - 1) / 2 - np.arange(height))
        (a, b), (c, d) = self.matrix
        right, up = a * x + b * y + self.move[0] / pitch[1], c * x + d * y + self.move[1] / pitch[0]
        down = tf.constant(-up[..., None], images.dtype)
        return -(tf.constant(right[..., None], images.dtype) * _slope(images, 2) + down * _slope(images, 1))


# A radian counter-clockwise, a pixel, a factor of e, and a pixel for each pixel from the centre, a unit of time: the
# transformations of `algebra.transforms` under the same names.
IMAGE_GENERATORS: Mapping[str, ImageGenerator] = {
    "rotation": ImageGenerator(((0.0, -1.0), (1.0, 0.0))),
    "shift right": ImageGenerator(move=(1.0, 0.0)),
    "shift up": ImageGenerator(move=(0.0, 1.0)),
    "zoom": ImageGenerator(((1.0, 0.0), (0.0, 1.0))),
    "horizontal shear": ImageGenerator(((0.0, 1.0), (0.0, 0.0))),
    "vertical shear": ImageGenerator(((0.0, 0.0), (1.0, 0.0))),
}


def lie_derivative(
    model: Model,
    images: npt.ArrayLike,
    generators: Iterable[ImageGenerator] = tuple(IMAGE_GENERATORS.values()),
    *,
    batch_size: int = BATCH,
    dtype: tf.DType = tf.float32,
) -> npt.NDArray[Any]:
    """Computes the Lie derivatives of a model (see the top of this module).

    >>> ramp = np.broadcast_to(np.arange(4.0)[:, None], (1, 4, 4, 1))  # x[p] = the column of p
    >>> moves = [IMAGE_GENERATORS[name] for name in ("zoom", "shift right")]
    >>> lie_derivative(lambda x: x[:, 0, 0], ramp, moves).ravel().tolist()
    [1.5, -1.0]

    Args:
      model: As in `stability`.
      images: `[images, height, width, channels]`, at least one.
      generators: How images move, at least one way; all of `IMAGE_GENERATORS` unless given.
      batch_size: How many images there may be at a time.
      dtype: The type to compute in, as for `stability.outputs_over`.

    Returns:
      The derivatives, `[generators, images, ...]`, each of the shape of an output.

    Raises:
      TypeError: If the model or a generator cannot be called, or the model cannot be copied into the type.
      ValueError: If there is no image or generator, the images have other axes, or the model does not compute in the
        type, does not give an output for each image, or cannot be differentiated.
    """
    (whole,) = lie_derivative_by_layer([model], images, generators, batch_size=batch_size, dtype=dtype)
    return whole


def lie_derivative_by_layer(
    layers: Sequence[Model],
    images: npt.ArrayLike,
    generators: Iterable[ImageGenerator] = tuple(IMAGE_GENERATORS.values()),
    *,
    batch_size: int = BATCH,
    dtype: tf.DType = tf.float32,
) -> list[npt.NDArray[Any]]:
    """Computes what each layer adds to the Lie derivatives of a model that applies them one after the other.

    Layer f with the layers T after it adds J_T(f(h)) (L f)(h), its own Lie derivative at its input h, brought to the
    outputs. These sum to the Lie derivative of the whole. Features of rank 4 are images that ought to move along, all
    others ought to stay; so a dense layer behind a flattening one is charged with nothing, and the flattening with all
    that it passes on.

    A pixel of features is taken to be as many pixels of the image wide as the sizes of the layers' inputs are times
    those of their outputs, each ratio rounded to a whole number, since layers without padding cut borders off.

    >>> double, corner = lambda x: 2 * x, lambda x: x[:, 0, 0]
    >>> ramp = np.broadcast_to(np.arange(4.0)[:, None], (1, 4, 4, 1))
    >>> [each.item() for each in lie_derivative_by_layer([double, corner], ramp, [IMAGE_GENERATORS["shift right"]])]
    [0.0, -2.0]

    Args:
      layers: Models, at least one, each taking what the one before gives.
      images: As in `lie_derivative`.
      generators: As in `lie_derivative`.
      batch_size: As in `lie_derivative`.
      dtype: As in `lie_derivative`.

    Returns:
      For each layer what it adds, `[generators, images, ...]`, of the shape of the outputs.

    Raises:
      TypeError: As in `lie_derivative`, or if the layers are no list.
      ValueError: As in `lie_derivative`, or if there is no layer.
    """
    values, length = checked_inputs(images), at_least("batch_size", batch_size, 1)
    if values.ndim != 4:  # A convolution that has its weights ends the whole process on others.
        raise ValueError(f"images of shape {values.shape} must be [images, height, width, channels].")
    moves = checked_fields(generators, tf.cast(values[:length], dtype))
    if not np.iterable(layers):
        raise TypeError(f"layers (={named(layers)}) must be a list; give the layers that a Sequential is made of.")
    if not layers:
        raise ValueError("layers must hold at least one.")
    run, features = [], values[:1]
    for layer in layers:
        run.append(ready(layer, features, dtype))
        features = run[-1](tf.cast(features, dtype)).numpy()
    differentiable(functools.partial(_applied, run), values[:1], dtype)

    @tf.function(input_signature=[tf.TensorSpec([None, *values.shape[1:]], dtype)], autograph=False)
    def compute(batch: tf.Tensor) -> list[tf.Tensor]:
        motions = [generator(batch) for generator in moves]
        pitch = (1.0, 1.0)
        features, added, ahead = batch, [], tf.stack(_through(run, batch, motions))
        still = tf.zeros_like(ahead)
        for index, layer in enumerate(run):
            given, features = features, layer(features)
            behind = still
            if features.shape.rank == 4:
                pitch = _pitch(pitch, given.shape, features.shape)
                motions = [generator(features, pitch) for generator in moves]
                behind = tf.stack(_through(run[index + 1 :], features, motions))
            added.append(ahead - behind)
            ahead = behind
        return added

    # Called as it is, it is not counted among the retracings of one function that TensorFlow warns of.
    pieces = list(in_pieces(compute.get_concrete_function(), values, length, dtype))
    return [np.concatenate([each.numpy() for each in layer], axis=1) for layer in zip(*pieces, strict=True)]


def local_equivariance_error(derivatives: npt.ArrayLike) -> Floats:
    """Computes the mean square of Lie derivatives over the entries of the outputs.

    >>> local_equivariance_error([[[3.0, 5.0]], [[0.0, 2.0]]]).tolist()
    [[17.0], [2.0]]

    Args:
      derivatives: `[generators, images, ...]`, as `lie_derivative` gives them.

    Returns:
      The mean square for each generator and image, `[generators, images]`.

    Raises:
      ValueError: If the derivatives have fewer than two axes.
    """
    values = np.asarray(derivatives, np.float64)
    if values.ndim < 2:
        raise ValueError(f"derivatives of shape {values.shape} must be [generators, images, ...].")
    return np.square(values).reshape(*values.shape[:2], -1).mean(axis=2)


def _through(layers: Sequence[Model], features: tf.Tensor, tangents: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
    """Brings tangents at features through layers."""
    if not layers:
        return tangents
    return jvp(functools.partial(_applied, layers), features, tangents)[1]


def _applied(layers: Sequence[Model], inputs: tf.Tensor) -> tf.Tensor:
    return functools.reduce(lambda features, layer: layer(features), layers, inputs)


def _pitch(before: tuple[float, float], given: tf.TensorShape, made: tf.TensorShape) -> tuple[float, float]:
    """Counts the image's pixels between rows and between columns of features, from those of the layer's inputs."""
    if given.rank != 4:
        return before
    row, column = (
        each * (round(old / new) if old >= new else 1 / round(new / old))
        for each, old, new in zip(before, given[1:3], made[1:3], strict=True)
    )
    return row, column


def _slope(images: tf.Tensor, axis: int) -> tf.Tensor:
    """Differentiates images along an axis: halved differences of neighbours, at the ends plain ones."""
    size = images.shape[axis]
    if size == 1:
        return tf.zeros_like(images)
    steps = tf.split(images, [1, size - 1], axis)[1] - tf.split(images, [size - 1, 1], axis)[0]
    # The step at either end counts twice, on both sides of the last pixel.
    first, last = tf.split(steps, [1, size - 2], axis)[0], tf.split(steps, [size - 2, 1], axis)[1]
    return (tf.concat([first, steps], axis) + tf.concat([steps, last], axis)) / 2
