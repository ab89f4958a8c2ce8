"""Permutation-equivariant and -invariant polynomial layers on sets.

Sets are `[batch, items, features]`. The number of items may vary from call to call; a mask or a ragged batch says which
are present. No tensor is larger than the monomials of the items, so the cost is linear in the number of items.
"""

from typing import Any

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import monomials
from weirdonetworks.algebra.arrays import Ints, at_least, written
from weirdonetworks.nets.base_module import Initializer, drawn_weights
from weirdonetworks.nets.inputs import WIDTH, masked
from weirdonetworks.nets.polynomial.polynomial_layers import PolynomialLinear
from weirdonetworks.nets.pooling import accumulator
from weirdonetworks.nets.sets.permutation_moments import MomentProducts, count_products, item_monomials
from weirdonetworks.nets.sets.set_network import MaskedSetNetwork, on_items

LARGEST = 2**20  # The most maps per output channel: more need gigabytes of weights.
HIGHEST = 256  # The highest degree: the maps of one channel, at least as many as its partitions, are over 10^14.


class _MomentPolynomial(MaskedSetNetwork):
    """The base class of polynomial layers on sets: weights for products of moments, times monomials of an item."""

    def __init__(
        self,
        output_size: int,
        degree: int,
        with_bias: bool = True,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          output_size: The number of outputs, of each item where there are several.
          degree: The highest degree, at least 1.
          with_bias: Whether to add a bias: the map of degree 0.
          w_init: Draws the weights of the maps of each degree in the item, `[products, monomials, output_size]`, and
            those of P as `PolynomialLinear` does; None for the above.
          b_init: Draws the bias, `[output_size]`; None for 0.
        """
        super().__init__(name=name)
        self.output_size = at_least("output_size", output_size, 1, WIDTH)
        self.degree = at_least("degree", degree, 1, HIGHEST)
        self.with_bias, self.w_init, self.b_init = with_bias, w_init, b_init or snt.initializers.Zeros()

    def __call__(self, inputs: tf.Tensor | tf.RaggedTensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Maps `[batch, items, features]` to `[batch, items, output_size]`, or `[batch, output_size]` if invariant.

        Args:
          inputs: The sets, ragged in the items if their numbers differ; then so are outputs of items.
          mask: Which items are present, `[batch, items]`, boolean; None for all. Absent items have no influence, and
            the output 0.

        Raises:
          TypeError: If the mask is not boolean.
          ValueError: As in `MaskedSetNetwork`. An empty set found only when a graph runs is an `InvalidArgumentError`.
        """
        padded, mask, lengths = _padded(inputs, mask)
        outputs = self._outputs(*self._checked(padded, mask))
        is_ragged = lengths is not None and outputs.shape.rank == 3
        return tf.RaggedTensor.from_tensor(outputs, lengths) if is_ragged else outputs

    def _create(self, values: tf.Tensor, item_degrees: range) -> None:
        """Draws, for each degree of an item's monomials, the weights `[products, monomials, output_size]`.

        The degrees have equal shares of the variance 1, and so have the maps of a degree.
        """
        channels, degree, dtype = values.shape[2], self.degree, values.dtype
        counts = count_products(channels, degree)
        total = sum(monomials.count(channels, each) * sum(counts[: degree - each + 1]) for each in item_degrees)
        if total > LARGEST:
            raise ValueError(
                f"degree (={degree}) gives {written(total)} maps of {channels} channels, more than {LARGEST}. "
                "Take a lower degree, or fewer channels by a linear layer before."
            )
        self._products = products = MomentProducts(channels, degree)
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
            shape = [*deviation.shape[:2], self.output_size]
            weights.append(tf.Variable(drawn_weights(self.w_init, shape, deviation, dtype), name=f"w_{each}"))
        self.weights = weights


class _FixedDegree(_MomentPolynomial):
    """A layer whose class fixes the degree; the other arguments are those of the layer of any degree."""

    fixed_degree: int

    def __init__(
        self,
        output_size: int,
        with_bias: bool = True,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        super().__init__(output_size, self.fixed_degree, with_bias, w_init, b_init, name)


class PermutationEquivariantPolynomial(_MomentPolynomial):
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

    @snt.once
    def _initialize(self, values: tf.Tensor) -> None:
        self._create(values, range(self.degree))
        self.items = PolynomialLinear(
            self.output_size, self.degree, True, False, None, self.with_bias, self.w_init, self.b_init, name="items"
        )

    def _outputs(self, items: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
        tables = item_monomials(items, max(self.degree - 1, 1))
        products = self._products(tables, _count_items(items, present))
        # The coefficients of an item's monomials depend on the set only: computed once per set, not per item.
        of_set, *of_items = [_combine(products, weight) for weight in self.weights]
        outputs = on_items(self.items, items) + of_set
        for degree, coefficients in enumerate(of_items, 1):
            outputs += tf.matmul(tables[degree], coefficients)
        return masked(outputs, present)


class PermutationEquivariantQuadratic(_FixedDegree, PermutationEquivariantPolynomial):
    """The general permutation-equivariant layer on sets of degree at most 2.

    Of degree 2 there are, for each output channel, 4 maps for each input channel c and 5 for each pair c, d, where M
    are the means over the items:

        x_kc^2, x_kc M_c, M_c^2, 1/n sum_j x_jc^2;    x_kc x_kd, x_kc M_d, M_c x_kd, M_c M_d, 1/n sum_j x_jc x_jd

    With 2 of degree 1 for each input channel and the bias they span the whole space. They are linearly independent from
    3 items on; for 2 items 3 and 4 of those of degree 2 are. `PermutationEquivariantPolynomial` with degree 2.

    >>> PermutationEquivariantQuadratic(8)(tf.ones([2, 10_000, 3])).shape.as_list()
    [2, 10000, 8]
    """

    fixed_degree = 2


class PermutationEquivariantLinear(_FixedDegree, PermutationEquivariantPolynomial):
    """The general permutation-equivariant affine layer on sets.

        y_k = A x_k + B (1/n) sum_j x_j + b,    that is a I + b 1 1^T for one channel

    `PermutationEquivariantPolynomial` with degree 1. Source: Zaheer et al., Deep sets, 2017, lemma 3.

    >>> PermutationEquivariantLinear(8)(tf.ones([2, 5, 3])).shape.as_list()
    [2, 5, 8]
    """

    fixed_degree = 1


class PermutationInvariantPolynomial(_MomentPolynomial):
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

    @snt.once
    def _initialize(self, values: tf.Tensor) -> None:
        self._create(values, range(1))
        if self.with_bias:
            self.b = tf.Variable(self.b_init([self.output_size], values.dtype), name="b")

    def _outputs(self, items: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
        products = self._products(item_monomials(items, -(-self.degree // 2)), _count_items(items, present))
        outputs = tf.squeeze(_combine(products, self.weights[0]), axis=1)
        return outputs + self.b if self.with_bias else outputs


class PermutationInvariantQuadratic(_FixedDegree, PermutationInvariantPolynomial):
    """The general permutation-invariant layer on sets of degree at most 2.

    >>> PermutationInvariantQuadratic(8)(tf.ones([2, 5, 3])).shape.as_list()
    [2, 8]
    """

    fixed_degree = 2


class PermutationInvariantLinear(_FixedDegree, PermutationInvariantPolynomial):
    """The general permutation-invariant affine layer on sets: an affine map of the items' mean.

    >>> PermutationInvariantLinear(8)(tf.ones([2, 5, 3])).shape.as_list()
    [2, 8]
    """

    fixed_degree = 1


def _combine(products: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Maps products `[products, batch]`, as many as there are weights for, to `[batch, monomials, outputs]`."""
    number, monomials_, outputs = weight.shape
    flat = tf.matmul(products[:number], tf.reshape(weight, [number, -1]), transpose_a=True)
    return tf.reshape(flat, [-1, monomials_, outputs])


def _padded(inputs: tf.Tensor | tf.RaggedTensor, mask: Any) -> tuple[tf.Tensor, Any, tf.Tensor | None]:
    """Pads a ragged batch of sets; returns dense sets, their mask, and the lengths of ragged ones, `[batch]`, or None.

    >>> dense, mask, lengths = _padded(tf.ragged.constant([[[1.0], [2.0]], [[3.0]]], ragged_rank=1), None)
    >>> mask.numpy().tolist(), lengths.numpy().tolist()
    ([[True, True], [True, False]], [2, 1])
    """
    if not isinstance(inputs, tf.RaggedTensor):
        return inputs, mask, None
    if mask is not None:
        raise ValueError("mask must be None with ragged inputs, whose rows hold the items that are present.")
    if inputs.ragged_rank != 1:
        raise ValueError(f"inputs of shape {inputs.shape} must be ragged in the items alone.")
    dense, lengths = inputs.to_tensor(), inputs.row_lengths()
    return dense, tf.sequence_mask(lengths, tf.shape(dense)[1]), lengths


def _count_items(values: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
    """Counts the items of each set, `[batch]`, or `[1]` without a mask, in the type of sums; an empty set counts 1."""
    dtype = accumulator(values.dtype)
    if present is None:
        return tf.cast(tf.shape(values)[1:2], dtype)
    return tf.cast(tf.maximum(tf.math.count_nonzero(present, axis=1), 1), dtype)
