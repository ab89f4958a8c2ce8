"""Chains of masks: the output units of each layer are the input units of the next.

A model's masks come in layer order, as a sequence or as a mapping of names to arrays; a mask has the shape of the
weight, `[in, out]` or `[height, width, in, out]`. The outputs of every layer but the last (neurons, filters) are the
model's hidden units; the inputs of the first layer and the outputs of the last are labelled.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from weight_symmetry import masks as _masks

Masks = Sequence[npt.ArrayLike] | Mapping[str, npt.ArrayLike]


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a chain: its mask, and the same mask from unit to unit.

    Attributes:
      name: The mapping's key, or the layer's index written out.
      mask: Boolean, shaped like the weight.
      taps: The mask as `[taps, inputs, outputs]`. An input unit and an output unit are joined once for every kernel
        position, or for every image position of a flattened convolution that feeds a dense layer.
    """

    name: str
    mask: _masks.Mask
    taps: _masks.Mask


def chain(masks: Masks) -> list[Layer]:
    """Links masks into a chain in which the outputs of a layer are the inputs of the next.

    Pooling and batch norm act on each channel alone and need no mask. A dense layer may read a flattened convolution,
    with the channels last: its input `position * channels + channel` belongs to the unit `channel`.

    >>> [layer.taps.shape for layer in chain([np.ones((3, 3, 1, 8)), np.ones((4 * 8, 10))])]
    [(9, 1, 8), (4, 8, 10)]

    Args:
      masks: The masks of a model in layer order.

    Returns:
      The layers in the same order.

    Raises:
      ValueError: If `masks` is empty, an array is not a mask, or the shapes of two neighbours do not chain.
    """
    if isinstance(masks, Mapping):
        named = [(str(name), mask) for name, mask in masks.items()]
    else:
        named = [(str(index), mask) for index, mask in enumerate(masks)]
    if not named:
        raise ValueError("masks (=[]) must hold at least one layer.")
    layers: list[Layer] = []
    for name, array in named:
        mask = _masks.as_mask(array, f"masks[{name}]")
        inputs = layers[-1].mask.shape[-1] if layers else mask.shape[-2]
        if mask.shape[-2] != inputs:
            flattened = mask.ndim == 2 and layers[-1].mask.ndim == 4 and mask.shape[0] % inputs == 0
            if not flattened:
                raise ValueError(
                    f"masks[{name}] (shape {mask.shape}) must have as many inputs as masks[{layers[-1].name}] "
                    f"(shape {layers[-1].mask.shape}) has outputs, or, dense after a convolution, a multiple of them."
                )
        layers.append(Layer(name, mask, mask.reshape(-1, inputs, mask.shape[-1])))
    return layers


def patterns(layer: Layer, next_layer: Layer | None) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Packs the connections of each output unit of a layer into bits, tap by tap.

    Args:
      layer: The layer whose outputs are described, by the connections that reach them.
      next_layer: The layer that reads them, or None after the last.

    Returns:
      Two arrays of bytes, `[outputs, bytes]`: the incoming connections, and the outgoing ones (no bytes after the
      last layer). Two units have equal rows exactly if they have equal connections.
    """
    units = layer.mask.shape[-1]
    rows = layer.mask.reshape(-1, units).view(np.uint8)
    packed = np.zeros((-(-len(rows) // 8), units), np.uint8)
    for bit in range(8):  # Eight rows at a time, in memory order: ten times as fast as np.packbits along columns.
        part = rows[bit::8]
        packed[: len(part)] |= part << bit
    incoming = np.ascontiguousarray(packed.T)
    if next_layer is None:
        return incoming, np.zeros((units, 0), np.uint8)
    outgoing = np.packbits(next_layer.taps, axis=2)
    return incoming, outgoing.transpose(1, 0, 2).reshape(units, -1)


def distinct(rows: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Numbers the distinct rows of a matrix.

    >>> distinct(np.array([[1, 2], [0, 0], [1, 2]], np.uint8))
    (array([1, 0, 1]), array([1, 2]))

    Args:
      rows: A matrix with at least one column, compared byte by byte.

    Returns:
      The number of each row among the distinct rows, in an order that depends on their values alone; and the
      number of occurrences of each distinct row.
    """
    rows = np.ascontiguousarray(rows)
    whole = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    _, inverse, counts = np.unique(whole, return_inverse=True, return_counts=True)
    return inverse, counts
