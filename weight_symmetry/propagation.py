"""Propagation of masks: removal of the connections of dead units."""

import itertools

import numpy as np

from weight_symmetry.chain import Masks, chain
from weight_symmetry.masks import Mask


def propagate(masks: Masks) -> list[Mask]:
    """Removes all connections of dead hidden units.

    A hidden unit is dead if all its incoming or all its outgoing connections are gone; removing its other connections
    can make its neighbours dead. One forward and one backward sweep reach the fixed point: the forward sweep leaves
    only connections that the inputs reach, and the backward sweep takes none from a unit that still leads to an output.
    Nothing is ever added, so the propagated masks lie within the given ones. A dead unit still emits the activation of
    its bias. A kernel position counts as a connection, whether or not the padding lets it see an image.

    >>> first, second = propagate([np.array([[1, 0]]), np.array([[1, 1], [1, 1]])])
    >>> second.astype(int)
    array([[1, 1],
           [0, 0]])

    Args:
      masks: The masks of a model in layer order.

    Returns:
      New boolean masks in the same order, each shaped like the given one.

    Raises:
      ValueError: If the masks do not chain.
    """
    layers = chain(masks)
    taps = [layer.taps.copy() for layer in layers]
    for before, after in itertools.pairwise(taps):
        after &= np.any(before, axis=(0, 1), keepdims=True).transpose(0, 2, 1)
    for after, before in itertools.pairwise(reversed(taps)):
        before &= np.any(after, axis=(0, 2))
    return [kept.reshape(layer.mask.shape) for kept, layer in zip(taps, layers, strict=True)]
