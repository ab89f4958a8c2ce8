"""Polynomial layers: linear maps of all monomials of the inputs, computed without their table."""

import functools
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import Ints, at_least, written
from weirdonetworks.algebra.polynomials.rings import as_polynomial
from weirdonetworks.nets.base_module import Activation, BaseModule, Initializer, linear_layers, perceptron
from weirdonetworks.nets.inputs import WIDTH, check_width, checked_sizes, flattened
from weirdonetworks.nets.polynomial.monomial_layout import Layout, exponents, indices, real_ring
from weirdonetworks.nets.polynomial.monomial_parts import gaussian_moments

MONOMIALS = 10**8  # The most monomials; more take minutes to list.
WEIGHTS = 2**33  # The most bytes of weights; with their gradient and Adam's two moments that is 32 GB.


class PolynomialLinear(BaseModule):
    """A polynomial layer: a linear map of all monomials of the inputs up to a degree.

        y_o = b_o + sum_m w[m, o] x^m,    x of shape [batch, n], w [monomials, output_size], y [batch, output_size]

    There are C(n + d, d) - 1 monomials of degrees 1 to d, and their table is never in memory: those of degree 2 and
    more are summed in blocks, a block of prefixes times the variables that may follow (see `monomial_parts`); chosen
    ones are evaluated in chunks. Degree 2 in 784 variables costs as much as a dense layer on 307,720 inputs, without
    storing them. XLA may hold several blocks at once; graph mode needs the least memory.

    Initialisation: on independent standard normal inputs the outputs have mean 0 and variance 1 (over inputs and
    weights) at every degree. Each degree has the same share of the variance, 1 / degrees, and so has each monomial
    within its degree: w[m] is normal with variance 1 / (degrees * monomials of that degree * E[x^2m]), where E[x^2m] is
    the product of 1 * 3 * ... * (2 a_i - 1) over the exponents a_i. The bias is 0.

    >>> layer = PolynomialLinear(1, degree=2)
    >>> _ = layer(tf.zeros([1, 2]))
    >>> layer.monomials()
    [(), (0,), (1,), (0, 0), (0, 1), (1, 1)]
    >>> layer.set_coefficients([[5.0], [0.0], [1.0], [0.0], [2.0], [0.0]])
    >>> layer(tf.constant([[3.0, 4.0]])).numpy().item()
    33.0
    >>> layer.to_polynomial()
    [2.0*x0*x1 + x1 + 5.0]

    The monomials as inputs of a network: Giles & Maxwell, Learning, invariance, and generalization in high-order neural
    networks, 1987.
    """

    def __init__(
        self,
        output_size: int,
        degree: int,
        include_lower: bool = True,
        interaction_only: bool = False,
        monomials: npt.NDArray[Any] | Iterable[Sequence[int]] | None = None,
        with_bias: bool = True,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          output_size: The number of outputs.
          degree: The highest degree, at least 1.
          include_lower: Whether to include the lower degrees from 1 on.
          interaction_only: Whether to exclude monomials with squares.
          monomials: The monomials to use, of the degrees above; None for all. A NumPy array is a table of exponents,
            `[monomials, n]`; anything else a list of index tuples such as `(0, 0, 2)` for x0^2 x2.
          with_bias: Whether to add a bias, the monomial of degree 0.
          w_init: Draws the weights of each degree, `[monomials of that degree, output_size]`; None for the above.
          b_init: Draws the bias, `[output_size]`; None for 0.
        """
        super().__init__(name=name)
        self.output_size = at_least("output_size", output_size, 1, WIDTH)
        self.degree = at_least("degree", degree, 1)
        self.with_bias = with_bias
        self.interaction_only = interaction_only
        self.w_init = w_init
        self.b_init = b_init or snt.initializers.Zeros()
        degrees = range(1 if include_lower else self.degree, self.degree + 1)
        self._layout = Layout(degrees, interaction_only, monomials)

    @snt.once
    def _initialize(self, inputs: tf.Tensor) -> None:
        self.input_size = inputs.shape[1]
        self._need_memory(inputs.dtype.size)
        self._layout.cut(self.input_size)
        weights = []
        for degree, parts in self._layout.parts.items():
            shape = (self._layout.size(degree), self.output_size)
            drawn = self.w_init(shape, inputs.dtype) if self.w_init else None
            for index, part in enumerate(parts):
                if drawn is None:
                    value = _normal(part.rows, len(self._layout.parts) * shape[0], self.output_size, inputs.dtype)
                else:
                    value = tf.gather(drawn, self._layout.places(degree, part.rows))
                shaped = tf.reshape(value, part.shape(self.output_size))
                weights.append(tf.Variable(shaped, name=f"w_{degree}_{index}"))
        self.weights = weights
        if self.with_bias:
            self.b = tf.Variable(self.b_init([self.output_size], inputs.dtype), name="b")

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, ...]`, flattened to `[batch, n]`, to `[batch, output_size]`.

        Raises:
          ValueError: If the monomials contain other variables than x0, ..., x{n-1}, or there is none or too many to fit
            in memory.
        """
        flat = flattened(inputs)
        self._initialize(flat)
        check_width(inputs, self.input_size)
        transposed = tf.transpose(flat)
        # As tensors, since a custom gradient does not accept the variables of a distribution strategy.
        weights = map(tf.convert_to_tensor, self.weights)
        parts = zip(self._layout.all_parts(), weights, strict=True)
        outputs = functools.reduce(operator.add, (part(flat, transposed, weight) for part, weight in parts))
        return outputs + self.b if self.with_bias else outputs

    def monomials(self) -> list[tuple[int, ...]]:
        """Lists the monomials as index tuples: by degree, then as `algebra.monomials` does; the bias is `()`."""
        self._need_variables()
        rows = [self._layout.table(degree) for degree in self._layout.parts]
        return [()] * self.with_bias + [tuple(row) for table in rows for row in table.tolist()]

    def coefficients(self) -> npt.NDArray[Any]:
        """Returns the weights, `[monomials, output_size]`, in the order of `monomials()`; the bias comes first."""
        self._need_variables()
        table = np.empty(self._table_shape(), self.weights[0].dtype.as_numpy_dtype)
        for variable, rows in self._variables():
            table[rows] = variable.numpy().reshape(-1, self.output_size)
        return table

    def set_coefficients(self, coefficients: npt.ArrayLike) -> None:
        """Sets the weights from a table as returned by `coefficients()`."""
        self._need_variables()
        table = np.asarray(coefficients)
        if table.shape != self._table_shape():
            raise ValueError(f"coefficients of shape {table.shape} must have shape {self._table_shape()}.")
        for variable, rows in self._variables():
            variable.assign(table[rows].reshape(variable.shape))

    def to_polynomial(self) -> list[Any]:
        """Converts each output to a SymPy polynomial in x0, ..., x{n-1} with floating-point coefficients."""
        keys = exponents(self.monomials(), self.input_size)
        ring, columns = real_ring(self.input_size), self.coefficients().astype(np.float64).T.tolist()
        return [ring.from_dict(dict(zip(keys, column, strict=True))) for column in columns]

    def set_polynomial(self, polynomials: Iterable[Any]) -> None:
        """Sets the weights to the coefficients of polynomials, one per output, as returned by `to_polynomial`.

        Args:
          polynomials: SymPy expressions, `Poly` or ring elements in x0, ..., x{n-1}, with monomials of the layer only.
        """
        read = [as_polynomial(each, real_ring(self._need_variables()), "polynomials") for each in polynomials]
        if len(read) != self.output_size:
            raise ValueError(f"polynomials (={len(read)} of them) must be as many as outputs (={self.output_size}).")
        places = {row: place for place, row in enumerate(self.monomials())}
        table = np.zeros((len(places), self.output_size))
        for output, polynomial in enumerate(read):
            for powers, coefficient in polynomial.items():
                row = indices(powers)
                if row not in places:
                    raise ValueError(f"polynomials must have monomials of the layer only, and {row} is not one.")
                table[places[row], output] = float(coefficient)
        self.set_coefficients(table)

    @classmethod
    def from_polynomial(
        cls, polynomials: Iterable[Any], input_size: int, dtype: tf.DType = tf.float32, name: str | None = None
    ) -> "PolynomialLinear":
        """Makes the layer whose outputs are given polynomials, with only the monomials that occur in them.

        >>> import sympy
        >>> x0, x1 = sympy.symbols("x0:2")
        >>> layer = PolynomialLinear.from_polynomial([x0**3 - x1, 2 * x0 * x1], input_size=2)
        >>> layer(tf.constant([[2.0, 3.0]])).numpy().tolist()
        [[5.0, 12.0]]

        Args:
          polynomials: As in `set_polynomial`, not all constant.
          input_size: The number n of inputs.
          dtype: Their type.
        """
        ring = real_ring(at_least("input_size", input_size, 1, WIDTH))
        read = [as_polynomial(each, ring, "polynomials") for each in polynomials]
        rows = sorted({indices(powers) for each in read for powers in each} - {()})
        if not rows:
            raise ValueError("polynomials must hold at least one that is not constant.")
        layer = cls(len(read), max(map(len, rows)), monomials=rows, name=name)
        layer(tf.zeros([1, input_size], dtype))
        layer.set_polynomial(read)
        return layer

    def _table_shape(self) -> tuple[int, int]:
        return self.with_bias + sum(map(self._layout.size, self._layout.parts)), self.output_size

    def _variables(self) -> Iterator[tuple[tf.Variable, Ints]]:
        """Yields each variable with the rows of its monomials in the table of coefficients."""
        if self.with_bias:
            yield self.b, np.arange(1)
        start, weights = int(self.with_bias), iter(self.weights)
        for degree, parts in self._layout.parts.items():
            for part in parts:
                yield next(weights), start + self._layout.places(degree, part.rows)
            start += self._layout.size(degree)

    def _need_memory(self, item_size: int) -> None:
        number = self._layout.count(self.input_size)
        if number > MONOMIALS or number * self.output_size * item_size > WEIGHTS:
            raise ValueError(
                f"degree (={self.degree}) gives {written(number)} monomials in {self.input_size} variables, with "
                f"{written(number * self.output_size * item_size)} bytes of weights, and must give at most {MONOMIALS} "
                f"and {WEIGHTS}. Take a lower degree, chosen monomials, or smaller inputs."
            )

    def _need_variables(self) -> int:
        if not hasattr(self, "weights"):
            raise ValueError("The layer must be called once before it has weights.")
        return int(self.input_size)


class PolynomialMLP(BaseModule):
    """A multilayer perceptron on all monomials of the inputs: a `PolynomialLinear`, then dense layers.

        y = W_k s(... s(W_2 s(P(x)))),    P of degree d, x of shape [batch, n], y [batch, output_sizes[-1]]

    >>> network = PolynomialMLP([16, 10], degree=3)
    >>> network(tf.ones([2, 4, 4, 1])).shape.as_list()
    [2, 10]
    """

    def __init__(
        self,
        output_sizes: Iterable[int],
        degree: int,
        include_lower: bool = True,
        interaction_only: bool = False,
        monomials: npt.NDArray[Any] | Iterable[Sequence[int]] | None = None,
        activation: Activation = tf.nn.relu,
        with_bias: bool = True,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the network; the arguments are those of `PolynomialLinear`, the first layer, and these.

        Args:
          output_sizes: The width of each layer, at least one.
          activation: Applied after each layer but the last.
          with_bias: Whether the layers add a bias.
          w_init, b_init, name: As in `BaseModule`; by default the first layer's weights are its own.
        """
        super().__init__(name=name)
        first, *rest = checked_sizes("output_sizes", output_sizes)
        self.activation = activation
        self.polynomial = PolynomialLinear(
            first, degree, include_lower, interaction_only, monomials, with_bias, w_init, b_init, name="polynomial"
        )
        self.layers = linear_layers(rest, with_bias, w_init, b_init, first=1)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, ...]`, flattened, to `[batch, output_sizes[-1]]`."""
        return perceptron([self.polynomial, *self.layers], self.activation, inputs)


class QuadraticMLP(PolynomialMLP):
    """A `PolynomialMLP` of degree 2.

    >>> QuadraticMLP([16, 10])(tf.ones([2, 9])).shape.as_list()
    [2, 10]
    """

    def __init__(self, output_sizes: Iterable[int], name: str | None = None, **options: Any):
        """Constructs the network; the arguments are those of `PolynomialMLP` without the degree."""
        super().__init__(output_sizes, degree=2, name=name, **options)


def _normal(rows: Ints, number: int, outputs: int, dtype: tf.DType) -> tf.Tensor:
    """Draws normal weights `[len(rows), outputs]` with which each weighted monomial has mean square 1 / number."""
    deviations = 1 / np.sqrt(number * gaussian_moments(np.concatenate([rows, rows], axis=1)))
    return tf.random.normal([len(rows), outputs], dtype=dtype) * tf.constant(deviations[:, None], dtype)
