"""Dropout with stateless random numbers, determined by a seed."""

import tensorflow as tf

from weirdonetworks.algebra.arrays import finite
from weirdonetworks.nets.inputs import checked_seed


def checked_rate(name: str, rate: float) -> float:
    """Returns a dropout rate; raises a `ValueError` or `TypeError` if it is not in [0, 1)."""
    try:
        is_rate = 0 <= finite(name, rate) < 1
    except ValueError:
        is_rate = False
    if not is_rate:
        raise ValueError(f"{name} (={rate}) must be in [0, 1).")
    return rate


def dropout(hidden: tf.Tensor, rate: float, *, is_training: bool, seed: tf.Tensor | None, index: int = 0) -> tf.Tensor:
    """Applies inverted dropout in training: zeroes a share of the units, and divides the others by 1 - rate.

    The same seed and index drop the same units, also in compiled functions.

    >>> ones = tf.ones([1, 1000])
    >>> dropped = dropout(ones, 0.5, is_training=True, seed=tf.constant([1, 2]))
    >>> np.unique(dropped).tolist()
    [0.0, 2.0]
    >>> dropout(ones, 0.5, is_training=False, seed=None) is ones
    True

    Args:
      hidden: The units, floating point, of any shape.
      rate: The share of units dropped, in [0, 1).
      is_training: Whether to apply dropout.
      seed: int32 `[2]`, new at each step; may be None where nothing is dropped.
      index: The index of this dropout layer in the network; layers draw independently.
    """
    if not is_training or rate == 0:
        return hidden
    own = tf.random.experimental.stateless_fold_in(checked_seed(seed, "dropout"), index, alg="philox")
    return tf.nn.experimental.stateless_dropout(hidden, rate, own, rng_alg="philox")
