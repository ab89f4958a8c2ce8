"""Quadratic layers with free weights, shared weights, or weights under linear constraints."""

import math
import numbers
from typing import Any

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import fields, modular, monomials
from weirdonetworks.algebra.arrays import Ints, array, at_least, shown
from weirdonetworks.algebra.fields import Exact
from weirdonetworks.nets.base_module import BaseModule, Initializer, drawn_weights
from weirdonetworks.nets.gradients import custom_gradient
from weirdonetworks.nets.inputs import WIDTH, check_width, checked_tensor, flattened


class QuadraticLayer(BaseModule):
    """A quadratic layer: quadratic forms of the inputs with free or shared weights.

        y_k = sum_ij W[k, i, j] x_i x_j,    x of shape [batch, n], y [batch, output_size]

    In redundant indices there is a weight for each pair i, j, and only W[k, i, j] + W[k, j, i] matters; in ordered
    ones, only for i <= j. Back-propagation is explicit: with delta_k the error signal of y_k, that of x_i is

        sum_k delta_k sum_j (W[k, i, j] + W[k, j, i]) x_j,    and that of W[k, i, j] is delta_k x_i x_j.

    Lower degrees are obtained by a constant input 1. The layer is for weights to be inspected, shared or constrained,
    in few variables; in many, `PolynomialLinear` computes the same with less memory.

    Initialisation: on independent standard normal inputs the outputs have mean square 1 over inputs, weights and
    outputs. All weights, or all shared values, are drawn from one normal distribution of mean 0.

    >>> layer = QuadraticLayer(1, ordered=False, labels=[[[0, 1], [1, 0]]])  # a (x0^2 + x1^2) + 2 b x0 x1
    >>> _ = layer(tf.zeros([1, 2]))
    >>> _ = layer.values.assign([1.0, 5.0])
    >>> layer(tf.constant([[2.0, 3.0]])).numpy().item()
    73.0
    """

    def __init__(
        self,
        output_size: int,
        ordered: bool = True,
        labels: npt.ArrayLike | None = None,
        w_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          output_size: The number of outputs.
          ordered: Whether there are weights for i <= j only, `[output_size, n (n + 1) / 2]` in the order of
            `algebra.monomials`; or for all pairs, `[output_size, n, n]`.
          labels: The class of each weight, in the order of the weights; weights of a class share one value. None for
            no sharing.
          w_init: Draws the weights, of the shape above, or the value of each class, `[classes]`; None for N(0, v), v
            such that the outputs have mean square 1.
        """
        super().__init__(name=name)
        self.output_size = at_least("output_size", output_size, 1, WIDTH)
        self.ordered = ordered
        self.w_init = w_init
        # Relabelled as consecutive integers from 0.
        self._labels = None if labels is None else np.unique(_integers(labels), return_inverse=True)[1].reshape(-1)

    @snt.once
    def _initialize(self, inputs: tf.Tensor) -> None:
        self.input_size = inputs.shape[1]
        self._create(inputs.dtype)

    def _create(self, dtype: tf.DType) -> None:
        if self._labels is None:
            # A weight's own monomial has mean square 1, or 3 if it is a square.
            deviation = (self._number // self.output_size + 2 * self.input_size) ** -0.5
            self.w = tf.Variable(drawn_weights(self.w_init, self._shape, deviation, dtype), name="w")
            return
        self._check_number("labels", self._labels.size)
        weights = np.arange(self._number)
        deviation = self._deviation(self._labels, weights, np.ones(self._number))
        drawn = drawn_weights(self.w_init, [self._labels.max() + 1], deviation, dtype)
        self.values = tf.Variable(drawn, name="values")

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, ...]`, flattened to `[batch, n]`, to `[batch, output_size]`; n must fit given labels."""
        flat = flattened(inputs)
        self._initialize(flat)
        check_width(inputs, self.input_size)
        return _quadratic(flat, self.weights())

    def weights(self) -> tf.Tensor:
        """Returns all weights, `[output_size, n (n + 1) / 2]` if ordered, else `[output_size, n, n]`."""
        if self._labels is None:
            return tf.convert_to_tensor(self.w)
        return tf.reshape(tie(self.values, self._labels), self._shape)

    @property
    def _shape(self) -> tuple[int, ...]:
        n = self.input_size
        return (self.output_size, monomials.count(n, 2)) if self.ordered else (self.output_size, n, n)

    @property
    def _number(self) -> int:
        return int(np.prod(self._shape))

    def _check_number(self, name: str, number: int) -> None:
        if number != self._number:
            raise ValueError(
                f"{name} of {number} weights must be of {self._number}, for {self.output_size} outputs of inputs of "
                f"width {self.input_size}, {'ordered' if self.ordered else 'redundant'} (ordered={self.ordered})."
            )

    def _deviation(self, coordinates: Ints, weights: Ints, factors: npt.NDArray[np.float64]) -> float:
        """Computes the standard deviation of independent coordinates for outputs of mean square 1.

        The matrix from coordinates to flattened weights is given by the columns, rows and values of its entries.
        """
        n = self.input_size
        outputs, places = np.divmod(weights, self._number // self.output_size)
        ranks = places if self.ordered else monomials.index_of(np.stack(np.divmod(places, n), axis=1), n)
        # A coordinate adds a form c to an output, of mean square (sum_i c_ii)^2 + 2 sum_i c_ii^2 + sum_i<j c_ij^2.
        forms, count = coordinates * self.output_size + outputs, monomials.count(n, 2)
        terms, inverse = np.unique(forms * count + ranks, return_inverse=True)
        sums = np.bincount(inverse, factors)
        rows = monomials.at(terms % count, n, 2)
        squares = rows[:, 0] == rows[:, 1]
        _, form = np.unique(terms // count, return_inverse=True)
        total = np.sum(sums**2 * (1 + squares)) + np.sum(np.bincount(form, sums * squares) ** 2)
        if total < 1e-12 * np.sum(factors**2):
            raise ValueError("constraints must leave a function other than 0, and leave weights that cancel out alone.")
        return float(np.sqrt(self.output_size / total))


class ConstrainedQuadratic(QuadraticLayer):
    """A quadratic layer whose weights satisfy linear equations A w = b throughout training.

        w = w_0 + sum_r c_r v_r,    the c_r trained, the v_r an orthonormal basis of the solutions of A v = 0

    The solutions are computed exactly over the rational numbers, so their dimension depends on no tolerance; then they
    are orthonormalised in float64, and the equations hold up to rounding. A step of gradient descent changes w by the
    projection of its unconstrained gradient on the solution space. w_0 is the solution of least norm.

    >>> layer = ConstrainedQuadratic(1, [[1, 0, 1]])  # y = a x0^2 + b x0 x1 + c x1^2 with a + c = 0
    >>> outputs = layer(tf.constant([[1.0, 0.0], [0.0, 1.0]]))
    >>> layer.dimension, bool(abs(tf.reduce_sum(outputs)) < 1e-6)
    (2, True)
    """

    def __init__(
        self,
        output_size: int,
        constraints: npt.ArrayLike,
        right_sides: npt.ArrayLike | None = None,
        ordered: bool = True,
        w_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the layer and solves the equations.

        Args:
          output_size: The number of outputs.
          constraints: The matrix A, `[equations, weights]`, of integers or fractions. The weights are in the order of
            `QuadraticLayer.weights`, flattened. The equations of `algebra.constraints` give it as `matrix()`.
          right_sides: The numbers b, `[equations]`, integers or fractions; None for zeros.
          ordered: As in `QuadraticLayer`.
          w_init: Draws the coordinates c, `[dimension]`; None for N(0, v), v such that the outputs have mean square 1
            where b is 0.

        Raises:
          ValueError: If the equations have no solution, or only one.
        """
        super().__init__(output_size, ordered, w_init=w_init, name=name)
        matrix = array("constraints", constraints)
        if matrix.ndim != 2:
            raise ValueError(
                f"constraints of shape {matrix.shape} must be [equations, weights], as `equations.matrix()` is."
            )
        right = np.zeros(len(matrix), int) if right_sides is None else array("right_sides", right_sides)
        if right.shape != (len(matrix),):
            raise ValueError(f"right_sides of shape {right.shape} must have shape {(len(matrix),)}, one an equation.")
        self._start, self._basis = _solutions(_rationals("constraints", matrix), _rationals("right_sides", right))

    @property
    def dimension(self) -> int:
        """The dimension of the solution space, the number of trained coordinates."""
        return len(self._basis)

    def _create(self, dtype: tf.DType) -> None:
        self._check_number("constraints", self._basis.shape[1])
        coordinates, weights = np.nonzero(self._basis)
        deviation = self._deviation(coordinates, weights, self._basis[coordinates, weights])
        drawn = drawn_weights(self.w_init, [self.dimension], deviation, dtype)
        self.coordinates = tf.Variable(drawn, name="coordinates")

    def weights(self) -> tf.Tensor:
        dtype = self.coordinates.dtype
        moved = tf.linalg.matvec(tf.constant(self._basis, dtype), self.coordinates, transpose_a=True)
        return tf.reshape(tf.constant(self._start, dtype) + moved, self._shape)


def tie(values: tf.Tensor, labels: npt.ArrayLike) -> tf.Tensor:
    """Gathers shared weights, each the value of its class; the gradient of a value is the sum over its class.

    >>> tie(tf.constant([5.0, 7.0]), [[0, 1], [1, 1]]).numpy().tolist()
    [[5.0, 7.0], [7.0, 7.0]]

    Args:
      values: The value of each class, `[classes]`.
      labels: The class of each weight, integers in `[0, classes)`, of any shape.

    Returns:
      The weights, of the labels' shape.
    """
    values, classes = checked_tensor(values, "values"), _integers(labels).astype(np.int32)
    if values.shape.rank != 1 or values.shape[0] is None:
        raise ValueError(f"values of shape {values.shape} must be [classes], their number known.")
    if classes.size and not 0 <= classes.min() <= classes.max() < values.shape[0]:
        raise ValueError(f"labels (={shown(classes)}) must be in [0, {values.shape[0]}), the classes of values.")

    @custom_gradient
    def run(distinct: tf.Tensor) -> tuple[tf.Tensor, object]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return tf.math.unsorted_segment_sum(upstream, classes, distinct.shape[0])

        return tf.gather(distinct, classes), gradient

    return run(values)


@custom_gradient
def _quadratic(inputs: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, object]:
    """Computes y[b, k] = sum_ij W[k, i, j] x[b, i] x[b, j]; the weights `[k, n, n]`, or `[k, n (n + 1) / 2]`."""
    n, outputs = inputs.shape[1], weights.shape[0]
    ordered = weights.shape.rank == 2
    rows, columns = np.triu_indices(n)
    if ordered:
        places = np.full((n, n), len(rows), np.int32)  # Below the diagonal, the index of the zero at the end.
        places[rows, columns] = np.arange(len(rows))
        weights = tf.gather(tf.pad(weights, [[0, 0], [0, 1]]), places, axis=1)
    flat = tf.reshape(weights, [outputs * n, n])
    sums = tf.reshape(tf.matmul(inputs, flat, transpose_b=True), [-1, outputs, n])

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        spread = tf.reshape(upstream[:, :, None] * inputs[:, None, :], [-1, outputs * n])
        by_inputs = tf.matmul(spread, flat) + tf.einsum("bk,bki->bi", upstream, sums)
        by_weights = tf.matmul(spread, inputs, transpose_a=True)
        if ordered:
            flattened_pairs = tf.reshape(by_weights, [outputs, n * n])
            return by_inputs, tf.gather(flattened_pairs, (rows * n + columns).astype(np.int32), axis=1)
        return by_inputs, tf.reshape(by_weights, [outputs, n, n])

    return tf.einsum("bki,bi->bk", sums, inputs), gradient


def _integers(labels: npt.ArrayLike) -> Ints:
    numbers = array("labels", labels)
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"labels of type {numbers.dtype} must be integers.")
    return numbers


def _rationals(name: str, array: npt.NDArray[Any]) -> Exact:
    """Converts integers or fractions to Python's."""
    if array.dtype.kind not in "iu":
        wrong = [value for value in array.flat if not isinstance(value, numbers.Rational)]
        if wrong:
            raise TypeError(f"{name} must hold integers or fractions, which are exact, and not {wrong[0]!r}.")
    return array.astype(object)


def _solutions(matrix: Exact, right: Exact) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Solves A w = b exactly: the least-norm solution, `[weights]`, and an orthonormal basis, `[dimension, weights]`.

    Raises:
      ValueError: If there is no solution, or only one.
    """
    import sympy

    rationals = np.concatenate([-right[:, None], matrix], axis=1)
    denominators = np.array([math.lcm(*{int(value.denominator) for value in row}) for row in rationals], object)
    rows = fields.exact(rationals * denominators[:, None])[..., None]
    field = fields.NumberField(sympy.QQ)
    largest = int(np.abs(rows).max(initial=0))

    def modulo(prime: int, root: int) -> tuple[Ints, Ints]:
        return modular.kernel(field.reduce(rows, prime, root), prime)

    def vanishes(vectors: Ints, prime: int, root: int) -> bool:
        return not np.any(modular.matmul(vectors, field.reduce(rows, prime, root).T, prime))

    leading, *fractions = fields.kernel(field, modulo, vanishes, lambda norm: norm * largest)
    # The kernel of (-b, A) in echelon form: if there is a solution, its first vector starts with 1, the others with 0.
    if not len(leading) or leading[0] != 0:
        raise ValueError("constraints and right_sides must have a solution, and have none.")
    if len(leading) == 1:
        raise ValueError("constraints must leave a weight free, and have one solution alone.")
    vectors = np.array([field.floats(*each) for each in zip(*fractions, strict=True)])[:, 1:]
    basis = np.linalg.qr(vectors[1:].T)[0].T
    return vectors[0] - basis.T @ (basis @ vectors[0]), basis
