"""Permutation-equivariant and -invariant polynomial layers on sets.

Sets are `[batch, items, features]`. The number of items may vary from call to call; a mask or a ragged batch says which
are present. No tensor is larger than the monomials of the items, so the cost is linear in the number of items.
"""

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import monomials
from weirdonetworks.algebra.arrays import Ints, at_least, written
from weirdonetworks.nets.polynomial.polynomial_layers import PolynomialLinear
from weirdonetworks.nets.sets.permutation_items import as_dense, count_items, restored
from weirdonetworks.nets.sets.permutation_moments import MomentProducts, count_products, item_monomials
from weirdonetworks.nets.sets.set_network import Initializer, SetNetwork, on_items

LARGEST = 2**20  # The most maps per output channel: more need gigabytes of weights.


class PermutationEquivariantPolynomial(SetNetwork):
    """The general permutation-equivariant polynomial layer on sets, up to a degree: f(s.x) = s.f(x).

        y_k = P(x_k) + sum_a x_k^a sum_q w[q, a] q(x),    x of shape [batch, n, m], y [batch, n, output_size]

    P is a polynomial in the m channels of item k, the same for each item; a runs over the monomials in the channels, 1
    included, of degree below d; and q over the products of moments 1/n sum_i x_i^b of degree at most d - |a|. For
    n > d these maps are a basis of all equivariant polynomials; for fewer items they span them, but are linearly
    dependent. For one channel and n items the dimension in degree e is the coefficient of t^e in
    1 / ((1 - t) (1 - t) (1 - t^2) ... (1 - t^(n-1))).

    Since the moments are means, the same weights apply to every n, and the scale of the outputs does not grow with n.
    Elementwise activations are equivariant too, so a stack of such layers obeys the same law.

    Initialisation: on independent standard normal inputs P has variance 1, over inputs and weights. The sum of all
    other maps has variance 1 if all items are equal, and about 0 for many independent items.

    >>> layers = [PermutationEquivariantPolynomial(4, degree=3), tf.tanh, PermutationEquivariantQuadratic(2)]
    >>> one, other = snt.Sequential(layers)(tf.constant([[[1.0], [2.0], [4.0]], [[4.0], [1.0], [2.0]]]))
    >>> bool(tf.reduce_max(tf.abs(tf.roll(one, 1, axis=0) - other)) < 1e-5)
    True

    Power sums generate the invariants: Weyl, The Classical Groups, 1939. Equivariant maps from them: Segol & Lipman, On
    universal equivariant set networks, 2020.
    """

    def __init__(
        self,
        output_size: int,
        degree: int,
        with_bias: bool = True,
        w_init: snt.initializers.Initializer | None = None,
        b_init: snt.initializers.Initializer | None = None,
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          output_size: The number of output channels of each item.
          degree: The highest degree, at least 1.
          with_bias: Whether to add a bias, the same for each item: the map of degree 0.
          w_init: Draws the weights of the maps of each degree in the item, `[products, monomials, output_size]`, and
            those of P as `PolynomialLinear` does; None for the above.
          b_init: Draws the bias, `[output_size]`; None for 0.
          name: The module's name.

        Raises:
          TypeError: If a number is not an integer.
          ValueError: If a number is below 1.
        """
        super().__init__(name=name)
        self.output_size = at_least("output_size", output_size, 1)
        self.degree = at_least("degree", degree, 1)
        self.items = PolynomialLinear(
            output_size, degree, with_bias=with_bias, w_init=w_init, b_init=b_init, name="items"
        )
        self.w_init = w_init

    @snt.once
    def _initialize(self, values: tf.Tensor) -> None:
        self._products = _products(values.shape[2], self.degree, range(self.degree))
        self.weights = _weights(self._products, range(self.degree), self.output_size, values.dtype, self.w_init)

    def __call__(self, inputs: tf.Tensor | tf.RaggedTensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Maps `[batch, items, features]` to `[batch, items, output_size]`.

        Args:
          inputs: The sets, ragged in the items if their numbers differ.
          mask: Which items are present, `[batch, items]`, boolean; None for all. Absent items have no influence, and
            the output 0.

        Returns:
          The outputs, ragged if the inputs are.

        Raises:
          TypeError: If the mask is not boolean.
          ValueError: If a shape is wrong, the number of features differs from the first call, or a set is known to be
            empty; found only when a graph runs, that is an `InvalidArgumentError`.
        """
        dense, mask, lengths = as_dense(inputs, mask)
        values, present = self._checked(dense, mask)
        tables = item_monomials(values, max(self.degree - 1, 1))
        products = self._products(tables, count_items(values, present))
        # The coefficients of an item's monomials depend on the set only: computed once per set, not per item.
        of_set, *of_items = [_combine(products, weight) for weight in self.weights]
        outputs = on_items(self.items, values) + of_set
        for degree, coefficients in enumerate(of_items, 1):
            outputs += tf.matmul(tables[degree], coefficients)
        return restored(outputs, present, lengths)


class PermutationEquivariantQuadratic(PermutationEquivariantPolynomial):
    """The general permutation-equivariant layer on sets of degree at most 2.

    Of degree 2 there are, for each output channel, 4 maps for each input channel c and 5 for each pair c, d, where M
    are the means over the items:

        x_kc^2, x_kc M_c, M_c^2, 1/n sum_j x_jc^2;    x_kc x_kd, x_kc M_d, M_c x_kd, M_c M_d, 1/n sum_j x_jc x_jd

    With 2 of degree 1 for each input channel and the bias they span the whole space. They are linearly independent from
    3 items on; for 2 items 3 and 4 of those of degree 2 are. `PermutationEquivariantPolynomial` with degree 2.

    >>> PermutationEquivariantQuadratic(8)(tf.ones([2, 10_000, 3])).shape.as_list()
    [2, 10000, 8]
    """

    def __init__(
        self,
        output_size: int,
        with_bias: bool = True,
        w_init: snt.initializers.Initializer | None = None,
        b_init: snt.initializers.Initializer | None = None,
        name: str | None = None,
    ):
        """Constructs the layer; the arguments are those of `PermutationEquivariantPolynomial`."""
        super().__init__(output_size, 2, with_bias, w_init, b_init, name)


class PermutationEquivariantLinear(PermutationEquivariantPolynomial):
    """The general permutation-equivariant affine layer on sets.

        y_k = A x_k + B (1/n) sum_j x_j + b,    that is a I + b 1 1^T for one channel

    `PermutationEquivariantPolynomial` with degree 1. Source: Zaheer et al., Deep sets, 2017, lemma 3.

    >>> PermutationEquivariantLinear(8)(tf.ones([2, 5, 3])).shape.as_list()
    [2, 5, 8]
    """

    def __init__(
        self,
        output_size: int,
        with_bias: bool = True,
        w_init: snt.initializers.Initializer | None = None,
        b_init: snt.initializers.Initializer | None = None,
        name: str | None = None,
    ):
        """Constructs the layer; the arguments are those of `PermutationEquivariantPolynomial`."""
        super().__init__(output_size, 1, with_bias, w_init, b_init, name)


class PermutationInvariantPolynomial(SetNetwork):
    """The general permutation-invariant polynomial layer on sets, up to a degree: f(s.x) = f(x).

        y = b + sum_q w[q] q(x),    x of shape [batch, n, m], y [batch, output_size]

    q runs over the products of moments 1/n sum_i x_i^a of degree at most d. For n >= d they are a basis of all
    invariant polynomials; for fewer items they span them. For one channel and n items the dimension in degree e is the
    coefficient of t^e in 1 / ((1 - t) (1 - t^2) ... (1 - t^n)).

    Initialisation: on sets of one item, or equal ones, independent standard normal, the outputs have mean 0 and
    variance 1 over inputs and weights; on many independent items the means, and with them the outputs, are smaller.

    >>> layer = PermutationInvariantPolynomial(2, degree=3)
    >>> one, other = layer(tf.constant([[[1.0], [2.0], [4.0]], [[4.0], [1.0], [2.0]]]))
    >>> bool(tf.reduce_max(tf.abs(one - other)) < 1e-5)
    True
    """

    def __init__(
        self,
        output_size: int,
        degree: int,
        with_bias: bool = True,
        w_init: snt.initializers.Initializer | None = None,
        b_init: snt.initializers.Initializer | None = None,
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          output_size: The number of outputs.
          degree: The highest degree, at least 1.
          with_bias: Whether to add a bias.
          w_init: Draws the weights, `[products, 1, output_size]`; None for the above.
          b_init: Draws the bias, `[output_size]`; None for 0.
          name: The module's name.

        Raises:
          TypeError: If a number is not an integer.
          ValueError: If a number is below 1.
        """
        super().__init__(name=name)
        self.output_size = at_least("output_size", output_size, 1)
        self.degree = at_least("degree", degree, 1)
        self.with_bias = with_bias
        self.w_init = w_init
        self.b_init = b_init or snt.initializers.Zeros()

    @snt.once
    def _initialize(self, values: tf.Tensor) -> None:
        self._products = _products(values.shape[2], self.degree, range(1))
        self.weights = _weights(self._products, range(1), self.output_size, values.dtype, self.w_init)
        if self.with_bias:
            self.b = tf.Variable(self.b_init([self.output_size], values.dtype), name="b")

    def __call__(self, inputs: tf.Tensor | tf.RaggedTensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Maps `[batch, items, features]` to `[batch, output_size]`.

        Args:
          inputs: The sets, ragged in the items if their numbers differ.
          mask: Which items are present, `[batch, items]`, boolean; None for all.

        Raises:
          TypeError: If the mask is not boolean.
          ValueError: If a shape is wrong, the number of features differs from the first call, or a set is known to be
            empty; found only when a graph runs, that is an `InvalidArgumentError`.
        """
        dense, mask, _ = as_dense(inputs, mask)
        values, present = self._checked(dense, mask)
        products = self._products(item_monomials(values, -(-self.degree // 2)), count_items(values, present))
        outputs = tf.squeeze(_combine(products, self.weights[0]), axis=1)
        return outputs + self.b if self.with_bias else outputs


class PermutationInvariantQuadratic(PermutationInvariantPolynomial):
    """The general permutation-invariant layer on sets of degree at most 2.

    >>> PermutationInvariantQuadratic(8)(tf.ones([2, 5, 3])).shape.as_list()
    [2, 8]
    """

    def __init__(
        self,
        output_size: int,
        with_bias: bool = True,
        w_init: snt.initializers.Initializer | None = None,
        b_init: snt.initializers.Initializer | None = None,
        name: str | None = None,
    ):
        """Constructs the layer; the arguments are those of `PermutationInvariantPolynomial`."""
        super().__init__(output_size, 2, with_bias, w_init, b_init, name)


class PermutationInvariantLinear(PermutationInvariantPolynomial):
    """The general permutation-invariant affine layer on sets: an affine map of the items' mean.

    >>> PermutationInvariantLinear(8)(tf.ones([2, 5, 3])).shape.as_list()
    [2, 8]
    """

    def __init__(
        self,
        output_size: int,
        with_bias: bool = True,
        w_init: snt.initializers.Initializer | None = None,
        b_init: snt.initializers.Initializer | None = None,
        name: str | None = None,
    ):
        """Constructs the layer; the arguments are those of `PermutationInvariantPolynomial`."""
        super().__init__(output_size, 1, with_bias, w_init, b_init, name)


def _products(channels: int, degree: int, item_degrees: range) -> MomentProducts:
    """Makes the products of moments; raises a `ValueError` if there are too many."""
    counts = count_products(channels, degree)
    total = sum(monomials.count(channels, each) * sum(counts[: degree - each + 1]) for each in item_degrees)
    if total > LARGEST:
        raise ValueError(
            f"degree (={degree}) gives {written(total)} maps of {channels} channels, more than {LARGEST}. "
            "Take a lower degree, or fewer channels by a linear layer before."
        )
    return MomentProducts(channels, degree)


def _weights(
    products: MomentProducts, item_degrees: range, outputs: int, dtype: tf.DType, w_init: Initializer
) -> list[tf.Variable]:
    """Draws, for each degree of an item's monomials, the weights `[products, monomials, outputs]`.

    The degrees have equal shares of the variance 1, and so have the maps of a degree.
    """
    channels, degree = products.channels, products.degree
    rows = [monomials.monomials(channels, each) for each in item_degrees]
    numbers = [
        sum(products.sizes[total - each - 1] * len(rows[each]) for each in item_degrees if each < total)
        for total in range(1, degree + 1)
    ]

    def deviations(of_products: int, of_items: Ints) -> np.ndarray:
        number = numbers[of_products + of_items.shape[1] - 1]
        return 1 / np.sqrt(degree * number * products.mean_squares(of_products, of_items))

    weights = []
    for each in item_degrees:
        parts = [deviations(of_products, rows[each]) for of_products in range(1, degree - each + 1)]
        deviation = np.concatenate(parts)[:, :, None]
        shape = [*deviation.shape[:2], outputs]
        drawn = w_init(shape, dtype) if w_init else tf.random.normal(shape, dtype=dtype) * tf.constant(deviation, dtype)
        weights.append(tf.Variable(drawn, name=f"w_{each}"))
    return weights


def _combine(products: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Maps products `[products, batch]`, as many as there are weights for, to `[batch, monomials, outputs]`."""
    number, monomials_, outputs = weight.shape
    flat = tf.matmul(products[:number], tf.reshape(weight, [number, -1]), transpose_a=True)
    return tf.reshape(flat, [-1, monomials_, outputs])
