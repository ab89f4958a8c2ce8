"""Lie derivatives of models: along the action of any connected group, and of image translation, rotation, zoom, shear.

The Lie derivative of a model F along a generator (Gruver et al., The Lie derivative for measuring learned equivariance,
2023) is the derivative at t = 0 of F applied to the input transformed by t, transformed back:

    (L F)(x) = J_F(x) v(x) - w(F(x)),

with v the velocity of the input and w that of the outputs. So F is equivariant, or invariant where w = 0, under a
connected group if and only if its Lie derivatives vanish. Of images, outputs `[images, height, width, channels]` are
images that should transform with the input; any others should stay the same, w = 0.

Velocities of images are computed by central differences. On an image with a wave number of k radians per pixel they
are too small by a factor sin(k) / k, about 1 - k^2 / 6.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra.actions import Action, FlowAction
from weirdonetworks.algebra.actions.transforms import AFFINE_GENERATORS
from weirdonetworks.algebra.arrays import at_least, brief, reals
from weirdonetworks.measure.jacobian import checked_fields, derivatives_along, differentiable, jvp, listed_fields
from weirdonetworks.measure.models import Model, checked_inputs, in_pieces, named, ready
from weirdonetworks.measure.precision import checked_dtype
from weirdonetworks.measure.stability import BATCH, Floats


@dataclasses.dataclass(frozen=True)
class ImageGenerator:
    """The generator of an affine flow on images, whose points p move with the velocity u(p) = matrix p + move:

        v[p] = -(u(p) . grad x)[p],    p = (x, y) in pixels, to the right and upwards from the centre of the image.

    The gradient at a pixel is the central difference, at the border the one-sided one. So inside the image v is the
    mean of the two one-sided derivatives of the bilinear maps in `algebra.transforms`, which have a kink at the
    identity; beyond the border the image is extrapolated linearly.

    >>> right = ImageGenerator(move=(1.0, 0.0))
    >>> right(tf.reshape(tf.constant([1.0, 2.0, 5.0]), [1, 1, 3, 1])).numpy().ravel().tolist()
    [-1.0, -2.0, -3.0]

    Attributes:
      matrix: The linear part of the velocity, `[2, 2]`, per unit of time.
      move: The velocity of the centre, to the right and upwards, in pixels per unit of time.
    """

    matrix: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 0.0), (0.0, 0.0))
    move: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name, given, shape in (("matrix", self.matrix, (2, 2)), ("move", self.move, (2,))):
            values = reals(name, given)
            if values.shape != shape or not np.isfinite(values).all():
                raise ValueError(f"{name} (={brief(given)}) must be {list(shape)}, all finite.")

    def __call__(self, images: tf.Tensor, pitch: tuple[float, float] = (1.0, 1.0)) -> tf.Tensor:
        """Computes the velocity of each image.

        Args:
          images: `[batch, height, width, channels]`, floating point.
          pitch: The distance between neighbouring rows and between neighbouring columns, in the pixels of `move`: more
            than 1 for features of a lower resolution.

        Raises:
          ValueError: If the images have another rank or type, or an unknown size.
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


# Per unit of time: one radian counter-clockwise, one pixel, a factor of e, and one pixel per pixel from the centre.
IMAGE_GENERATORS: Mapping[str, ImageGenerator] = {
    name: ImageGenerator(((a, b), (c, d)), (right, up))
    for name, ((a, b, right), (c, d, up)) in AFFINE_GENERATORS.items()
    if name not in ("stretch", "shear")  # Those of `LearnedAugmentation` alone.
}
ALL_GENERATORS = tuple(IMAGE_GENERATORS.values())


