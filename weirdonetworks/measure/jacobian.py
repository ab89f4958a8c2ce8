"""The Jacobian of a model, which is never formed: its products along vector fields, and the directions it ignores.

A model is what `stability` says it is. A vector field maps a batch of inputs `[inputs, ...]` to a tangent at each of
them, of the same shape: a constant direction, the generator of a group such as `lambda x: tf.matmul(x, A)`, or an
`ImageGenerator`. Derivatives are those that training sees: where a module has a gradient of its own, such as one
straight through a step, that counts.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.measure.models import Model, named, ready
from weirdonetworks.measure.stability import BATCH, Floats

VectorField: TypeAlias = Callable[[tf.Tensor], tf.Tensor]
Field = TypeVar("Field", bound=VectorField)

ZERO = tf.UnconnectedGradients.ZERO
SKETCH = 32  # Directions in the first sketch of a Jacobian; each further one has twice as many.
OVERSAMPLING = 8  # Directions in a sketch beyond those asked for: the last ones are the least exact.
ITERATIONS = 3  # Of the subspace, so that singular values close to one another are told apart.
LINES = 4  # Along which outputs are watched where all derivatives are 0: on one of them they may have a kink.
PROBE = 2.0**-12  # The steps along these, in proportion to the largest entry of the input.
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


def jvp(model: Model, inputs: tf.Tensor, tangents: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Computes a model's outputs, and their derivatives J(x) v along some tangents v at each input x.

    >>> outputs, (derivative,) = jvp(tf.square, tf.constant([[3.0]]), [tf.constant([[1.0]])])
    >>> outputs.numpy().item(), derivative.numpy().item()
    (9.0, 6.0)

    Args:
      model: See the top of this module.
      inputs: `[inputs, ...]`.
      tangents: Tensors of the shape of the inputs.

    Returns:
      The outputs, and for each tangent a derivative of their shape. TensorFlow takes the gradient of
      `tf.image.resize(method="bilinear")` for a constant, and so derivatives through it for 0, and
      `tf.numpy_function` has no gradient, so that derivatives are 0 too; the measures refuse both.
    """
    # J v is the gradient of (J^T u) v by u, whatever u is. Forward accumulation fails on attention in chunks, and in a
    # penalty, its epoch compiled with XLA, was seen to be five times slower and to spoil the training.
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as outer:
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(inputs)
            outputs = model(inputs)
        covector = tf.zeros_like(outputs)
        outer.watch(covector)
        pulled = inner.gradient(outputs, inputs, output_gradients=covector, unconnected_gradients=ZERO)
    derivatives = [
        outer.gradient(pulled, covector, output_gradients=tangent, unconnected_gradients=ZERO) for tangent in tangents
    ]
    return outputs, derivatives


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

    They are the null directions of the inputs' Jacobians, one above the other. Those that are not null are found by a
    randomised singular value decomposition, from products with the Jacobian and its transpose alone (Halko, Martinsson
    & Tropp, Finding structure with randomness, 2011, algorithm 4.4), with a sketch that is doubled until it holds a
    singular value below the tolerance. So the cost is that of as many directions as the model is sensitive to.

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
    limit = min(wanted + OVERSAMPLING, most)
    products = _Products(run, values, batch_size, dtype)
    width = min(SKETCH, limit)
    while True:
        singular, directions = _leading(products, rng.normal(size=(width, size)))
        if singular[-1] <= tolerance * singular[0] or width == limit:
            break
        width = min(2 * width, limit)
    rank = min(int((singular > tolerance * singular[0]).sum()), wanted)
    bound = float(singular[rank]) if rank < width else 0.0
    return InvariantDirections(singular[:rank], directions[:rank].reshape(rank, *shape), bound)


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


def in_pieces(
    compute: Callable[..., Any], values: npt.NDArray[Any], length: int, dtype: tf.DType, *others: tf.Tensor
) -> Iterator[Any]:
    """Yields what a traced function makes of so many inputs at a time, and of what else it takes."""
    for start in tqdm(range(0, len(values), length), desc="differentiating", unit="piece", leave=False, disable=None):
        yield compute(tf.cast(values[start : start + length], dtype), *others)


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


def _leading(products: "_Products", sketch: Floats) -> tuple[Floats, Floats]:
    """Finds the leading singular values, falling, and right singular vectors, `[width, entries]`, from a sketch."""
    basis = np.linalg.qr(sketch.T)[0]
    for _ in range(ITERATIONS):
        basis = np.linalg.qr(products.pulled_back(basis.T).T)[0]
    moments = products.moments(basis.T)
    if not np.isfinite(moments).all():
        raise ValueError("model must have finite derivatives at all inputs.")
    squares, vectors = np.linalg.eigh(moments)
    return np.sqrt(np.maximum(squares[::-1], 0)), (basis @ vectors[:, ::-1]).T


class _Products:
    """Products of the Jacobians J of some inputs, one above the other, with directions `[directions, entries]`."""

    def __init__(self, run: Model, values: npt.NDArray[Any], batch_size: int, dtype: tf.DType):
        self._run, self._values, self._batch_size, self._dtype = run, values, batch_size, dtype
        shape = values.shape[1:]
        signature = [tf.TensorSpec([None, *shape], dtype), tf.TensorSpec([None, math.prod(shape)], dtype)]
        traced = [
            tf.function(each, input_signature=signature, autograph=False).get_concrete_function()
            for each in (self._pull_back, self._multiply)
        ]
        self._pulled, self._multiplied = traced

    def pulled_back(self, directions: Floats) -> Floats:
        """Gives J^T J v for each direction v, over the number of inputs."""
        return self._mean(self._pulled, directions)

    def moments(self, directions: Floats) -> Floats:
        """Gives (J v) (J w) for each two directions v and w, over the number of inputs."""
        return self._mean(self._multiplied, directions)

    def _mean(self, compute: Callable[..., tf.Tensor], directions: Floats) -> Floats:
        length = max(self._batch_size // len(directions), 1)
        pieces = in_pieces(compute, self._values, length, self._dtype, tf.cast(directions, self._dtype))
        return sum(piece.numpy().astype(np.float64) for piece in pieces) / len(self._values)

    def _pull_back(self, batch: tf.Tensor, directions: tf.Tensor) -> tf.Tensor:
        repeated, derivatives = self._push(batch, directions)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(repeated)
            outputs = self._run(repeated)
        back = tape.gradient(outputs, repeated, output_gradients=derivatives, unconnected_gradients=ZERO)
        return tf.reduce_sum(tf.reshape(back, tf.concat([[-1], tf.shape(directions)], 0)), axis=0)

    def _multiply(self, batch: tf.Tensor, directions: tf.Tensor) -> tf.Tensor:
        _, derivatives = self._push(batch, directions)
        rows = tf.cast(tf.reshape(derivatives, [tf.shape(batch)[0], tf.shape(directions)[0], -1]), tf.float64)
        return tf.einsum("ivo,iwo->vw", rows, rows)  # In float64: else the squares would lose the small values.

    def _push(self, batch: tf.Tensor, directions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Gives each input once for each direction, and the derivatives there."""
        repeated = tf.repeat(batch, tf.shape(directions)[0], axis=0)
        tangents = tf.reshape(tf.tile(directions, [tf.shape(batch)[0], 1]), tf.shape(repeated))
        _, (derivatives,) = jvp(self._run, repeated, [tangents])
        return repeated, derivatives
