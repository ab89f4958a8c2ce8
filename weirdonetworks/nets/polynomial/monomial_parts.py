"""Blockwise linear maps of all monomials of one degree, which never hold the table of monomials.

A monomial of degree d is a prefix, its d - 1 lower indices, times its last variable. Prefixes are ordered by their
highest index and divided into blocks. If c is the largest highest index in a block, its prefixes are combined with
every last variable from c on: a rectangle, one matrix product. The few monomials left, whose last variable is below c,
are evaluated in chunks. So every monomial has exactly one weight.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra import monomials
from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.nets.gradients import custom_gradient

PREFIXES = 28  # Prefixes per block: measured fastest at degree 2 in 784 variables.
BLOCKS = 64  # The most blocks, since tracing slows down with their number; beyond it they get larger.
PRODUCTS = 2048  # Monomials evaluated per chunk.


@dataclasses.dataclass(frozen=True, eq=False)
class Rectangle:
    """The products of some prefixes with all variables from `start` on.

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
        """The index rows of the monomials, `[(n - start) p, degree]`, ordered by the last variable."""
        last = np.repeat(np.arange(self.start, self.n), len(self.prefixes))
        return np.concatenate([np.tile(self.prefixes, (self.n - self.start, 1)), last[:, None]], axis=1)

    def shape(self, outputs: int) -> tuple[int, int]:
        """The shape of the weights."""
        return self.n - self.start, len(self.prefixes) * outputs

    def __call__(self, inputs: tf.Tensor, transposed: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Maps inputs `[batch, n]`, also passed transposed, to `[batch, outputs]`."""
        tail = inputs[:, self.start :]
        if self.prefixes.shape[1] == 0:
            return tf.matmul(tail, weights)
        if self.prefixes.shape[1] == 1:  # Prefixes of degree 1 are consecutive variables.
            prefixes = inputs[:, self.prefixes[0, 0] : self.prefixes[-1, 0] + 1]
        else:
            prefixes = tf.transpose(products(transposed, self.prefixes))
        return _bilinear(prefixes, tail, transposed[self.start :], weights)


@dataclasses.dataclass(frozen=True, eq=False)
class Listed:
    """An explicit list of monomials, as index rows `[k, degree]`."""

    rows: Ints

    def shape(self, outputs: int) -> tuple[int, int]:
        """The shape of the weights."""
        return len(self.rows), outputs

    def __call__(self, inputs: tf.Tensor, transposed: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Maps inputs `[batch, n]`, also passed transposed, to `[batch, outputs]`."""
        return _weighted_products(transposed, weights, self.rows)


Part = Rectangle | Listed


def every(n: int, degree: int, interaction_only: bool) -> list[Part]:
    """Divides all monomials of a degree, or all without a square, into parts.

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
    """Divides chosen monomials of one degree into parts."""
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
    """Computes the means of monomials of independent standard normal variables.

    The mean of a variable to the power 2 k is 1 * 3 * ... * (2 k - 1), to an odd power 0.

    >>> gaussian_moments([[0, 0, 1, 1], [2, 2, 2, 2], [0, 1, 1, 1]]).tolist()
    [1.0, 3.0, 0.0]

    Args:
      rows: Index rows, `[..., degree]`, each in any order; the means are `[...]`.
    """
    indices = np.sort(rows, axis=-1)
    means = np.ones(indices.shape[:-1])
    run = np.zeros(indices.shape[:-1], np.intp)
    for place in range(indices.shape[-1]):
        again = indices[..., place] == indices[..., place - 1] if place else False
        means *= again | (run % 2 == 0)  # 0 where a run of odd length ends.
        run = np.where(again, run + 1, 1)
        means *= np.where(run % 2 == 0, run - 1, 1)
    return means * (run % 2 == 0)


def products(transposed: tf.Tensor, rows: Ints) -> tf.Tensor:
    """Evaluates monomials `[k, degree]`: `[n, batch]` to `[k, batch]`; stores only the inputs for the gradient."""

    @custom_gradient
    def run(variables: tf.Tensor) -> tuple[tf.Tensor, object]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return _pull_back(upstream, _factors(_again(variables, upstream), rows), rows, transposed.shape[0])

        return _product(_factors(variables, rows)), gradient

    return run(transposed)


def _factors(transposed: tf.Tensor, rows: Ints) -> list[tf.Tensor]:
    return [tf.gather(transposed, column) for column in np.ascontiguousarray(rows.T, np.int32)]


def _pull_back(upstream: tf.Tensor, factors: list[tf.Tensor], rows: Ints, n: int) -> tf.Tensor:
    """Computes the gradient with respect to the inputs, `[n, batch]`, from that with respect to the products."""
    total = 0
    for place, column in enumerate(np.ascontiguousarray(rows.T, np.int32)):
        others = factors[:place] + factors[place + 1 :]
        total += tf.math.unsorted_segment_sum(math.prod(others, start=upstream), column, n)
    return total


def _again(values: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    """Copies values once `after` is computed, lest products of theirs be kept from the forward pass until then."""
    with tf.control_dependencies([after]):
        return tf.identity(values)


def _product(factors: list[tf.Tensor]) -> tf.Tensor:
    return math.prod(factors[1:], start=factors[0])


def _weighted_products(transposed: tf.Tensor, weights: tf.Tensor, rows: Ints) -> tf.Tensor:
    """Maps `[n, batch]` to `[batch, outputs]`, recomputing the products in the backward pass."""

    @custom_gradient
    def run(variables: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, object]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            factors = _factors(_again(variables, upstream), rows)
            by_products = tf.matmul(weight, upstream, transpose_b=True)
            by_variables = _pull_back(by_products, factors, rows, transposed.shape[0])
            return by_variables, tf.matmul(_product(factors), upstream)

        return tf.matmul(_product(_factors(variables, rows)), weight, transpose_a=True), gradient

    return run(transposed, weights)


@custom_gradient
def _bilinear(
    prefixes: tf.Tensor, tail: tf.Tensor, transposed_tail: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, object]:
    """Computes y[b, o] = sum_pm prefixes[b, p] tail[b, m] weights[m, p o]; stores only its arguments for the gradient.

    The gradients of prefixes and tail are two sums of one product of upstream gradient and weights. The tail is also
    passed transposed because XLA is faster with that one forward, and with the other backward.
    """
    p, m = prefixes.shape[1], tail.shape[1]
    outputs = weights.shape[1] // p
    flat = tf.reshape(weights, [m * p, outputs])

    def table(after: tf.Tensor | None = None) -> tf.Tensor:
        rows = tail if after is None else _again(tail, after)
        return tf.reshape(rows[:, :, None] * prefixes[:, None, :], [-1, m * p])

    if m < outputs:  # The smaller of two tables: the block's monomials, or a sum per prefix and output.
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
        return by_prefixes, by_tail, None, by_weights  # The gradient of the tail is passed to one of its two copies.

    return values, gradient


def cut(sizes: npt.NDArray[np.intp], limit: int) -> Iterator[slice]:
    """Divides a sequence of sizes into consecutive runs of total size at most a limit, or of a single larger item.

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
