"""The soft floor: a smooth approximation of the floor with a softness factor, numerically accurate at every factor."""

import math
from typing import Any

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import reals
from weirdonetworks.nets.base_module import BaseModule
from weirdonetworks.nets.gradients import custom_gradient
from weirdonetworks.nets.inputs import checked_tensor

# Up to this slope the derivative with respect to the factor is summed from so many terms of its power series.
SERIES_BELOW = 1.0
SERIES_TERMS = 9


def softfloor(x: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Computes the soft floor elementwise: floor(x) in the limit factor -> 0, and x - 1/2 for factor -> infinity.

        n - 1/2 + (F / 2) tanh(a r),    n = round(x), r = x - n, F = 1 + factor, a = log(1 + 2 / factor)

    At every factor the function is continuously differentiable, increasing, maps n + 1/2 to n and n to n - 1/2, and
    satisfies softfloor(x + 1) = softfloor(x) + 1. Its slope is largest at the integers, F a / 2, and smallest half way
    between them.

    It converges to the floor slowly: the steps have width 1 / a, and a is about log(2 / factor). For factors from 1e-12
    to 1e6 the value is accurate to rounding, and both gradients to about a times that, relative at each point, in
    float32 and float64. Nothing overflows for factors from the smallest normal number of the type to 1e30.

    >>> x = tf.constant([1.5, 1.9, 2.0, 2.1], tf.float64)
    >>> softfloor(x, 1e-30).numpy().round(3).tolist()
    [1.0, 1.0, 1.5, 2.0]
    >>> softfloor(x, 1e6).numpy().round(3).tolist()
    [1.0, 1.4, 1.5, 1.6]

    Args:
      x: Floating-point numbers of any shape.
      factor: The softness, above 0; a number, or a tensor that broadcasts with `x`, whose entries are clipped to at
        least the smallest normal number.

    Returns:
      The values, of the broadcast shape of both.

    Raises:
      ValueError: If x is not float16, float32 or float64, or the factor is a number that is not above 0 or not
        finite in the type of x.
    """
    x = checked_tensor(x, "x")
    _check_type(x.dtype)
    if isinstance(factor, int | float | np.integer | np.floating):
        _check(float(factor), x.dtype)
    factor = checked_tensor(factor, "factor", x.dtype)
    try:
        tf.broadcast_static_shape(x.shape, factor.shape)
    except ValueError as error:
        raise ValueError(f"factor (of shape {factor.shape}) must broadcast with x (of shape {x.shape}).") from error
    return _softfloor(x, factor)


class SoftFloor(BaseModule):
    """The activation `softfloor` with a learned factor.

        y = softfloor(x, exp(log_factor)),    elementwise

    The variable is the logarithm, so that the factor stays positive and changes by relative steps.

    >>> activation = SoftFloor(factor=0.01)
    >>> activation(tf.constant([0.5, 1.0, 1.5])).numpy().round(3).tolist()
    [0.0, 0.5, 1.0]
    >>> round(float(activation.factor), 6)
    0.01
    """

    def __init__(self, factor: float = 1.0, name: str | None = None):
        """Sets the initial factor, above 0 and finite, also in the type of the inputs of the first call."""
        super().__init__(name=name)
        _check(factor, tf.float64)
        self._start = factor

    @snt.once
    def _initialize(self, inputs: tf.Tensor) -> None:
        dtype = tf.as_dtype(inputs.dtype)
        _check_type(dtype)
        _check(self._start, dtype)
        self.log_factor = tf.Variable(tf.constant(math.log(self._start), dtype), name="log_factor")

    @property
    def factor(self) -> tf.Tensor:
        """The current factor; available after the first call."""
        return tf.exp(self.log_factor)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps a tensor of any shape, elementwise."""
        self._initialize(inputs)
        return softfloor(inputs, self.factor)


@custom_gradient
def _softfloor(x: tf.Tensor, factor: tf.Tensor) -> tuple[tf.Tensor, Any]:
    # Rounded to nearest, since the sum in floor(x + 1/2) would be rounded: so r is exact and at most 1/2 in size.
    n = tf.round(x)
    r = x - n
    factor = tf.maximum(factor, np.finfo(x.dtype.as_numpy_dtype).tiny)  # Else a would be infinite.
    a = tf.math.log1p(2 / factor)
    outputs = n - 0.5 + (1 + factor) / 2 * tf.tanh(a * r)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        steepness = _sech_squared(a * r)
        by_x = (1 + factor) / 2 * a * steepness
        by_factor = steepness / 4 * _sinh_excess(a, 2 * r)
        return _summed(upstream * by_x, x), _summed(upstream * by_factor, factor)

    return outputs, gradient


def _sech_squared(y: tf.Tensor) -> tf.Tensor:
    """Computes 1 / cosh(y)^2, which `1 - tanh(y)^2` loses to cancellation where it is small."""
    decay = tf.exp(-2 * tf.abs(y))
    return 4 * decay / tf.square(1 + decay)


def _sinh_excess(a: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
    """Computes sinh(a t) - t sinh(a) for t in [-1, 1] and a > 0, in three forms, each where nothing cancels in it.

    The derivative of the soft floor by its factor is this times sech(a r)^2 / 4 at t = 2 r, because
    sinh(a) = 2 F / (F^2 - 1). It is 0 at -1, 0 and 1, and of the order of a^3 for small a.
    """
    small = tf.minimum(a, SERIES_BELOW)
    geometric, power, total = tf.zeros_like(t), small**3, tf.zeros_like(a * t)
    for index in range(SERIES_TERMS):
        geometric = 1 + t * t * geometric  # 1 + t^2 + ... + t^(2 index), which is (t^(2 index + 2) - 1) / (t^2 - 1)
        total += power / math.factorial(2 * index + 3) * geometric
        power *= small * small
    series = t * (t - 1) * (t + 1) * total
    rest = 1 - tf.abs(t)
    outer = tf.sign(t) * (rest * tf.sinh(a) - 2 * tf.sinh(a * rest / 2) * tf.cosh(a * (1 - rest / 2)))
    inner = tf.sinh(a * t) - t * tf.sinh(a)
    return tf.where(a < SERIES_BELOW, series, tf.where(rest < 0.5, outer, inner))


def _summed(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Sums over the axes along which a tensor was broadcast to the shape of `values`."""
    axes, _ = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(like), s1=tf.shape(values))
    return tf.reshape(tf.reduce_sum(values, axes), tf.shape(like))


def _check_type(dtype: tf.DType) -> None:
    if dtype not in (tf.float16, tf.float32, tf.float64):
        raise ValueError(f"x of type {dtype.name} must be floating point that NumPy has: float16, float32 or float64.")


def _check(factor: float, dtype: tf.DType) -> None:
    with np.errstate(over="ignore", under="ignore"):
        number = reals("factor", factor).astype(dtype.as_numpy_dtype)
    if number.ndim or not 0 < number < math.inf:
        raise ValueError(f"factor (={factor}) must be above 0 and finite in {dtype.name}.")
