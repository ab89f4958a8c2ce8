"""Magnitude pruning: masks that keep the weights of largest magnitude."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weight_symmetry.prune_config import SCOPES

Array = npt.NDArray[np.floating]


def magnitude_masks(
    weights: Sequence[Array], masks: Sequence[npt.NDArray[Any]], sparsities: Mapping[int, float], scope: str = "layer"
) -> list[npt.NDArray[np.bool_]]:
    """Masks the weights of least magnitude.

    Exactly `round(sparsity * size)` weights are masked in total: those already masked first, then by magnitude, ties
    broken by position. A masked weight stays masked, also where that exceeds the sparsity.

    >>> masks = magnitude_masks([np.array([[3.0, -1.0, 2.0, -4.0]])], [np.ones((1, 4))], {0: 0.5})
    >>> masks[0].astype(int).tolist()
    [[1, 0, 0, 1]]

    Args:
      weights: The layers' weights.
      masks: Their present masks, of the same shapes.
      sparsities: Layer index -> the total fraction of its weights to mask, in [0, 1]. Other layers keep their masks.
      scope: `layer`: each layer reaches its own sparsity. `global`: the layers are ranked together, and reach the
        sparsity, which must be one for all, over all of them.

    Returns:
      The new masks, in layer order.

    Raises:
      ValueError: If the scope is unknown, or global and the sparsities differ.
    """
    if scope not in SCOPES:
        raise ValueError(f"scope (={scope}) must be one of {', '.join(SCOPES)}.")
    result = [np.asarray(mask) > 0 for mask in masks]
    if scope == "layer":
        for index, sparsity in sparsities.items():
            result[index] = _keep_largest(weights[index], result[index], sparsity)
        return result
    if len(set(sparsities.values())) > 1:
        raise ValueError(f"sparsities (={dict(sparsities)}) must be equal when the scope is global.")
    indices = sorted(sparsities)
    kept = _keep_largest(
        np.concatenate([np.ravel(weights[index]) for index in indices]),
        np.concatenate([result[index].ravel() for index in indices]),
        sparsities[indices[0]],
    )
    ends = np.cumsum([result[index].size for index in indices])
    for index, part in zip(indices, np.split(kept, ends[:-1]), strict=True):
        result[index] = part.reshape(result[index].shape)
    return result


def _keep_largest(weight: Array, mask: npt.NDArray[np.bool_], sparsity: float) -> npt.NDArray[np.bool_]:
    # -1 is below every magnitude: masked weights come first.
    saliency = np.where(mask, np.abs(weight), -1.0).ravel()
    count = max(round(sparsity * mask.size), int(mask.size - mask.sum()))
    kept = np.ones(mask.size, bool)
    kept[np.argsort(saliency, kind="stable")[:count]] = False
    return kept.reshape(mask.shape)
