"""Poolings: symmetric functions of the elements of an orbit or the items of a set.

Each maps values `[..., items, features]` to `[..., k * features]`, feature by feature, and is invariant under
permutations of the items. A mask `[..., items]` is True for items present; the others are ignored. The value of an
empty set is 0; where the number of items is statically 0, a `ValueError` is raised. float16 and bfloat16 values are
summed in float32, and more than 8192 items in two stages.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from weirdonetworks.algebra.arrays import accepts, at_least, truth
from weirdonetworks.nets.inputs import checked_floats, checked_mask, checked_tensor, sizes

Pooling: TypeAlias = Callable[..., tf.Tensor]

BLOCK = 2**13  # The most items that are summed one after another.
ORDERS = 1000  # The highest power, and the most elementary symmetric polynomials.


def accumulator(dtype: tf.DType) -> tf.DType:
    """Returns the type in which to sum values of a type: float32 for float16 and bfloat16, else their own.

    Half-precision sums stagnate where the next term is below their last digit, and float16 overflows beyond 65504.

    >>> accumulator(tf.bfloat16), accumulator(tf.float64)
    (tf.float32, tf.float64)
    """
    return tf.float32 if dtype in (tf.float16, tf.bfloat16) else dtype


def summed(values: tf.Tensor) -> tf.Tensor:
    """Sums the items `[..., items, features]`; of more than `BLOCK` items n, blocks of about sqrt(n), then their sums.

    One after another, ones in float32 sum to 2^24 at most; in two stages the error is that of thousands of items.

    >>> summed(tf.ones([20_000, 1])).numpy().tolist()
    [20000.0]
    """
    values = checked_tensor(values, "values")
    if values.shape.rank is None or values.shape.rank < 2:
        raise ValueError(f"values of shape {values.shape} must be [..., items, features].")
    *others, items, features = sizes(values)
    if not isinstance(items, int):
        root = tf.cast(tf.math.ceil(tf.sqrt(tf.cast(items, tf.float64))), tf.int32)
        size = tf.maximum(tf.where(items > BLOCK, root, items), 1)
    elif items > BLOCK:
        size = math.isqrt(items - 1) + 1
    else:
        return tf.reduce_sum(values, axis=-2)
    rows = -(-items // size)
    padded = tf.pad(values, [*[[0, 0]] * len(others), [0, rows * size - items], [0, 0]])
    sums = tf.reduce_sum(tf.reshape(padded, [*others, rows, size, features]), axis=-2)
    return 2 * tf.reduce_sum(sums / 2, axis=-2)  # Of a sum of sums XLA would make one.


def ordered(values: tf.Tensor) -> tf.Tensor:
    """Maps floats to integers in the same order, equal only for equal values; NaN, which equals itself, is the largest.

    >>> tf.argsort(ordered(tf.constant([float("nan"), 1.0, -0.5, float("-inf"), 2.0]))).numpy().tolist()
    [3, 2, 1, 4, 0]
    >>> bool(ordered(tf.constant(0.0)) == ordered(tf.constant(-0.0)))
    True
    """
    values = checked_tensor(values, "values")
    if not values.dtype.is_integer:
        values = checked_floats(values, "values")
    wide = tf.float64 if values.dtype == tf.float64 else tf.float32  # Which hold the others exactly.
    integer = tf.int64 if wide == tf.float64 else tf.int32
    values = tf.cast(values, wide)
    values = tf.where(values == 0, tf.zeros([], wide), values)  # There are two zeros, and many NaN.
    bits = tf.bitcast(tf.where(tf.math.is_nan(values), tf.constant(np.nan, wide), values), integer)
    return tf.where(bits < 0, bits ^ integer.max, bits)  # The bits of a negative number grow with its size.


def _pooling(pooling: Pooling) -> Pooling:
    """Checks values and mask for a pooling, which computes in the type of `accumulator`, its mask `[..., items, 1]`."""

    @functools.wraps(pooling)
    def run(values: tf.Tensor, mask: tf.Tensor | None = None, **options: Any) -> tf.Tensor:
        values = checked_tensor(values, "values")
        present = _present(values, mask)
        return tf.cast(pooling(tf.cast(values, accumulator(values.dtype)), present, **options), values.dtype)

    return run


@_pooling
def mean(values: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Averages the items, `sum_i x_i / items`.

    >>> mean(tf.constant([[1.0], [2.0], [6.0]])).numpy().tolist()
    [3.0]
    """
    return _mean(values, mask)


