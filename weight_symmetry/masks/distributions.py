"""Sparsities: how that of a model is distributed over its layers, and how many connections it leaves."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from weirdonetworks.algebra.arrays import at_least, listed

Shape = Sequence[int]

DISTRIBUTIONS = ("uniform", "erdos-renyi", "erdos-renyi-kernel")


def layer_sparsities(
    shapes: Sequence[Shape], sparsity: float | Sequence[float], distribution: str = "uniform"
) -> list[float]:
    """Distributes a model's sparsity over its layers.

    `uniform` gives every layer the same. `erdos-renyi` makes a layer's density proportional to (in + out) / (in x out),
    and `erdos-renyi-kernel` to (height + width + in + out) / (height x width x in x out), the same for dense layers:
    the sum of all axes over their product.
    Densities above 1 are clipped to 1 and the excess is spread over the other layers, so that the connections
    kept add up to (1 - sparsity) x size. (A mask then rounds to whole connections layer by layer.)

    >>> [round(layer, 3) for layer in layer_sparsities([(784, 300), (300, 100), (100, 10)], 0.9, "erdos-renyi")]
    [0.92, 0.77, 0.0]

    Source: Evci et al., Rigging the Lottery: Making All Tickets Winners (2020), section 3.

    Args:
      shapes: The shapes of the weights in layer order.
      sparsity: The sparsity of the whole model, in [0, 1]; or that of each layer, which is returned.
      distribution: One of `DISTRIBUTIONS`, with hyphens or underscores.

    Returns:
      The sparsity of each layer, in [0, 1].

    Raises:
      TypeError: If the shapes are no list.
      ValueError: If an argument is out of its range.
    """
    distribution = choice("distribution", distribution, DISTRIBUTIONS)
    shapes = listed("shapes", shapes, "shapes, one a layer")
    if isinstance(sparsity, Sequence) and not isinstance(sparsity, str):
        if len(sparsity) != len(shapes) or distribution != "uniform":
            raise ValueError(
                f"sparsity (={[*sparsity]}) must be one number, or {len(shapes)}, those of the layers, with a uniform "
                "distribution."
            )
        for each in sparsity:
            checked_fraction("sparsity", each)
        return [float(each) for each in sparsity]
    checked_fraction("sparsity", sparsity)
    sizes = np.array([fan_in_of(shape, "shapes") * shape[-1] for shape in shapes], float)
    if distribution == "uniform" or not len(shapes):
        return [float(sparsity)] * len(shapes)
    joined = [sum(shape if distribution == "erdos-renyi-kernel" else shape[-2:]) for shape in shapes]
    area = sizes if distribution == "erdos-renyi-kernel" else [shape[-2] * shape[-1] for shape in shapes]
    shares = np.array(joined) / area
    density = np.ones(len(shapes))
    open_layers = np.ones(len(shapes), bool)
    while open_layers.any():
        budget = (1 - sparsity) * sizes.sum() - sizes[~open_layers].sum()
        density[open_layers] = shares[open_layers] * (budget / (shares * sizes)[open_layers].sum())
        full = open_layers & (density > 1)
        if not full.any():
            break
        density[full] = 1.0
        open_layers &= ~full
    return [float(layer) for layer in np.clip(1 - density, 0, 1)]


def kept_of(size: int, sparsity: float) -> int:
    """Returns round((1 - sparsity) x size), or raises a ValueError."""
    checked_fraction("sparsity", sparsity)
    return round((1 - sparsity) * size)


def checked_fraction(name: str, value: Any) -> float:
    """Returns a number in [0, 1], or raises a ValueError."""
    if not isinstance(value, int | float | np.integer | np.floating) or not 0 <= value <= 1:
        raise ValueError(f"{name} (={value!r}) must be in [0, 1].")
    return float(value)


def fan_in_of(shape: Shape, name: str = "shape") -> int:
    """Returns the number of connections of each neuron, or raises a ValueError that calls the shape `name`."""
    sizes = [at_least(name, size, 0) for size in shape] if np.iterable(shape) else []
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"{name} (={shape!r}) must be [..., in, out], all 1 or more.")
    return math.prod(sizes[:-1])


def choice(name: str, value: str, choices: Collection[str]) -> str:
    """Returns one of some names, written with hyphens or underscores, or raises a ValueError."""
    chosen = value.replace("_", "-") if isinstance(value, str) else value
    if not isinstance(chosen, str) or chosen not in choices:
        raise ValueError(f"{name} (={value!r}) must be one of {', '.join(choices)}.")
    return chosen
