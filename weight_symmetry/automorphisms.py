"""The exact symmetry group of masks: joint permutations of hidden units over all layers, and a normal form under it.

Three steps, each exact, leave little or nothing for the search: units with equal connections form classes, whose
factorials multiply; colour refinement singles out the classes that no symmetry can move; and BLISS (Junttila & Kaski
2007), in igraph, finds the group of the layered graph of those that remain.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from weight_symmetry.chain import Masks, chain
from weight_symmetry.layered_graph import LayeredGraph, Permutation
from weight_symmetry.masks import Mask
from weight_symmetry.propagation import propagate
from weirdonetworks import extras


@dataclasses.dataclass(frozen=True, eq=False)
class Automorphisms:
    """A group of joint unit permutations that leave masks unchanged: `mask[i, j] == mask[s_before(i), s(j)]`.

    Attributes:
      order: The exact number of elements, over all hidden units, dead ones included.
      live_order: The same over the units alone, and the connections, that propagation leaves alive.
      generators: Each a mapping of layer index to the permutation `s` of that layer's outputs, `s[i]` the image of
        unit `i`; a layer that stays in place is left out.
      orbits: For each layer index with permutable outputs, the sets of units that the group moves into each other.
    """

    order: int
    live_order: int
    generators: list[dict[int, Permutation]]
    orbits: dict[int, list[list[int]]]

    @property
    def log10_order(self) -> float:
        """The decimal logarithm of the order."""
        return math.log10(self.order)

    @property
    def live_log10_order(self) -> float:
        """The decimal logarithm of the live order."""
        return math.log10(self.live_order)


def automorphisms(masks: Masks, *, permute_outputs: bool = False) -> Automorphisms:
    """Computes the group of all joint permutations of hidden units that leave every mask unchanged.

    The inputs of the first layer never move, and the outputs of the last only with `permute_outputs`. So six layers of
    16 fully connected neurons have 16!^6 = 8.39e79 symmetries where all six may move: seven masks with six hidden
    layers between them, or six masks of 16 x 16 (five hidden layers and the outputs) with `permute_outputs=True`.
    Kernels are compared position by position; pooling and batch norm change nothing.

    >>> group = automorphisms([np.ones((1, 3)), np.eye(3), np.ones((3, 1))])
    >>> group.order, group.orbits
    (6, {0: [[0, 1, 2]], 1: [[0, 1, 2]]})

    Args:
      masks: The masks of a model in layer order.
      permute_outputs: Whether the model's outputs may be permuted too; they are labelled otherwise.

    Returns:
      The group.

    Raises:
      ValueError: If the masks do not chain.
      ImportError: If igraph is not installed.
    """
    igraph = _igraph()
    layers = chain(masks)
    graph = LayeredGraph(igraph, layers, permute_outputs)
    propagated = propagate([layer.mask for layer in layers])
    pruned = graph
    if any((kept != layer.mask).any() for kept, layer in zip(propagated, layers, strict=True)):
        pruned = LayeredGraph(igraph, chain(propagated), permute_outputs)
    # Propagation leaves dead units no connection, so those of a layer are one class, and all their orders a factor.
    live_order = pruned.order // math.prod(math.factorial(dead) for dead in pruned.unconnected())
    return Automorphisms(graph.order, live_order, graph.generators(), graph.orbits())


def canonicalise(masks: Masks, *, permute_outputs: bool = False) -> list[Mask]:
    """Sorts the hidden units of masks into a normal form.

    Two lists of masks have equal normal forms exactly if some joint permutation of hidden units takes one to the
    other. The form is comparable within one version of igraph.

    >>> one = canonicalise([[[1, 0], [1, 1]], [[0, 1], [1, 1]]])
    >>> other = canonicalise([[[0, 1], [1, 1]], [[1, 1], [0, 1]]])
    >>> all((a == b).all() for a, b in zip(one, other))
    True

    Args:
      masks: The masks of a model in layer order.
      permute_outputs: Whether the model's outputs are sorted too; they stay in place otherwise.

    Returns:
      New boolean masks in the same order and of the same shapes.

    Raises:
      ValueError: If the masks do not chain.
      ImportError: If igraph is not installed.
    """
    graph = LayeredGraph(_igraph(), chain(masks), permute_outputs)
    return permute(masks, graph.canonical_permutation())


def permute(masks: Masks, permutation: Mapping[int, npt.ArrayLike]) -> list[Mask]:
    """Permutes units, together with all their connections: `permuted[s_before(i), s(j)] == mask[i, j]`.

    >>> permute([[[1, 0, 0]], [[1], [0], [1]]], {0: [1, 2, 0]})[0].astype(int)
    array([[0, 1, 0]])

    Args:
      masks: The masks of a model in layer order.
      permutation: For each layer index, `s` with `s[i]` the image of output unit `i`; other layers stay in place.

    Returns:
      New boolean masks in the same order and of the same shapes.

    Raises:
      ValueError: If the masks do not chain, or an entry is not a permutation of its layer's outputs.
    """
    layers = chain(masks)
    sources: dict[int, Permutation] = {}
    for index, images in permutation.items():
        if not 0 <= index < len(layers):
            raise ValueError(f"permutation (of layer {index}) must name layers from 0 to {len(layers) - 1}.")
        units = layers[index].mask.shape[-1]
        if not np.array_equal(np.sort(np.asarray(images)), np.arange(units)):
            raise ValueError(f"permutation[{index}] must hold each of the {units} output units of the layer once.")
        sources[index] = np.argsort(images)
    permuted = []
    for index, layer in enumerate(layers):
        taps = layer.taps[:, sources[index - 1]] if index - 1 in sources else layer.taps
        taps = taps[:, :, sources[index]] if index in sources else taps.copy()
        permuted.append(taps.reshape(layer.mask.shape))
    return permuted


def _igraph() -> Any:
    with extras.needed("symmetry", "exact symmetry groups need it", "igraph"):
        import igraph
    return igraph