def lie_derivative(
    model: Model,
    inputs: npt.ArrayLike,
    action: FlowAction | Iterable[ImageGenerator] = ALL_GENERATORS,
    action_out: FlowAction | None = None,
    *,
    batch_size: int = BATCH,
    dtype: tf.DType = tf.float32,
) -> npt.NDArray[Any]:
    """Computes the Lie derivatives of a model along the generators of a connected group, or of image transformations.

    >>> ramp = np.broadcast_to(np.arange(4.0)[:, None], (1, 4, 4, 1))  # x[p] = the column of p
    >>> moves = [IMAGE_GENERATORS[name] for name in ("zoom", "shift right")]
    >>> lie_derivative(lambda x: x[:, 0, 0], ramp, moves).ravel().tolist()
    [1.5, -1.0]
    >>> from weirdonetworks.algebra import flow
    >>> turns = flow([[[0.0, -1.0], [1.0, 0.0]]])  # The rotations of the plane.
    >>> lie_derivative(lambda x: tf.norm(x, axis=1), [[3.0, 4.0]], turns).tolist()  # Invariant.
    [[0.0]]
    >>> lie_derivative(lambda x: 2 * x, [[3.0, 4.0]], turns, turns).tolist()  # Equivariant.
    [[[0.0, 0.0]]]
    >>> lie_derivative(lambda x: x * x, [[3.0, 4.0]], turns, turns).tolist()
    [[[-8.0, 15.0]]]

    Args:
      model: A function of a batch, as in `stability`.
      inputs: The inputs, `[inputs, ...]`, at least one; of generators of image transformations they are images,
        `[images, height, width, channels]`.
      action: The action on the inputs, `flow(generators)`; or a list of `ImageGenerator`s, at least one; by default all
        of `IMAGE_GENERATORS`, in their order: by radian, counter-clockwise; by pixel, to the right and upwards; by
        the logarithm of a zoom; and by the slope of a shear.
      action_out: The action of the same group on the outputs, its generators in the same order; None for outputs that
        should stay the same. Of images, outputs `[images, height, width, channels]` move along without it.
      batch_size: The number of inputs per chunk.
      dtype: The type to compute in, as for `stability.outputs_over`.

    Returns:
      The derivatives, `[generators, inputs, ...]`, each of the shape of an output.

    Raises:
      TypeError: If the model or a generator cannot be called, the model cannot be copied into the type, or `action_out`
        is no `FlowAction`.
      ValueError: If there is no input or generator, the images have another rank, an action does not act on the inputs
        or outputs or has another number of generators, or the model does not compute in `dtype`, does not return an
        output for each input, or cannot be differentiated.
    """
    if action_out is not None:
        if not isinstance(action, FlowAction) or not isinstance(action_out, FlowAction):
            raise TypeError(
                f"action_out (={action_out!r}) must be flow(generators), where action is too; None for generators of "
                "images, which move outputs [images, height, width, channels] along."
            )
        if len(action_out.generators) != len(action.generators):
            raise ValueError(f"action_out (={action_out!r}) must have as many generators as action (={action!r}).")
    if isinstance(action, Action):
        return derivatives_along(model, inputs, action, action_out, batch_size, dtype)
    moves = {"action": listed_fields(action)}
    (whole,) = _terms({"model": model}, {"inputs": inputs}, moves, batch_size, dtype)
    return whole


def lie_derivative_by_layer(
    layers: Sequence[Model],
    images: npt.ArrayLike,
    generators: Iterable[ImageGenerator] = ALL_GENERATORS,
    *,
    batch_size: int = BATCH,
    dtype: tf.DType = tf.float32,
) -> list[npt.NDArray[Any]]:
    """Decomposes the Lie derivatives of a sequential model into one term per layer.

    The term of layer f, with T the composition of the layers after it, is J_T(f(h)) (L f)(h): the Lie derivative of f
    at its input h, propagated to the outputs. The terms sum to the Lie derivative of the whole model. Features of rank
    4 are images that should transform with the input, all others should stay the same; so a dense layer after a
    flattening layer has the term 0, and the flattening layer that of everything it passes on.

    The stride of each layer is estimated as the ratio of its input's to its output's size, rounded to an integer, since
    layers without padding crop the borders.

    >>> double, corner = lambda x: 2 * x, lambda x: x[:, 0, 0]
    >>> ramp = np.broadcast_to(np.arange(4.0)[:, None], (1, 4, 4, 1))
    >>> [each.item() for each in lie_derivative_by_layer([double, corner], ramp, [IMAGE_GENERATORS["shift right"]])]
    [0.0, -2.0]

    Args:
      layers: Models, at least one, each applied to the outputs of the one before.
      images: The images, `[images, height, width, channels]`, at least one.
      generators: The generators, at least one; by default all of `IMAGE_GENERATORS`.
      batch_size: As in `lie_derivative`.
      dtype: As in `lie_derivative`.

    Returns:
      The term of each layer, `[generators, images, ...]`, of the shape of the outputs.

    Raises:
      TypeError: As in `lie_derivative`, or if the layers are not a list.
      ValueError: As in `lie_derivative`, or if there is no layer.
    """
    if isinstance(generators, FlowAction):
        raise TypeError(f"generators (={generators!r}) must be ImageGenerators, to move the features of each layer.")
    moves = listed_fields(generators, "generators")
    if not np.iterable(layers):
        raise TypeError(f"layers (={named(layers)}) must be a list; pass the layers of the Sequential.")
    models = {f"layers[{index}]": layer for index, layer in enumerate(layers)}
    if not models:
        raise ValueError("layers must hold at least one.")
    return _terms(models, {"images": images}, {"generators": moves}, batch_size, dtype)