@_pooling
def sum_(values: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Sums the items, `sum_i x_i`.

    >>> sum_(tf.constant([[1.0], [2.0], [6.0]]), mask=tf.constant([True, False, True])).numpy().tolist()
    [7.0]
    """
    return summed(_kept(values, mask))


@_pooling
def maximum(values: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Computes the maximum of the items, NaN if one is; ties share the gradient equally.

    >>> maximum(tf.constant([[-1.0], [-2.0]])).numpy().tolist()
    [-1.0]
    """
    kept = _kept(values, mask, -np.inf)
    largest = tf.reduce_max(kept, axis=-2)
    # XLA's maximum of NaN and a number is the number.
    largest = tf.where(tf.reduce_any(tf.math.is_nan(kept), axis=-2), tf.constant(np.nan, values.dtype), largest)
    return largest if mask is None else tf.where(tf.reduce_any(mask, axis=-2), largest, 0)


@_pooling
def product(values: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Multiplies the items; the product of many soon overflows or underflows.

    >>> product(tf.constant([[1.0], [2.0], [6.0]]), mask=tf.constant([False, True, True])).numpy().tolist()
    [12.0]
    """
    multiplied = tf.reduce_prod(_kept(values, mask, 1.0), axis=-2)
    return multiplied if mask is None else tf.where(tf.reduce_any(mask, axis=-2), multiplied, 0)


@_pooling
def variance(values: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Computes the population variance, `sum_i (x_i - mean)^2 / items`.

    >>> variance(tf.constant([[1.0], [2.0], [3.0], [6.0]])).numpy().tolist()
    [3.5]
    """
    return _mean(tf.square(_centred(values, mask)), mask)


@_pooling
def moments(values: tf.Tensor, mask: tf.Tensor | None = None, *, order: int = 2) -> tf.Tensor:
    """Computes the mean, then the central moments `sum_i (x_i - mean)^k / items` for k = 2, ..., order.

    >>> moments(tf.constant([[1.0], [2.0], [3.0], [6.0]]), order=3).numpy().tolist()
    [3.0, 3.5, 4.5]
    """
    powers = _powers(_centred(values, mask), order)
    return tf.concat([_mean(each, mask) for each in (values, *powers[1:])], axis=-1)


@_pooling
def power_sums(values: tf.Tensor, mask: tf.Tensor | None = None, *, order: int = 2) -> tf.Tensor:
    """Computes the power sums `p_k = sum_i x_i^k` for k = 1, ..., order.

    >>> power_sums(tf.constant([[1.0], [2.0], [6.0]]), order=3).numpy().tolist()
    [9.0, 41.0, 225.0]
    """
    powers = _powers(_kept(values, mask), order)
    return tf.concat([summed(power) for power in powers], axis=-1)


@_pooling
def elementary_symmetric(
    values: tf.Tensor, mask: tf.Tensor | None = None, *, order: int = 2, normalised: bool = False
) -> tf.Tensor:
    """Computes elementary symmetric polynomials e_1, ..., e_order, `e_k = sum_{i_1 < ... < i_k} x_{i_1} ... x_{i_k}`.

    The recurrence `e_k <- e_k + x e_{k-1}` over the items is stable; Newton's identities from the power sums are not.
    e_k has C(items, k) terms; as inputs of dense layers the means of the products are better scaled. With an infinite
    item among positive ones e_k is infinite; else e_2, e_3, ... are NaN, as a sum of infinities of both signs is.

    >>> elementary_symmetric(tf.constant([[1.0], [2.0], [6.0]]), order=3).numpy().tolist()
    [9.0, 20.0, 12.0]

    Args:
      values: Items, `[..., items, features]`.
      mask: Which items are present, `[..., items]`; None for all.
      order: The highest k, at least 1. Where there are fewer items than k, e_k is 0.
      normalised: Whether to divide e_k by C(items, k): the mean of the products, whose scale does not depend on the
        number of items.
    """
    order = at_least("order", order, 1, ORDERS)
    items, count = _kept(values, mask), _count(values, mask)
    if truth("normalised", normalised):
        items /= count[..., None]  # Else e_k and C(items, k) would both overflow.
    zeros = tf.zeros_like(items[..., :1, :])
    none = tf.concat([tf.ones_like(zeros), *[zeros] * order], axis=-2)

    def add(sums: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
        return sums + tf.concat([zeros, item[..., None, :] * sums[..., :-1, :]], axis=-2)

    rank = items.shape.rank
    sums = tf.foldl(add, tf.transpose(items, [rank - 2, *range(rank - 2), rank - 1]), none)
    parts, factor = tf.unstack(sums, axis=-2)[1:], tf.ones_like(count)
    for k in range(1, order + 1 if normalised else 1):
        factor *= tf.math.divide_no_nan(k * count, tf.maximum(count - (k - 1), 0))  # In all count^k / C(count, k).
        parts[k - 1] *= factor
    # In the recurrence infinity would meet zeros that stand for no product, in an order that the items happen to have.
    unbounded = tf.reduce_any(tf.math.is_inf(items), axis=-2)
    one_sign = tf.reduce_all(_kept(values, mask, 1.0) > 0, axis=-2)
    limit = tf.where(one_sign, tf.constant(np.inf, items.dtype), tf.constant(np.nan, items.dtype))
    for k in range(1, order):
        parts[k] = tf.where(unbounded, tf.where(count > k, limit, 0), parts[k])
    return tf.concat(parts, axis=-1)


@_pooling
def sorted_items(values: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Sorts the items, each feature separately, in descending order, NaN first; masked items become 0 at the end.

    The number of items must be known: it is the size of the result.

    >>> sorted_items(tf.constant([[1.0], [6.0], [2.0]]), mask=tf.constant([True, True, False])).numpy().tolist()
    [6.0, 1.0, 0.0]
    """
    if values.shape[-2] is None:
        raise ValueError(f"values of shape {values.shape} must have a known number of items, to be sorted.")
    by_feature = tf.linalg.matrix_transpose(_kept(values, mask, -np.inf))
    order = tf.math.top_k(ordered(by_feature), values.shape[-2]).indices
    rows = tf.linalg.matrix_transpose(tf.gather(by_feature, order, batch_dims=values.shape.rank - 1))
    if mask is not None:
        places = tf.range(values.shape[-2], dtype=tf.int32)[:, None]
        rows = tf.where(places < tf.reduce_sum(tf.cast(mask, tf.int32), axis=-2, keepdims=True), rows, 0)
    return tf.reshape(rows, [*sizes(values)[:-2], values.shape[-2] * values.shape[-1]])


@_pooling
def log_mean_exp(values: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Computes `log(sum_i exp(x_i) / items)`, a smooth maximum, without overflow.

    >>> log_mean_exp(tf.constant([[1000.0], [1000.0]])).numpy().tolist()
    [1000.0]
    """
    largest = tf.stop_gradient(tf.reduce_max(_kept(values, mask, -np.inf), axis=-2, keepdims=True))
    largest = tf.where(tf.math.is_finite(largest), largest, 0)
    average = _mean(tf.exp(_kept(values - largest, mask, -np.inf)), mask)
    if mask is not None:
        average = tf.where(tf.reduce_any(mask, axis=-2), average, 1)
    return tf.math.log(average) + tf.squeeze(largest, axis=-2)


POOLINGS: dict[str, Pooling] = {
    "mean": mean,
    "sum": sum_,
    "product": product,
    "max": maximum,
    "variance": variance,
    "moments": moments,
    "power_sums": power_sums,
    "elementary_symmetric": elementary_symmetric,
    "sort": sorted_items,
    "log_mean_exp": log_mean_exp,
}


def named(pooling: str | Pooling, **options: Any) -> Pooling:
    """Returns a pooling by its name.

    >>> named("moments", order=3)(tf.constant([[1.0], [2.0], [3.0], [6.0]])).numpy().tolist()
    [3.0, 3.5, 4.5]

    Args:
      pooling: A name in `POOLINGS`, or a function with the same signature, which is returned.
      **options: Keyword arguments to bind, such as `order`.
    """
    if isinstance(pooling, str):
        if pooling not in POOLINGS:
            raise ValueError(f"pooling (={pooling!r}) must be one of {', '.join(POOLINGS)}, or a function.")
        pooling = POOLINGS[pooling]
    elif not accepts(pooling, 1):
        raise TypeError(f"pooling (={pooling!r}) must be a name or a function.")
    return functools.partial(pooling, **options) if options else pooling


def _present(values: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor | None:
    """Checks values and mask; returns the mask as `[..., items, 1]`."""
    if values.shape.rank is None or values.shape.rank < 2 or values.shape[-1] is None:
        raise ValueError(f"values of shape {values.shape} must be [..., items, features], the features known.")
    if checked_floats(values, "values").shape[-2] == 0:
        raise ValueError(f"values of shape {values.shape} must have at least one item.")
    return None if mask is None else checked_mask(mask, values.shape[:-1])[..., None]


def _kept(values: tf.Tensor, present: tf.Tensor | None, other: float = 0.0) -> tf.Tensor:
    """Replaces masked items by a constant, which also stops their gradient."""
    return values if present is None else tf.where(present, values, tf.constant(other, values.dtype))


def _count(values: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
    """Counts the items present, `[..., 1]`; 1 for an empty set, so that its mean is 0."""
    if present is None:
        return tf.cast(tf.shape(values)[-2:-1], values.dtype)
    return tf.cast(tf.maximum(tf.math.count_nonzero(present, axis=-2), 1), values.dtype)


def _mean(values: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
    return summed(_kept(values, present)) / _count(values, present)


def _centred(values: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
    return _kept(values - _mean(values, present)[..., None, :], present)


def _powers(values: tf.Tensor, order: int) -> list[tf.Tensor]:
    powers = [values]
    for _ in range(at_least("order", order, 1, ORDERS) - 1):
        powers.append(powers[-1] * values)
    return powers
