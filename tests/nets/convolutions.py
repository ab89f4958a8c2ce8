"""Reference convolution, pooling and dense layers in NumPy."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def convolved(images: Array, layer: Any, padding: int = 0) -> Array:
    """What a convolution layer makes of `[batch, height, width, channels]`, in float64."""
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    weights = layer.w.numpy().astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(padded, weights.shape[:2], axis=(1, 2))
    return np.einsum("bhwcij,ijco->bhwo", windows, weights) + layer.b.numpy()


def quartered(images: Array) -> Array:
    """The 2 x 2 squares `[batch, height / 2, width / 2, channels, 4]`, an odd last row and column left out."""
    even = images[:, : images.shape[1] // 2 * 2, : images.shape[2] // 2 * 2]
    return np.stack([even[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=-1)


def dense(inputs: Array, layer: Any) -> Array:
    """What a dense layer makes of inputs, flattened, in float64."""
    return inputs.reshape(len(inputs), -1) @ layer.w.numpy().astype(np.float64) + layer.b.numpy()
