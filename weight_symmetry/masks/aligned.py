"""Masks in the order of a model's variables, however they are given."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy.typing as npt

from weight_symmetry.masks.generators import Mask, as_mask
from weirdonetworks.measure.unit_layout import UnitLayout

# `Masks`, arrays by name, arrays in the order of the weights, or None for no masks.
Given: TypeAlias = Any


def aligned(masks: Given, layout: UnitLayout) -> list[Mask | None]:
    """Returns a mask, or None, for each variable of a layout.

    >>> layout = UnitLayout.of_chain({"first": (2, 3), "second": (3, 1)})
    >>> [mask is None for mask in aligned({"second": [[1], [0], [1]]}, layout)]
    [True, False]

    Args:
      masks: `Masks` of the layout's variables; arrays by the variables' names; or a list of arrays, for the weights
        between units (`layout.edges`) in the order in which they are first used, or for all variables. None is for
        variables without a mask, or for no masks at all.
      layout: The layout.

    Raises:
      ValueError: If there is no such variable, or a shape or number does not fit.
    """
    found: list[Mask | None] = [None] * len(layout.names)
    for index, array in _numbered(masks, layout).items():
        mask = as_mask(array, f"masks[{layout.names[index]}]")
        if mask.shape != layout.shapes[index]:
            raise ValueError(
                f"masks[{layout.names[index]}] (of shape {mask.shape}) must have its weight's shape, "
                f"{layout.shapes[index]}."
            )
        found[index] = mask
    return found


def _numbered(masks: Given, layout: UnitLayout) -> dict[int, npt.ArrayLike]:
    if masks is None:
        return {}
    if isinstance(masks, Mapping):
        unknown = [name for name in masks if name not in layout.names]
        if unknown:
            raise ValueError(f"masks: {unknown[0]!r} must be one of the variables {', '.join(layout.names)}.")
        return {layout.names.index(name): mask for name, mask in masks.items() if mask is not None}
    if hasattr(masks, "weights") and hasattr(masks, "arrays"):
        numbers = {id(variable): index for index, variable in enumerate(getattr(layout, "variables", ()))}
        unread = [name for name, weight in zip(masks.names, masks.weights, strict=True) if id(weight) not in numbers]
        if unread:
            raise ValueError(f"masks: the weight {unread[0]} must be one that the model reads when it is called.")
        return {numbers[id(weight)]: mask for weight, mask in zip(masks.weights, masks.arrays, strict=True)}
    if not isinstance(masks, Sequence):
        raise TypeError(f"masks (={type(masks).__name__}) must be Masks, a mapping of names, or a list of arrays.")
    weights = sorted({edge.variable for edge in layout.edges})
    wanted = weights if len(masks) == len(weights) else list(range(len(layout.names)))
    if len(masks) != len(wanted):
        raise ValueError(
            f"masks (of length {len(masks)}) must hold one for each of {', '.join(layout.names[i] for i in weights)}."
        )
    return {index: mask for index, mask in zip(wanted, masks, strict=True) if mask is not None}
