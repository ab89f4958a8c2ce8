"""Dropout whose noise comes from a seed alone."""

import tensorflow as tf

from weirdonetworks.nets.inputs import checked_seed


def checked_rate(name: str, rate: float) -> float:
    """Returns the share of units that dropout drops as it is.

    Raises:
      ValueError: If it is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"{name} (={rate}) must be in [0, 1).")
    return rate


def dropout(hidden: tf.Tensor, rate: float, *, is_training: bool, seed: tf.Tensor | None, index: int = 0) -> tf.Tensor:
    """Drops a share of the units in training, and divides the others by the share kept, so that the mean stays.

    The same seed and index drop the same units, in a compiled function too.

    >>> ones = tf.ones([1, 1000])
    >>> dropped = dropout(ones, 0.5, is_training=True, seed=tf.constant([1, 2]))
    >>> np.unique(dropped).tolist()
    [0.0, 2.0]
    >>> dropout(ones, 0.5, is_training=False, seed=None) is ones
    True

    Args:
      hidden: Floating point, of any shape.
      rate: The share of units dropped, in [0, 1).
      is_training: Whether anything is dropped.
      seed: int32 `[2]`, new at each step; None will do where nothing is dropped.
      index: Which of the network's dropouts this is; each drops units of its own.

    Raises:
      ValueError: If units are to be dropped and there is no seed.
    """
    if not is_training or rate == 0:
        return hidden
    own = tf.random.experimental.stateless_fold_in(checked_seed(seed, "dropout"), index, alg="philox")
    return tf.nn.experimental.stateless_dropout(hidden, rate, own, rng_alg="philox")
