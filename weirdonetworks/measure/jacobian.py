"""The Jacobian of a model: derivatives along vector fields, singular values, and the model's invariant directions.

A model is a function of a batch, as in `stability`. A vector field maps a batch of inputs `[inputs, ...]` to a tangent
vector at each, of the same shape: a constant direction, a function such as `lambda x: tf.matmul(x, A)`, or an
`ImageGenerator`. The action `flow(generators)` of a Lie group stands for the fields of its generators. Derivatives are
those that training uses: custom gradients, such as straight-through ones, apply. Products of float32 are not rounded to
TF32 on GPUs.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra.actions import Action, FlowAction
from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.measure.models import Model, checked_inputs, in_pieces, named, ready
from weirdonetworks.measure.precision import checked_dtype
from weirdonetworks.measure.products import ZERO, Products, formed, jvp
from weirdonetworks.measure.stability import BATCH, Floats

VectorField: TypeAlias = Callable[[tf.Tensor], tf.Tensor]
Field = TypeVar("Field", bound=VectorField)

FORMED = 2**22  # The most entries of a dense Jacobian: 32 MiB.
SKETCH = 32  # Columns of the first sketch of a Jacobian; each further sketch has twice as many.
OVERSAMPLING = 8  # Columns of a sketch beyond the rank sought: the last ones are the least accurate.
ITERATIONS = 3  # Subspace iterations, which separate singular values close to one another.
LINES = 4  # Random lines on which outputs are compared where all derivatives are 0; one of them may cross a kink.
PROBE = 2.0**-12  # The step along these lines, relative to the largest entry of the input.
INFINITE = "model must have finite derivatives at all inputs."
ROUNDING = 1e-6  # Of derivatives, relative to the outputs.


@dataclasses.dataclass(frozen=True, eq=False)
class InvariantDirections:
    """The input directions along which a model's outputs do not change, and the sensitive ones orthogonal to them.

    Where the search stopped at `max_rank`, sensitive directions may remain in the complement. Then `dimension` and
    `share` are upper bounds, `basis` and `projected` refer to a space that contains the invariant directions, and
    `bound` estimates the model's largest sensitivity in it.

    >>> found = invariant_directions(lambda x: x[:, :1] - x[:, 1:2], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> found.dimension, found.share([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]).round(3).tolist()
    (2, [1.0, 0.5])

    Attributes:
      singular_values: The singular values of the sensitive directions, descending, `[rank]`: the root mean square over
        the inputs of the norm of the outputs' derivative along the unit direction.
      sensitive: The sensitive directions, orthonormal, `[rank, ...]`, each of the shape of an input.
      bound: The largest singular value of an invariant direction, estimated from a sketch.
    """

    singular_values: Floats
    sensitive: Floats
    bound: float

    @property
    def dimension(self) -> int:
        """The dimension of the space of invariant directions; an upper bound where the search stopped at `max_rank`."""
        return math.prod(self.sensitive.shape[1:]) - len(self.sensitive)

    def projected(self, vectors: npt.ArrayLike) -> Floats:
        """Projects vectors `[..., *shape of an input]` onto the space of invariant directions.

        Raises:
          ValueError: If the vectors do not have the shape of the inputs.
        """
        given, rows = np.asarray(vectors, np.float64), self._rows
        shape = self.sensitive.shape[1:]
        if given.shape[-len(shape) :] != shape:
            raise ValueError(f"vectors of shape {given.shape} must end in {shape}, the shape of an input.")
        flat = given.reshape(-1, rows.shape[1])
        return (flat - flat @ rows.T @ rows).reshape(given.shape)

    def share(self, vectors: npt.ArrayLike) -> Floats:
        """Computes the share of the squared norm of vectors in the space of invariant directions, in [0, 1].

        For a random vector it is dimension / entries on average, for a zero vector 1.

        Raises:
          ValueError: As in `projected`.
        """
        inside, given = self.projected(vectors), np.asarray(vectors, np.float64)
        axes = tuple(range(1 - self.sensitive.ndim, 0))
        size = np.square(given).sum(axis=axes)
        return np.divide(np.square(inside).sum(axis=axes), size, out=np.ones_like(size), where=size != 0)

    def basis(self) -> Floats:
        """Computes an orthonormal basis of the invariant directions, `[dimension, ...]`, from an n x n matrix."""
        complete, _ = np.linalg.qr(self._rows.T, mode="complete")
        return complete[:, len(self.sensitive) :].T.reshape(-1, *self.sensitive.shape[1:])

    @property
    def _rows(self) -> Floats:
        return self.sensitive.reshape(len(self.sensitive), math.prod(self.sensitive.shape[1:]))


def jacobian_along(
    model: Model,
    inputs: npt.ArrayLike,
    action: FlowAction | Iterable[VectorField],
    *,
    batch_size: int = BATCH,
    dtype: tf.DType = tf.float32,
) -> npt.NDArray[Any]:
    """Computes the derivatives J(x) v(x) of a model's outputs along vector fields.

    A model is invariant under a connected group of transformations if and only if they vanish for all generators of the
    group and all inputs.

    >>> from weirdonetworks.algebra import flow
    >>> turns = flow([[[0.0, -1.0], [1.0, 0.0]]])  # Takes (x, y) to (-y, x), the velocity of a rotation.
    >>> jacobian_along(lambda x: x[:, :1], [[3.0, 4.0]], turns).ravel().tolist()
    [-4.0]
    >>> jacobian_along(lambda x: tf.norm(x, axis=1), [[3.0, 4.0]], turns).ravel().tolist()
    [0.0]

    Args:
      model: A function of a batch; see the module docstring.
      inputs: The inputs, `[inputs, ...]`, at least one.
      action: Vector fields, at least one; or an action `flow(generators)` on the inputs.
      batch_size: The number of inputs per chunk.
      dtype: The type to compute in, as for `stability.outputs_over`.

    Returns:
      The derivatives, `[generators, inputs, ...]`, each of the shape of an output.

    Raises:
      TypeError: If the model or a vector field cannot be called, or the model cannot be copied into the type.
      ValueError: If there is no input or vector field, one returns another shape than that of the inputs or the action
        does not act on it, or the model does not compute in `dtype`, does not return an output for each input, or
        cannot be differentiated (see `differentiable`).
    """
    return derivatives_along(model, inputs, action, None, batch_size, dtype)


def derivatives_along(
    model: Model,
    inputs: npt.ArrayLike,
    action: Action | Iterable[VectorField],
    action_out: FlowAction | None,
    batch_size: int,
    dtype: tf.DType,
) -> npt.NDArray[Any]:
    """Computes J(x) v(x) - w(F(x)), with v the vector fields of one action and w those of another, 0 if it is None."""
    values, length, dtype = checked_inputs(inputs), at_least("batch_size", batch_size, 1), checked_dtype(dtype)
    fields = checked_fields(action, tf.cast(values[:length], dtype))
    run = differentiable(model, values[:1], dtype)
    behind: list[VectorField] | None = None
    if action_out is not None:
        behind = checked_fields(action_out, run(tf.cast(values[:1], dtype)))

    @tf.function(input_signature=[tf.TensorSpec([None, *values.shape[1:]], dtype)], autograph=False)
    def compute(batch: tf.Tensor) -> tf.Tensor:
        outputs, derivatives = jvp(run, batch, [tf.convert_to_tensor(field(batch), dtype) for field in fields])
        return (
            tf.stack(derivatives) - tf.stack([field(outputs) for field in behind]) if behind else tf.stack(derivatives)
        )

    # A concrete function, since TensorFlow counts the retracings of a `tf.function` and warns of many.
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
    """Finds the input directions along which a model's outputs do not change, to first order, at any of some inputs.

    They are the null space of the stacked Jacobians of the inputs. A small Jacobian is decomposed exactly, as in
    `spectrum`. Of a large one the row space is found by a randomised singular value decomposition, from products with
    the Jacobian and its transpose alone (Halko, Martinsson & Tropp, Finding structure with randomness, 2011, algorithm
    4.4); the sketch is doubled until it contains a singular value below the tolerance. So the cost is proportional to
    the number of sensitive directions.

    >>> found = invariant_directions(lambda x: x[:, :1] + x[:, 1:2], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> found.singular_values.round(3).tolist(), found.dimension
    ([1.414], 2)
    >>> found.share([[1.0, -1.0, 0.0], [1.0, 1.0, 0.0]]).round(6).tolist()
    [1.0, 0.0]

    Args:
      model: A function of a batch; see the module docstring.
      inputs: The inputs, `[inputs, ...]`, at least one.
      tolerance: The largest singular value of an invariant direction, relative to the largest of all, in [0, 1). In
        float32 the rounding error is about 1e-6.
      max_rank: The maximum number of sensitive directions to find; the others count as invariant, with `bound` an
        estimate of their sensitivity. None for no limit.
      seed: Seed of the first sketch.
      batch_size: The number of pairs of an input and a direction per chunk; at least all directions of one input.
      dtype: The type to compute in, as for `stability.outputs_over`.

    Raises:
      TypeError: If an argument is not an integer, or the model cannot be called or copied into `dtype`.
      ValueError: If an argument is out of range, there is no input, a derivative is not finite, or as in
        `jacobian_along` of the model.
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
    """Computes the singular value decomposition of the stacked dense Jacobians of a model at some inputs.

    >>> singular, directions = spectrum(lambda x: x[:, :1] + x[:, 1:2], [[1.0, 2.0], [4.0, 5.0]])
    >>> singular.round(3).tolist(), np.abs(directions[0]).round(3).tolist()
    ([1.414, 0.0], [0.707, 0.707])

    Args:
      model: A function of a batch; see the module docstring.
      inputs: The inputs, `[inputs, ...]`, at least one.
      batch_size: The number of inputs per chunk.
      dtype: The type to compute in, as for `stability.outputs_over`.

    Returns:
      The singular values, descending, divided by sqrt(inputs), `[values]`; and the right singular vectors, orthonormal,
      `[values, ...]`, each of the shape of an input.

    Raises:
      TypeError, ValueError: As `invariant_directions`.
    """
    values = checked_inputs(inputs)
    run = differentiable(model, values[:1], dtype)
    singular, directions = _decomposed(formed(run, values, at_least("batch_size", batch_size, 1), dtype))
    return singular, directions.reshape(-1, *values.shape[1:])


def differentiable(model: Model, example: npt.NDArray[Any], dtype: tf.DType) -> Model:
    """Checks that a model, called once to make its variables, computes in a type and can be differentiated by `jvp`.

    Derivatives of 0 are accepted where the outputs are piecewise constant, as those of `tf.sign` or `tf.floor` are.
    They are refused where the outputs change continuously nonetheless, as through `tf.numpy_function`, or
    `tf.stop_gradient` around a whole model; steps far below a thousandth of the largest entry are taken for continuous
    change. A missing gradient of a part of the model, in parallel with a part that has one, is not detected.

    Raises:
      TypeError: If the model cannot be called, or copied into `dtype`.
      ValueError: If it does not compute in `dtype`, does not return an output for each input, or lacks derivatives.
    """
    run = ready(model, example, dtype)
    refusal = ValueError(
        f"model (={named(model)}) must be made of operations whose gradients TensorFlow can differentiate; bilinear "
        "tf.image.resize (a convolution can take its place), tf.numpy_function and tf.py_function are not."
    )
    try:
        lost = _loses_derivatives(run, tf.cast(example, dtype))
    except (LookupError, tf.errors.UnknownError) as error:  # The tape of `tf.py_function` serves one gradient only.
        raise refusal from error
    if lost:
        raise refusal
    return run


def checked_fields(action: Action | Iterable[Field], batch: tf.Tensor, name: str = "action") -> list[Field]:
    """Returns vector fields as a list, each checked on a batch of inputs; those of an action on them.

    Raises:
      TypeError: If they are neither a `FlowAction` nor a list of functions; the message calls them `name`.
      ValueError: If there is none, one returns another shape than that of the inputs, or the action does not act on it.
    """
    if isinstance(action, FlowAction):
        action.on(tuple(batch.shape[1:]))
        return [functools.partial(_velocity, matrix) for matrix in action.generators]  # type: ignore[misc]
    fields = listed_fields(action, name)
    for field in fields:
        tangents = field(batch)
        if (shape := getattr(tangents, "shape", tangents)) != batch.shape:
            raise ValueError(
                f"{name}: {field!r} must give tangents of the shape of the inputs, {batch.shape}, not {shape}."
            )
    return fields


def listed_fields(action: Any, name: str = "action") -> list[Any]:
    """Returns vector fields, one or more, as a list; a `TypeError` or `ValueError` otherwise."""
    if not np.iterable(action) or not all(map(callable, fields := list(action))):
        raise TypeError(
            f"{name} (={named(action)}) must be flow(generators) or a list of functions, such as "
            "[IMAGE_GENERATORS['rotation']]; finite groups have no derivatives."
        )
    if not fields:
        raise ValueError(f"{name} must hold at least one vector field.")
    return fields


def _velocity(matrix: Floats, inputs: tf.Tensor) -> tf.Tensor:
    """Computes A x for each x along the last axis of inputs, or for flattened inputs of another shape."""
    vectors = tf.reshape(inputs, [-1, len(matrix)])
    return tf.reshape(tf.matmul(vectors, tf.constant(matrix, inputs.dtype), transpose_b=True), tf.shape(inputs))


def _loses_derivatives(run: Model, inputs: tf.Tensor) -> bool:
    """Tests whether `jvp` disagrees with the gradient, or both are 0 though the outputs change."""
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
    # The derivative of a constant, such as the sum of probabilities, is a rounding error that differs between the two.
    rounding = ROUNDING * tf.reduce_sum(tf.abs(covector * outputs))
    return bool(tf.abs(tf.reduce_sum(forwards) - tf.reduce_sum(backwards)) > 1e-2 * size + rounding)


def _moves_without_derivatives(run: Model, inputs: tf.Tensor, tangent: tf.Tensor) -> bool:
    """Tests whether outputs change linearly along a short line on which the computed derivatives are 0."""
    # Not from the inputs themselves: at zeros of an image ReLU has a kink, the square is flat, and the sign jumps.
    line = tf.concat([inputs + number * PROBE * tangent for number in range(1, 6)], axis=0)
    outputs, (derivatives,) = jvp(run, line, [tf.repeat(tangent, 5, axis=0)])
    moves = outputs[1:] - outputs[:-1]
    mean = tf.reduce_mean(moves, axis=0)
    even = tf.reduce_max(tf.abs(moves - mean)) < 0.1 * tf.reduce_max(tf.abs(mean))
    return bool(even and not tf.reduce_any(derivatives != 0))


def _decomposed(jacobian: Floats) -> tuple[Floats, Floats]:
    """Computes all singular values, descending, and right singular vectors, `[values, entries]`, of a matrix."""
    if not np.isfinite(jacobian).all():
        raise ValueError(INFINITE)
    _, singular, directions = np.linalg.svd(jacobian, full_matrices=False)
    return singular, directions


def _sketched(
    products: Products, rng: np.random.Generator, size: int, limit: int, tolerance: float
) -> tuple[Floats, Floats]:
    """Finds the leading singular values, down to a relative tolerance or up to a limit, doubling the sketch."""
    width = min(SKETCH, limit)
    while True:
        singular, directions = _leading(products, rng.normal(size=(width, size)))
        if singular[-1] <= tolerance * singular[0] or width == limit:
            return singular, directions
        width = min(2 * width, limit)


def _leading(products: Products, sketch: Floats) -> tuple[Floats, Floats]:
    """Computes leading singular values, descending, and right singular vectors, `[width, entries]`, from a sketch."""
    basis = np.linalg.qr(sketch.T)[0]
    for _ in range(ITERATIONS):
        basis = np.linalg.qr(products.pulled_back(basis.T).T)[0]
    moments = products.moments(basis.T)
    if not np.isfinite(moments).all():
        raise ValueError(INFINITE)
    squares, vectors = np.linalg.eigh(moments)
    return np.sqrt(np.maximum(squares[::-1], 0)), (basis @ vectors[:, ::-1]).T
