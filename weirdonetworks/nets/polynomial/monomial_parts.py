"""How the monomials of one degree are cut into parts, and the linear map of a part that never holds all monomials.

A monomial of degree d is a prefix, its d - 1 lower indices, times its last variable. Prefixes ordered by their highest
index are taken some at a time. Those of such a block whose highest index is at most c go with every last variable from
c on: a rectangle, one matrix product. The few monomials left, whose last variable is below c, are multiplied out, some
at a time. So every monomial has one weight, and no weight is idle.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra import monomials
from weirdonetworks.algebra.arrays import Ints

PREFIXES = 28  # Prefixes in a block: measured fastest at degree 2 in 784 variables.
BLOCKS = 64  # More blocks than this make a graph slow to trace, so they get larger.
PRODUCTS = 2048  # Monomials multiplied out at a time.


@dataclasses.dataclass(frozen=True, eq=False)
class Rectangle:
    """All products of some prefixes with the variables from `start` on.

    Attributes:
      prefixes: Index rows, `[p, degree - 1]`.
      start: The first of the last variables.
      n: The number of variables.
    """

    prefixes: Ints
    start: int
    n: int

    @property
    def rows(self) -> Ints:
        """The index rows of the monomials, `[(n - start) p, degree]`, those of one last variable together."""
        last = np.repeat(np.arange(self.start, self.n), len(self.prefixes))
        return np.concatenate([np.tile(self.prefixes, (self.n - self.start, 1)), last[:, None]], axis=1)

    def shape(self, outputs: int) -> tuple[int, int]:
        """The shape of the weights."""
        return self.n - self.start, len(self.prefixes) * outputs

    def __call__(self, inputs: tf.Tensor, transposed: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Maps inputs `[batch, n]`, given transposed as well, to `[batch, outputs]`."""
        tail = inputs[:, self.start :]
        if self.prefixes.shape[1] == 0:
            return tf.matmul(tail, weights)
        if self.prefixes.shape[1] == 1:  # Of degree 1 the prefixes are neighbours.
            prefixes = inputs[:, self.prefixes[0, 0] : self.prefixes[-1, 0] + 1]
        else:
            prefixes = tf.transpose(products(transposed, self.prefixes))
        return _bilinear(prefixes, tail, transposed[self.start :], weights)


