"""The correction of gradients for the number of a neuron's connections."""

from typing import Any

import tensorflow as tf

from weirdonetworks.nets.pooling import accumulator


def fan_in_scale(mask: Any, dtype: Any) -> tf.Tensor:
    """Computes `sqrt(n_i / mean of n)` for the n_i connections that each neuron keeps.

    Source: Adnan et al., SparseOpt: Addressing Normalization-induced Gradient Skew in Sparse Training (2026).

    >>> print(fan_in_scale([[True, True], [True, False], [True, False]], tf.float32).numpy().round(3))
    [1.225 0.707]

    Args:
      mask: The mask, `[..., in, out]`.
      dtype: The type of the result, in which a sum of float16 or bfloat16 could overflow or stagnate: it is one of
        float32.

    Returns:
      A factor for each neuron, `[out]`; ones for a constant fan-in.
    """
    kept = tf.cast(tf.convert_to_tensor(mask), accumulator(tf.as_dtype(dtype)))
    fans = tf.reduce_sum(kept, axis=list(range(kept.shape.rank - 1)))
    return tf.cast(tf.sqrt(tf.math.divide_no_nan(fans, tf.reduce_mean(fans))), dtype)
