"""The sizes of gradients of neurons that differ in the number of their connections."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from weight_symmetry.masks.generators import Mask, as_mask
from weight_symmetry.masks.model_masks import Masks, checked_masks
from weirdonetworks.algebra.arrays import listed
from weirdonetworks.nets.inputs import checked_function


def gradient_ratios(
    masks: Masks, sparse: Sequence[Mask], gradients: Callable[[], Sequence[npt.ArrayLike]]
) -> list[npt.NDArray[np.floating]]:
    """Compares the gradients of each neuron's weights under masks with those of the dense network, at equal weights.

    Where batch norm follows, the gradient of a weight is inversely proportional to the deviation of its neuron's sum,
    which has a variance proportional to the number of its inputs. So a neuron that keeps n_i of n connections has

        r_i = rms of dL/dw over its kept connections / rms of dL/dw over all connections = sqrt(n / n_i)

    in the mean over independent inputs, (1 - sparsity)^(-1/2): 3.2 at 90%, 4.5 at 95%, 5.8 at 97%.

    >>> import sonnet as snt
    >>> import tensorflow as tf
    >>> from weight_symmetry.masks import create
    >>> normal = lambda shape, dtype: 0.05 * tf.random.stateless_normal(shape, [3, 4], dtype=dtype)
    >>> layer, norm = snt.Linear(50, with_bias=False, w_init=normal), snt.BatchNorm(False, False)
    >>> inputs, labels = tf.random.stateless_normal([500, 400], [1, 2]), tf.range(500) % 50
    >>> _ = layer(inputs)
    >>> def gradients():
    ...     with tf.GradientTape() as tape:
    ...         logits = norm(layer(inputs), is_training=True)
    ...         loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    ...     return tape.gradient(loss, [layer.w])
    >>> (ratios,) = gradient_ratios(Masks(layer), create("random", [(400, 50)], 0.9, seed=0), gradients)
    >>> print(ratios.shape, f"{ratios.mean():.1f}")
    (50,) 3.2

    Args:
      masks: The masks of a dense network, which are set to the sparse ones.
      sparse: The masks to compare with.
      gradients: Computes the gradient of each masked weight of the network as it is.

    Returns:
      For each masked weight, the ratio of each neuron, `[out]`; NaN of one that keeps no connection.

    Raises:
      TypeError: If the masks are no `Masks`, the sparse ones no list, or `gradients` is no function.
      ValueError: If the sparse masks do not fit.
    """
    masks, sparse = checked_masks(masks), listed("sparse", sparse, "masks")
    gradients = checked_function("gradients", gradients)
    if len(sparse) != len(masks.weights):
        raise ValueError(f"sparse (of length {len(sparse)}) must hold one of each of the {len(masks.weights)} masks.")
    sparse = [as_mask(each, "sparse") for each in sparse]
    dense = [np.asarray(each) for each in listed("gradients()", gradients(), "arrays")]
    masks.set(sparse)
    kept = [np.where(mask, np.asarray(each), np.nan) for each, mask in zip(gradients(), sparse, strict=True)]
    with np.errstate(invalid="ignore"):
        return [_sizes(few) / _sizes(many) for few, many in zip(kept, dense, strict=True)]


def _sizes(gradient: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """The root of the mean square over each neuron's connections, those that are NaN left out."""
    rows = gradient.reshape(-1, gradient.shape[-1])
    count = np.count_nonzero(~np.isnan(rows), axis=0)
    result: npt.NDArray[np.floating] = np.sqrt(np.nansum(rows**2, axis=0) / count)
    return result
