"""Permutation symmetries of masked networks: counts layer by layer, and the exact group.

The statistics keep the names that the literature on weight symmetry uses (`permutations`, `unique_neurons`, ...). The
exact group, which also knows permutations of several layers at once, is `automorphisms`; `function_symmetries` adds
sign flips and rescalings, and `apply` permutes a model.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from weight_symmetry.automorphisms import Automorphisms, automorphisms, canonicalise, permute
from weight_symmetry.chain import Layer, Masks, chain, distinct, patterns
from weight_symmetry.function_symmetries import FunctionSymmetries, function_symmetries
from weight_symmetry.permuting import apply

__all__ = [
    "Automorphisms",
    "FunctionSymmetries",
    "apply",
    "automorphisms",
    "canonicalise",
    "function_symmetries",
    "layer_statistics",
    "mask_statistics",
    "permute",
]


def layer_statistics(
    mask: npt.ArrayLike, next_mask: npt.ArrayLike | None = None, *, permute_outputs: bool = False
) -> dict[str, Any]:
    """Counts the permutations of one layer's neurons that leave its mask and the next one unchanged.

    Two neurons may be exchanged if they have equal incoming and equal outgoing connections, kernel position by kernel
    position, and channel by channel where a dense layer reads a flattened convolution. A neuron is dead if all its
    incoming or all its outgoing connections are gone; dead neurons are counted in `zeroed_neurons` only.

    Without a next mask the neurons are the model's outputs. Their labels tell them apart, so each one alive is unique
    and none may be exchanged, unless `permute_outputs`: then equal incoming connections are enough.

    >>> layer_statistics([[1, 1, 0, 1]], [[1], [1], [1], [0]])["permutations"]
    2

    Args:
      mask: The layer's mask, `[in, out]` or `[height, width, in, out]`.
      next_mask: The mask of the layer that reads it, or None after the last layer.
      permute_outputs: Whether the outputs of the last layer may be exchanged too.

    Returns:
      A dictionary with
        `sparsity`: the fraction of the layer's connections that is gone;
        `permutations`: the exact number of permutations, 1 or more;
        `permutation_log10`: its decimal logarithm;
        `permutation_num_digits`: the number of its decimal digits;
        `unique_neurons`: the number of classes of live neurons that may be exchanged for each other;
        `zeroed_neurons`: the number of dead neurons;
        `total_neurons`: the number of neurons.

    Raises:
      ValueError: If an array is not a mask, or the two do not chain.
    """
    layers = chain([mask] if next_mask is None else [mask, next_mask])
    return _layer_statistics(layers[0], layers[1] if len(layers) > 1 else None, permute_outputs)


def mask_statistics(masks: Masks, *, permute_outputs: bool = False) -> dict[str, Any]:
    """Counts, layer by layer, the permutations of a model's neurons that leave its masks unchanged.

    The permutations of the layers are multiplied, and they form a subgroup of all the symmetries only: it lacks those
    that permute several layers at once, which `automorphisms` counts.

    >>> statistics = mask_statistics([np.ones((784, 300)), np.ones((300, 10))])
    >>> statistics["permutations"] == math.factorial(300)
    True
    >>> statistics["unique_neurons"], statistics["permutation_num_digits"]
    (11, 615)

    Args:
      masks: The masks of a model in layer order.
      permute_outputs: Whether the model's outputs may be exchanged too; they are labelled otherwise.

    Returns:
      A dictionary with the keys that `layer_statistics` describes, over the whole model, and `layers`: a list of the
      same statistics for each layer, with its `index`, `name` and `shape`.

    Raises:
      ValueError: If the masks do not chain.
    """
    layers = chain(masks)
    rows: list[dict[str, Any]] = []
    for index, layer in enumerate(layers):
        next_layer = layers[index + 1] if index + 1 < len(layers) else None
        row = {"index": index, "name": layer.name, "shape": list(layer.mask.shape)}
        rows.append(row | _layer_statistics(layer, next_layer, permute_outputs))
    kept = sum(int(np.count_nonzero(layer.mask)) for layer in layers)
    return {
        "sparsity": 1 - kept / sum(layer.mask.size for layer in layers),
        **_permutation_statistics(math.prod(row["permutations"] for row in rows)),
        **{key: sum(row[key] for row in rows) for key in ("unique_neurons", "zeroed_neurons", "total_neurons")},
        "layers": rows,
    }


def _layer_statistics(layer: Layer, next_layer: Layer | None, permute_outputs: bool) -> dict[str, Any]:
    incoming, outgoing = patterns(layer, next_layer)
    alive = np.logical_or.reduce(incoming, axis=1)
    if next_layer is not None:
        alive &= np.logical_or.reduce(outgoing, axis=1)
    live = int(np.count_nonzero(alive))
    if next_layer is None and not permute_outputs:
        counts = np.ones(live, int)
    else:
        _, counts = distinct(np.hstack([incoming[alive], outgoing[alive]]))
    return {
        "sparsity": 1 - int(np.count_nonzero(layer.mask)) / layer.mask.size,
        **_permutation_statistics(math.prod(math.factorial(count) for count in counts[counts > 1].tolist())),
        "unique_neurons": len(counts),
        "zeroed_neurons": len(alive) - live,
        "total_neurons": len(alive),
    }


def _permutation_statistics(permutations: int) -> dict[str, Any]:
    return {
        "permutations": permutations,
        "permutation_log10": math.log10(permutations),
        "permutation_num_digits": _digits(permutations),
    }


def _digits(number: int) -> int:
    """Counts the decimal digits of a positive integer, of whatever size."""
    power = int(math.log10(number))  # Off by one at most, where rounding crosses a power of ten.
    return power + int(10**power <= number) + int(10 ** (power + 1) <= number)