def _terms(
    layers: Mapping[str, Model],
    images: Mapping[str, npt.ArrayLike],
    generators: Mapping[str, list[ImageGenerator]],
    batch_size: int,
    dtype: tf.DType,
) -> list[npt.NDArray[Any]]:
    """Computes the terms of layers; each argument by the name that messages call it."""
    ((name, given),), ((fields, listed),) = images.items(), generators.items()
    values, length, dtype = checked_inputs(given, name), at_least("batch_size", batch_size, 1), checked_dtype(dtype)
    if values.ndim != 4:  # TensorFlow's convolution crashes the process on another rank.
        raise ValueError(f"{name} of shape {values.shape} must be [images, height, width, channels].")
    moves = checked_fields(listed, tf.cast(values[:length], dtype), fields)
    run, features = [], values[:1]
    for layer, model in layers.items():
        run.append(ready(model, features, dtype, layer))
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

    # A concrete function, since TensorFlow counts the retracings of a `tf.function` and warns of many.
    pieces = list(in_pieces(compute.get_concrete_function(), values, length, dtype))
    return [np.concatenate([each.numpy() for each in layer], axis=1) for layer in zip(*pieces, strict=True)]


def local_equivariance_error(derivatives: npt.ArrayLike) -> Floats:
    """Computes the local equivariance error: the mean square of Lie derivatives over the entries of the outputs.

    >>> local_equivariance_error([[[3.0, 5.0]], [[0.0, 2.0]]]).tolist()
    [[17.0], [2.0]]

    Args:
      derivatives: Lie derivatives, `[generators, images, ...]`, as returned by `lie_derivative`.

    Returns:
      The mean square per generator and image, `[generators, images]`.

    Raises:
      ValueError: If the derivatives have fewer than two axes.
    """
    values = reals("derivatives", derivatives)
    if values.ndim < 2:
        raise ValueError(f"derivatives of shape {values.shape} must be [generators, images, ...].")
    return np.square(values).reshape(*values.shape[:2], -1).mean(axis=2)


def _through(layers: Sequence[Model], features: tf.Tensor, tangents: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
    """Propagates tangents at features forward through layers."""
    if not layers:
        return tangents
    return jvp(functools.partial(_applied, layers), features, tangents)[1]


def _applied(layers: Sequence[Model], inputs: tf.Tensor) -> tf.Tensor:
    return functools.reduce(lambda features, layer: layer(features), layers, inputs)


def _pitch(before: tuple[float, float], given: tf.TensorShape, made: tf.TensorShape) -> tuple[float, float]:
    """Computes the pitch of a layer's outputs, in pixels of the image, from that of its inputs."""
    if given.rank != 4:
        return before
    row, column = (
        each * (round(old / new) if old >= new else 1 / round(new / old))
        for each, old, new in zip(before, given[1:3], made[1:3], strict=True)
    )
    return row, column


def _slope(images: tf.Tensor, axis: int) -> tf.Tensor:
    """Differentiates images along an axis, by central differences, one-sided at the borders."""
    size = images.shape[axis]
    if size == 1:
        return tf.zeros_like(images)
    steps = tf.split(images, [1, size - 1], axis)[1] - tf.split(images, [size - 1, 1], axis)[0]
    # The one-sided difference at either border is used on both sides of the pixel.
    first, last = tf.split(steps, [1, size - 2], axis)[0], tf.split(steps, [size - 2, 1], axis)[1]
    return (tf.concat([first, steps], axis) + tf.concat([steps, last], axis)) / 2