@dataclasses.dataclass(frozen=True, eq=False)
class Listed:
    """Monomials one by one.

    Attributes:
      rows: Their index rows, `[k, degree]`.
    """

    rows: Ints

    def shape(self, outputs: int) -> tuple[int, int]:
        """The shape of the weights."""
        return len(self.rows), outputs

    def __call__(self, inputs: tf.Tensor, transposed: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Maps inputs `[batch, n]`, given transposed as well, to `[batch, outputs]`."""
        return _weighted_products(transposed, weights, self.rows)


Part = Rectangle | Listed


def every(n: int, degree: int, interaction_only: bool) -> list[Part]:
    """Cuts all monomials of a degree, or all without a square, into parts.

    >>> parts = every(784, 2, interaction_only=False)
    >>> sum(len(part.rows) for part in parts), len(parts)
    (307720, 34)
    """
    apart = int(interaction_only)
    if degree == 1:
        return [Rectangle(np.empty((1, 0), np.intp), 0, n)]
    prefixes = without_squares(n, degree - 1) if interaction_only else monomials.monomials(n, degree - 1)
    prefixes = prefixes[np.lexsort(prefixes.T)]
    prefixes = prefixes[prefixes[:, -1] + apart < n]
    size = max(min(PREFIXES, -(-len(prefixes) // 4)), -(-len(prefixes) // BLOCKS), 1)
    parts: list[Part] = []
    rest = []
    for begin in range(0, len(prefixes), size):
        block = prefixes[begin : begin + size]
        start = int(block[-1, -1]) + apart
        parts.append(Rectangle(block, start, n))
        missing = start - apart - block[:, -1]
        last = np.concatenate([np.arange(start - number, start) for number in missing])
        rest.append(np.concatenate([np.repeat(block, missing, axis=0), last[:, None]], axis=1))
    return [*parts, *listed(np.concatenate(rest))] if rest else []


def listed(rows: Ints) -> list[Part]:
    """Cuts chosen monomials of one degree into parts."""
    return [Listed(rows[begin : begin + PRODUCTS]) for begin in range(0, len(rows), PRODUCTS)]


def without_squares(n: int, degree: int) -> Ints:
    """Lists the monomials without a square, in the order of `algebra.monomials`, `[C(n, degree), degree]`.

    >>> without_squares(3, 2).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    if degree > n:
        return np.empty((0, degree), np.intp)
    # i_1 < i_2 < ... are i_1 <= i_2 - 1 <= ..., which keeps the order.
    return monomials.monomials(n - degree + 1, degree) + np.arange(degree)


def gaussian_moments(rows: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Gives the means of monomials of independent standard normal variables.

    A variable to the power 2 k has mean 1 * 3 * ... * (2 k - 1), to an odd power 0.

    >>> gaussian_moments([[0, 0, 1, 1], [2, 2, 2, 2], [0, 1, 1, 1]]).tolist()
    [1.0, 3.0, 0.0]

    Args:
      rows: Index rows, `[..., degree]`, each in any order.

    Returns:
      The means, `[...]`.
    """
    indices = np.sort(rows, axis=-1)
    means = np.ones(indices.shape[:-1])
    run = np.zeros(indices.shape[:-1], np.intp)
    for place in range(indices.shape[-1]):
        again = indices[..., place] == indices[..., place - 1] if place else False
        means *= again | (run % 2 == 0)  # An odd run that ends.
        run = np.where(again, run + 1, 1)
        means *= np.where(run % 2 == 0, run - 1, 1)
    return means * (run % 2 == 0)


def products(transposed: tf.Tensor, rows: Ints) -> tf.Tensor:
    """Multiplies monomials `[k, degree]` out: `[n, batch]` to `[k, batch]`; keeps the inputs alone for later."""

    @tf.custom_gradient
    def run(variables: tf.Tensor) -> tuple[tf.Tensor, object]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return _pull_back(upstream, _factors(_again(variables, upstream), rows), rows, transposed.shape[0])

        return _product(_factors(variables, rows)), gradient

    return run(transposed)


def _factors(transposed: tf.Tensor, rows: Ints) -> list[tf.Tensor]:
    return [tf.gather(transposed, column) for column in np.ascontiguousarray(rows.T, np.int32)]


def _pull_back(upstream: tf.Tensor, factors: list[tf.Tensor], rows: Ints, n: int) -> tf.Tensor:
    """Gives the gradient by the inputs, `[n, batch]`, of that by the products."""
    total = 0
    for place, column in enumerate(np.ascontiguousarray(rows.T, np.int32)):
        others = factors[:place] + factors[place + 1 :]
        total += tf.math.unsorted_segment_sum(math.prod(others, start=upstream), column, n)
    return total


def _again(values: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    """Copies values once `after` is there, lest a product of theirs be kept from the forward pass until then."""
    with tf.control_dependencies([after]):
        return tf.identity(values)


def _product(factors: list[tf.Tensor]) -> tf.Tensor:
    return math.prod(factors[1:], start=factors[0])


def _weighted_products(transposed: tf.Tensor, weights: tf.Tensor, rows: Ints) -> tf.Tensor:
    """Maps `[n, batch]` to `[batch, outputs]`, the products made once more in the backward pass."""

    @tf.custom_gradient
    def run(variables: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, object]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            factors = _factors(_again(variables, upstream), rows)
            by_products = tf.matmul(weight, upstream, transpose_b=True)
            by_variables = _pull_back(by_products, factors, rows, transposed.shape[0])
            return by_variables, tf.matmul(_product(factors), upstream)

        return tf.matmul(_product(_factors(variables, rows)), weight, transpose_a=True), gradient

    return run(transposed, weights)


@tf.custom_gradient
def _bilinear(
    prefixes: tf.Tensor, tail: tf.Tensor, transposed_tail: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, object]:
    """Computes y[b, o] = sum_pm prefixes[b, p] tail[b, m] weights[m, p o]; keeps its arguments alone for later.

    The derivatives by prefixes and by tail are two sums of one product, of the upstream and the weights. The tail comes
    transposed as well because XLA is faster forward from that one, and backward from the other.
    """
    p, m = prefixes.shape[1], tail.shape[1]
    outputs = weights.shape[1] // p
    flat = tf.reshape(weights, [m * p, outputs])

    def table(after: tf.Tensor | None = None) -> tf.Tensor:
        rows = tail if after is None else _again(tail, after)
        return tf.reshape(rows[:, :, None] * prefixes[:, None, :], [-1, m * p])

    if m < outputs:  # The smaller of two tables: the block's monomials, or a sum for each prefix and output.
        values = tf.matmul(table(), flat)
    else:
        sums = tf.reshape(tf.matmul(transposed_tail, weights, transpose_a=True), [-1, p, outputs])
        values = tf.einsum("bp,bpo->bo", prefixes, sums)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        both = tf.reshape(tf.matmul(upstream, flat, transpose_b=True), [-1, m, p])
        if m < outputs:
            by_weights = tf.matmul(table(after=upstream), upstream, transpose_a=True)
        else:
            spread = tf.reshape(prefixes[:, :, None] * upstream[:, None, :], [-1, p * outputs])
            by_weights = tf.matmul(tail, spread, transpose_a=True)
        by_weights = tf.reshape(by_weights, [m, p * outputs])
        by_prefixes, by_tail = tf.einsum("bmp,bm->bp", both, tail), tf.einsum("bmp,bp->bm", both, prefixes)
        return by_prefixes, by_tail, None, by_weights  # The whole derivative by the tail goes through one of the two.

    return values, gradient


def cut(sizes: npt.NDArray[np.intp], limit: int) -> Iterator[slice]:
    """Cuts a row of items into runs whose sizes sum to at most a limit, or that are one item alone.

    >>> list(cut(np.array([2, 2, 3, 9, 1]), 5))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None), slice(4, 5, None)]
    """
    begin, total = 0, 0
    for index, size in enumerate(sizes.tolist()):
        if total and total + size > limit:
            yield slice(begin, index)
            begin, total = index, 0
        total += size
    if len(sizes):
        yield slice(begin, len(sizes))
