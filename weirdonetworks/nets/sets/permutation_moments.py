"""Permutation-invariant polynomials of sets: products of the set's moments.

The moment of a monomial a in the channels is its mean over the items, 1/n sum_i x_i^a: a power sum over n. In
characteristic 0 the power sums generate the ring of permutation-invariant polynomials in the items' channels (Weyl, The
Classical Groups, 1939), so the products of moments of degree e span the invariants of degree e. They are a basis for at
least e items.
"""

import collections
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra import monomials
from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.nets.polynomial.monomial_parts import gaussian_moments, products
from weirdonetworks.nets.pooling import accumulator, summed
from weirdonetworks.nets.sets.set_network import on_items


class MomentProducts:
    """The products of moments of the degrees 1 to d.

    They are ordered by degree; within a degree by the partition of it into the factors' degrees, larger parts first;
    then as monomials in the moments, which have the order of the monomials in the channels.

    >>> made = MomentProducts(channels=1, degree=3)  # m1; m2, m1^2; m3, m1 m2, m1^3
    >>> made.sizes
    [1, 2, 3]

    Attributes:
      channels: The number of channels.
      degree: The highest degree d.
      sizes: The number of products of each degree, from 1 on.
    """

    def __init__(self, channels: int, degree: int) -> None:
        self.channels, self.degree = channels, degree
        # Index 0 is the constant 1, which pads a row to `degree` factors.
        counts = [1, *(monomials.count(channels, size) for size in range(1, degree + 1))]
        first = np.cumsum([0, *counts])
        self._rows: list[Ints] = []
        self._indices: list[Ints] = []
        for total in range(1, degree + 1):
            rows, indices = [], []
            for parts in _partitions(total, total):
                factors, channel_rows = [], []
                for size, number in collections.Counter(parts).items():
                    chosen = monomials.monomials(counts[size], number)
                    factors.append(first[size] + chosen)
                    channel_rows.append(monomials.monomials(channels, size)[chosen].reshape(len(chosen), -1))
                row = _beside(factors)
                rows.append(np.pad(row, ((0, 0), (0, degree - row.shape[1]))))
                indices.append(_beside(channel_rows))
            self._rows.append(np.concatenate(rows))
            self._indices.append(np.concatenate(indices))
        self.sizes = [len(rows) for rows in self._rows]

    def __call__(self, tables: Mapping[int, tf.Tensor], count: tf.Tensor) -> tf.Tensor:
        """Evaluates the products, `[sum(sizes), batch]`, those of a low degree first.

        Args:
          tables: The items' monomials of each degree up to half of d, rounded up, `[batch, items, monomials]`.
          count: The number of items of each set, `[batch]` or `[1]`, of the type of sums.
        """
        moments = [_sums(tables, self.channels, size) / count for size in range(1, self.degree + 1)]
        moments = [tf.cast(each, tables[1].dtype) for each in moments]
        ones = tf.ones_like(moments[0][:1])
        return products(tf.concat([ones, *moments], axis=0), np.concatenate(self._rows))

    def mean_squares(self, degree: int, rows: Ints) -> npt.NDArray[np.float64]:
        """Computes mean squares of products of a degree times monomials `[k, e]` of the same item, `[products, k]`.

        The means are those of sets of one item with independent standard normal channels.
        """
        indices = self._indices[degree - 1]
        shape = (len(indices), len(rows))
        left = np.broadcast_to(indices[:, None], (*shape, indices.shape[1]))
        right = np.broadcast_to(rows[None], (*shape, rows.shape[1]))
        return gaussian_moments(np.concatenate([left, right, left, right], axis=2))


def count_products(channels: int, degree: int) -> list[int]:
    """Counts the products of moments of the degrees 0 to d from the generating function prod_a 1 / (1 - t^|a|).

    >>> count_products(1, 6)  # The partitions.
    [1, 1, 2, 3, 5, 7, 11]
    """
    series = [1] + [0] * degree
    for size in range(1, degree + 1):
        number = monomials.count(channels, size)
        series = [
            sum(monomials.count(number, times) * series[total - size * times] for times in range(total // size + 1))
            for total in range(degree + 1)
        ]
    return series


def item_monomials(values: tf.Tensor, degree: int) -> dict[int, tf.Tensor]:
    """Evaluates the monomials of items `[batch, items, channels]`, of each degree from 1 to the given one.

    Returns:
      For each degree a table `[batch, items, monomials]`, in the order of `algebra.monomials`.
    """

    def table(of_degree: int) -> tf.Tensor:
        rows = monomials.monomials(values.shape[2], of_degree)
        return on_items(lambda items: tf.transpose(products(tf.transpose(items), rows)), values)

    return {1: values} | {each: table(each) for each in range(2, degree + 1)}


def _sums(tables: Mapping[int, tf.Tensor], channels: int, size: int) -> tf.Tensor:
    """Sums the monomials of a degree over the items, `[monomials, batch]`: a matrix product of two lower degrees."""
    wide = accumulator(tables[1].dtype)
    if size == 1:
        return tf.transpose(summed(tf.cast(tables[1], wide)))
    low, high = size // 2, size - size // 2
    rows = monomials.monomials(channels, size)
    width = monomials.count(channels, low)
    places = monomials.index_of(rows[:, :high], channels) * width + monomials.index_of(rows[:, high:], channels)
    paired = tf.matmul(tf.cast(tables[high], wide), tf.cast(tables[low], wide), transpose_a=True)
    flat = tf.reshape(paired, [-1, width * monomials.count(channels, high)])
    return tf.gather(tf.transpose(flat), places.astype(np.int32))


def _partitions(total: int, largest: int) -> Iterator[tuple[int, ...]]:
    """Yields the partitions of a number, parts in descending order."""
    if total == 0:
        yield ()
    for part in range(min(total, largest), 0, -1):
        for rest in _partitions(total - part, part):
            yield part, *rest


def _beside(tables: list[Ints]) -> Ints:
    """Forms the Cartesian product of the rows of tables, concatenating the rows."""
    columns = np.indices([len(table) for table in tables]).reshape(len(tables), -1)
    return np.concatenate([table[column] for table, column in zip(tables, columns, strict=True)], axis=1)
