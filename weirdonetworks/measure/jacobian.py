"""The Jacobian of a model: its products along vector fields, its spectrum, and the directions that the model ignores.

A model is what `stability` says it is. A vector field maps a batch of inputs `[inputs, ...]` to a tangent at each of
them, of the same shape: a constant direction, the generator of a group such as `lambda x: tf.matmul(x, A)`, or an
`ImageGenerator`. Derivatives are those that training sees: where a module has a gradient of its own, such as one
straight through a step, that counts.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.measure.models import Model, named, ready
from weirdonetworks.measure.products import ZERO, Products, formed, in_pieces, jvp
from weirdonetworks.measure.stability import BATCH, Floats

VectorField: TypeAlias = Callable[[tf.Tensor], tf.Tensor]
Field = TypeVar("Field", bound=VectorField)

FORMED = 2**22  # The most entries of a Jacobian that is formed: no more than 32 MiB.
SKETCH = 32  # Directions in the first sketch of a Jacobian; each further one has twice as many.
OVERSAMPLING = 8  # Directions in a sketch beyond those asked for: the last ones are the least exact.
ITERATIONS = 3  # Of the subspace, so that singular values close to one another are told apart.
LINES = 4  # Along which outputs are watched where all derivatives are 0: on one of them they may have a kink.
PROBE = 2.0**-12  # The steps along these, in proportion to the largest entry of the input.
INFINITE = "model must have finite derivatives at all inputs."
ROUNDING = 1e-6  # Of derivatives, in proportion to the outputs.


@dataclasses.dataclass(frozen=True, eq=False)
class InvariantDirections:
    """Which directions of the input a model ignores: all those orthogonal to the ones it is sensitive to.

    Where `max_rank` ended the search, sensitive directions may be left among those that count as invariant here. Then
    `dimension` and `share` are upper bounds, `basis` and `projected` are of a space that only contains the invariant
    directions, and `bound` tells how sensitive the model may be to the rest of it.

    Attributes:
      singular_values: Those of the sensitive directions, falling, `[rank]`. Along such a direction, of length 1, the
        derivative of the outputs has this length, as a root mean square over the inputs.
      sensitive: The sensitive directions, orthonormal, `[rank, ...]`, each of the shape of an input.
      bound: The largest such value of an invariant direction, as far as a sketch tells.
    """

    singular_values: Floats
    sensitive: Floats
    bound: float

    @property
    def dimension(self) -> int:
        """The dimension of the space of invariant directions; an upper bound where `max_rank` ended the search."""
        return math.prod(self.sensitive.shape[1:]) - len(self.sensitive)

    def projected(self, vectors: npt.ArrayLike) -> Floats:
        """Gives the part of vectors `[..., *shape of an input]` that lies along invariant directions.

        Raises:
          ValueError: If the vectors are of another shape than the inputs.
        """
        given, rows = np.asarray(vectors, np.float64), self._rows
        shape = self.sensitive.shape[1:]
        if given.shape[-len(shape) :] != shape:
            raise ValueError(f"vectors of shape {given.shape} must end in {shape}, the shape of an input.")
        flat = given.reshape(-1, rows.shape[1])
        return (flat - flat @ rows.T @ rows).reshape(given.shape)

    def share(self, vectors: npt.ArrayLike) -> Floats:
        """Measures the share of the squared length of vectors that lies along invariant directions, in [0, 1].

        A random vector has the share dimension / entries on average, and a vector of zeros has 1.

        Raises:
          ValueError: As in `projected`.
        """
        inside, given = self.projected(vectors), np.asarray(vectors, np.float64)
        axes = tuple(range(1 - self.sensitive.ndim, 0))
        size = np.square(given).sum(axis=axes)
        return np.divide(np.square(inside).sum(axis=axes), size, out=np.ones_like(size), where=size != 0)

    def basis(self) -> Floats:
        """Gives orthonormal invariant directions, `[dimension, ...]`, by a square matrix as wide as an input."""
        complete, _ = np.linalg.qr(self._rows.T, mode="complete")
        return complete[:, len(self.sensitive) :].T.reshape(-1, *self.sensitive.shape[1:])

    @property
    def _rows(self) -> Floats:
        return self.sensitive.reshape(len(self.sensitive), math.prod(self.sensitive.shape[1:]))


def jacobian_along(
    model: Model,
    inputs: npt.ArrayLike,
    generators: Iterable[VectorField],
    *,
    batch_size: int = BATCH,
    dtype: tf.DType = tf.float32,
) -> npt.NDArray[Any]:
    """Computes the derivatives J(x) v(x) of a model's outputs along vector fields.

    A model is invariant under a connected group of transformations just if they vanish for all its generators and
    inputs.

    >>> turn = tf.constant([[0.0, 1.0], [-1.0, 0.0]])  # Takes (x, y) to (-y, x), the velocity of a rotation.
    >>> jacobian_along(lambda x: x[:, :1], [[3.0, 4.0]], [lambda x: tf.matmul(x, turn)]).ravel().tolist()
    [-4.0]
    >>> jacobian_along(lambda x: tf.norm(x, axis=1), [[3.0, 4.0]], [lambda x: tf.matmul(x, turn)]).ravel().tolist()
    [0.0]

    Args:
      model: See the top of this module.
      inputs: `[inputs, ...]`, at least one.
      generators: Vector fields, at least one.
      batch_size: How many inputs there may be at a time.
      dtype: The type to compute in, as for `stability.outputs_over`.

    Returns:
      The derivatives, `[generators, inputs, ...]`, each of the shape of an output.

    Raises:
      TypeError: If the model or a generator cannot be called, or the model cannot be copied into the type.
      ValueError: If there is no input or generator, a generator gives another shape than that of the inputs, or the
        model does not compute in the type, does not give an output for each input, or cannot be differentiated, as
        `differentiable` tells.
    """
    values, length = checked_inputs(inputs), at_least("batch_size", batch_size, 1)
    fields = checked_fields(generators, tf.cast(values[:length], dtype))
    run = differentiable(model, values[:1], dtype)

    @tf.function(input_signature=[tf.TensorSpec([None, *values.shape[1:]], dtype)], autograph=False)
    def compute(batch: tf.Tensor) -> tf.Tensor:
        return tf.stack(jvp(run, batch, [tf.convert_to_tensor(field(batch), dtype) for field in fields])[1])

    # Called as it is, it is not counted among the retracings of one function that TensorFlow warns of.
    pieces = in_pieces(compute.get_concrete_function(), values, length, dtype)
    return np.concatenate(list(pieces), axis=1)


def invariant_directions(
    model: Model,
    inputs: npt.ArrayLike,
    *,
    tolerance: float = 1e-3,
    max_rank: int | None = None,
    seed: int = 0,
    batch_size: int = BATCH,
    dtype: tf.DType = tf.float32,
) -> InvariantDirections:
    """Finds the directions of the input along which a model's outputs do not change at any of some inputs.

    They are the null directions of the inputs' Jacobians, one above the other. Where these have few numbers, the
    singular value decomposition is that of `spectrum`. Else the directions that are not null are found by a randomised
    one, from products with the Jacobian and its transpose alone (Halko, Martinsson & Tropp, Finding structure with
    randomness, 2011, algorithm 4.4), with a sketch that is doubled until it holds a singular value below the tolerance.
    So the cost is that of as many directions as the model is sensitive to.

    >>> found = invariant_directions(lambda x: x[:, :1] + x[:, 1:2], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> found.singular_values.round(3).tolist(), found.dimension
    ([1.414], 2)
    >>> found.share([[1.0, -1.0, 0.0], [1.0, 1.0, 0.0]]).round(6).tolist()
    [1.0, 0.0]

    Args:
      model: See the top of this module.
      inputs: `[inputs, ...]`, at least one.
      tolerance: Directions count as invariant if their singular values are at most this share of the largest, in
        [0, 1). In float32 rounding is about 1e-6 of it.
      max_rank: The most sensitive directions to look for; what is left of them counts as invariant, and the `bound`
        tells how sensitive it is. None for as many as there are.
      seed: What the first sketch is drawn from.
      batch_size: How many inputs times directions there may be at a time; all directions of one input at the least.
      dtype: The type to compute in, as for `stability.outputs_over`.

    Raises:
      TypeError: If a number is no integer, or the model cannot be called or copied into the type.
      ValueError: If a number is out of range, there is no input, a derivative is not finite, or the model does not fit,
        as in `jacobian_along`.
    """
    values = checked_inputs(inputs)
    if not isinstance(tolerance, int | float | np.floating) or not 0 <= tolerance < 1:
        raise ValueError(f"tolerance (={tolerance!r}) must be a number in [0, 1).")
    batch_size, rng = at_least("batch_size", batch_size, 1), np.random.default_rng(at_least("seed", seed, 0))
    run = differentiable(model, values[:1], dtype)
    shape = values.shape[1:]
    size = math.prod(shape)
    rows = len(values) * math.prod(run(tf.cast(values[:1], dtype)).shape)
    most = min(rows, size)
    wanted = most if max_rank is None else at_least("max_rank", max_rank, 1)
    if rows * size <= FORMED:
        singular, directions = _decomposed(formed(run, values, batch_size, dtype))
    else:
        products = Products(run, values, batch_size, dtype)
        singular, directions = _sketched(products, rng, size, min(wanted + OVERSAMPLING, most), tolerance)
    rank = min(int((singular > tolerance * singular[0]).sum()), wanted)
    bound = float(singular[rank]) if rank < len(singular) else 0.0
    return InvariantDirections(singular[:rank], directions[:rank].reshape(rank, *shape), bound)


def spectrum(
    model: Model, inputs: npt.ArrayLike, *, batch_size: int = BATCH, dtype: tf.DType = tf.float32
) -> tuple[Floats, Floats]:
    """Decomposes the Jacobians of a model at some inputs, one above the other; they are formed for it.

    >>> singular, directions = spectrum(lambda x: x[:, :1] + x[:, 1:2], [[1.0, 2.0], [4.0, 5.0]])
    >>> singular.round(3).tolist(), np.abs(directions[0]).round(3).tolist()
    ([1.414, 0.0], [0.707, 0.707])

    Args:
      model: See the top of this module.
      inputs: `[inputs, ...]`, at least one.
      batch_size: How many inputs there may be at a time.
      dtype: The type to compute in, as for `stability.outputs_over`.

    Returns:
      All singular values, falling, each a root mean square over the inputs, and the direction of each, orthonormal,
      `[values, ...]`, of the shape of an input.

    Raises:
      TypeError, ValueError: As `invariant_directions`.
    """
    values = checked_inputs(inputs)
    run = differentiable(model, values[:1], dtype)
    singular, directions = _decomposed(formed(run, values, at_least("batch_size", batch_size, 1), dtype))
    return singular, directions.reshape(-1, *values.shape[1:])


def differentiable(model: Model, example: npt.NDArray[Any], dtype: tf.DType) -> Model:
    """Makes sure that a model has its variables, computes in a type, and can be differentiated by `jvp`.

    Derivatives of 0 are taken as they are where outputs stand still or jump, as those of a constant, `tf.sign` or
    `tf.floor` do. They are lost where outputs move nonetheless, as through `tf.numpy_function`, or `tf.stop_gradient`
    around a whole model; steps far below a thousandth of the largest entry count as movement. What is lost of some
    part of a model, beside another that has its gradient, is not seen.

    Raises:
      TypeError: If the model cannot be called, or copied into the type.
      ValueError: If it does not compute in the type or give an output for each input, or derivatives are lost.
    """
    run = ready(model, example, dtype)
    refusal = ValueError(
        f"model (={named(model)}) must be made of operations whose gradients TensorFlow can differentiate; bilinear "
        "tf.image.resize (a convolution can take its place), tf.numpy_function and tf.py_function are none."
    )
    try:
        lost = _loses_derivatives(run, tf.cast(example, dtype))
    except (LookupError, tf.errors.UnknownError) as error:  # What `tf.py_function` keeps serves one gradient only.
        raise refusal from error
    if lost:
        raise refusal
    return run


def checked_inputs(inputs: npt.ArrayLike) -> npt.NDArray[Any]:
    """Gives inputs `[inputs, ...]` as an array.

    Raises:
      ValueError: If there is none, or they have no further axis.
    """
    values = np.asarray(inputs)
    if values.ndim < 2 or not len(values):
        raise ValueError(f"inputs of shape {values.shape} must be [inputs, ...], at least one.")
    return values


def checked_fields(generators: Iterable[Field], batch: tf.Tensor) -> list[Field]:
    """Lists vector fields, each tried on a batch of inputs.

    Raises:
      TypeError: If they are no list of functions.
      ValueError: If there is none, or one gives another shape than that of the inputs.
    """
    if not np.iterable(generators) or not all(map(callable, fields := list(generators))):
        raise TypeError(
            f"generators (={named(generators)}) must be a list of functions, such as [IMAGE_GENERATORS['rotation']]."
        )
    if not fields:
        raise ValueError("generators must hold at least one vector field.")
    for field in fields:
        tangents = field(batch)
        if (shape := getattr(tangents, "shape", tangents)) != batch.shape:
            raise ValueError(
                f"generators: {field!r} must give tangents of the shape of the inputs, {batch.shape}, not {shape}."
            )
    return fields


def _loses_derivatives(run: Model, inputs: tf.Tensor) -> bool:
    """Tells whether derivatives are not those that the gradient gives, or both are 0 though the outputs move."""
    rng = np.random.default_rng(0)
    tangent = tf.constant(rng.normal(size=inputs.shape), inputs.dtype)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        outputs, (derivative,) = jvp(run, inputs, [tangent])
    covector = tf.constant(rng.normal(size=outputs.shape), inputs.dtype)
    pulled = tape.gradient(outputs, inputs, output_gradients=covector, unconnected_gradients=ZERO)
    forwards, backwards = covector * derivative, pulled * tangent
    size = tf.reduce_sum(tf.abs(forwards)) + tf.reduce_sum(tf.abs(backwards))
    if size == 0:
        largest = tf.reduce_max(tf.abs(inputs))
        scale = tf.where(largest > 0, largest, tf.ones_like(largest))
        lines = tf.constant(rng.normal(size=[LINES, *inputs.shape]), inputs.dtype)
        return any(_moves_without_derivatives(run, inputs, scale * each) for each in lines)
    # A constant such as the sum of probabilities has rounding for a derivative, another one each way.
    rounding = ROUNDING * tf.reduce_sum(tf.abs(covector * outputs))
    return bool(tf.abs(tf.reduce_sum(forwards) - tf.reduce_sum(backwards)) > 1e-2 * size + rounding)


def _moves_without_derivatives(run: Model, inputs: tf.Tensor, tangent: tf.Tensor) -> bool:
    """Tells whether outputs move in proportion along a short line, at whose points derivatives along it are 0."""
    # Not from the inputs themselves: zeros in an image are where ReLU has a kink, a square is flat, and a sign jumps.
    line = tf.concat([inputs + number * PROBE * tangent for number in range(1, 6)], axis=0)
    outputs, (derivatives,) = jvp(run, line, [tf.repeat(tangent, 5, axis=0)])
    moves = outputs[1:] - outputs[:-1]
    mean = tf.reduce_mean(moves, axis=0)
    even = tf.reduce_max(tf.abs(moves - mean)) < 0.1 * tf.reduce_max(tf.abs(mean))
    return bool(even and not tf.reduce_any(derivatives != 0))


def _decomposed(jacobian: Floats) -> tuple[Floats, Floats]:
    """Finds all singular values, falling, and right singular vectors, `[values, entries]`, of a matrix."""
    if not np.isfinite(jacobian).all():
        raise ValueError(INFINITE)
    _, singular, directions = np.linalg.svd(jacobian, full_matrices=False)
    return singular, directions


def _sketched(
    products: Products, rng: np.random.Generator, size: int, limit: int, tolerance: float
) -> tuple[Floats, Floats]:
    """Finds the singular values down to a share of the largest, or so many of them, by sketches that double."""
    width = min(SKETCH, limit)
    while True:
        singular, directions = _leading(products, rng.normal(size=(width, size)))
        if singular[-1] <= tolerance * singular[0] or width == limit:
            return singular, directions
        width = min(2 * width, limit)


def _leading(products: Products, sketch: Floats) -> tuple[Floats, Floats]:
    """Finds the leading singular values, falling, and right singular vectors, `[width, entries]`, from a sketch."""
    basis = np.linalg.qr(sketch.T)[0]
    for _ in range(ITERATIONS):
        basis = np.linalg.qr(products.pulled_back(basis.T).T)[0]
    moments = products.moments(basis.T)
    if not np.isfinite(moments).all():
        raise ValueError(INFINITE)
    squares, vectors = np.linalg.eigh(moments)
    return np.sqrt(np.maximum(squares[::-1], 0)), (basis @ vectors[:, ::-1]).T
