"""The exact symmetry group of masks: joint permutations of units in all sets at once, and a normal form under it.

Three steps, each exact, leave little or nothing for the search: units with equal connections form classes, whose
factorials multiply; colour refinement singles out the classes that no symmetry can move; and BLISS (Junttila & Kaski
2007), in igraph, finds the group of the coloured graph of those that remain.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from weight_symmetry.masks import Mask
from weight_symmetry.symmetry.coloured_graph import ColouredGraph
from weight_symmetry.symmetry.masked_units import Key, Masks, Numbers, read
from weight_symmetry.symmetry.permuting import permuted
from weight_symmetry.symmetry.propagation import propagated
from weirdonetworks import extras
from weirdonetworks.lab.records.tables import counted
from weirdonetworks.measure.unit_layout import UnitLayout


@dataclasses.dataclass(frozen=True, eq=False)
class Automorphisms:
    """A group of joint unit permutations that leave masks unchanged: `mask[i, j] == mask[s_before(i), s(j)]`.

    Sets of units are named by the index of the layer that has them as outputs, or with a layout by their spaces.

    >>> group = automorphisms([np.ones((2, 4)), np.ones((4, 1))])  # Any two of the four hidden units may be exchanged.
    >>> group.order, round(group.log10_order, 2), group.orbits
    (24, 1.38, {0: [[0, 1, 2, 3]]})
    >>> print(group)
    24 permutations of units under which the masks stay as they are, 24 permutations of living units alone

    Attributes:
      order: The exact number of permutations in the group, over all interchangeable units, dead ones included.
      live_order: The same over the units alone, and the connections, that propagation leaves alive.
      generators: Each a mapping of sets to the permutation `s` of their units, `s[i]` the image of unit `i`; a set that
        stays in place is left out.
      orbits: For each set, the sets of units that the group moves into each other.
    """

    order: int
    live_order: int
    generators: list[dict[Key, Numbers]]
    orbits: dict[Key, list[list[int]]]

    @property
    def log10_order(self) -> float:
        """The decimal logarithm of the order."""
        return math.log10(self.order)

    @property
    def live_log10_order(self) -> float:
        """The decimal logarithm of the live order."""
        return math.log10(self.live_order)

    def __str__(self) -> str:
        whole, live = format_permutations(self.order), format_permutations(self.live_order)
        return f"{whole} of units under which the masks stay as they are, {live} of living units alone"


def format_permutations(count: int) -> str:
    """Formats a count of permutations in digits, or, from 10^12 on, as a power of ten."""
    return counted(count, "permutation") if count < 10**12 else f"10^{math.log10(count):.1f} permutations"


def automorphisms(masks: Masks, layout: UnitLayout | None = None, *, permute_outputs: bool = False) -> Automorphisms:
    """Computes the group of all joint permutations of hidden units that leave every mask unchanged.

    Units of inputs never move, and those of outputs only with `permute_outputs`. So six layers of 16 fully connected
    neurons have 16!^6 = 8.39e79 symmetries where all six may move: seven masks with six hidden layers between them, or
    six masks of 16 x 16 (five hidden layers and the outputs) with `permute_outputs=True`. Kernels are compared position
    by position; pooling and batch norm change nothing. Weights without a mask are no constraint.

    >>> group = automorphisms([np.ones((1, 3)), np.eye(3), np.ones((3, 1))])
    >>> group.order, group.orbits
    (6, {0: [[0, 1, 2]], 1: [[0, 1, 2]]})

    Args:
      masks: The masks, as `propagate` takes them.
      layout: The layout of a model that is no chain of layers: `UnitGraph.trace(model, *example_inputs)`.
        Without it the masks are read as those of a chain, in their order, so with residual sums, branches or shared
        layers the count is that of another model. So it is where Sonnet lists the layers of a chain, by the names of
        attributes, in another order: `decoder` before `encoder`.
      permute_outputs: Whether the outputs of a chain may be permuted too; they are labelled otherwise.

    Returns:
      The group.

    Raises:
      TypeError: If `layout` is none.
      ValueError: If the masks do not fit.
      ImportError: If igraph is not installed.
    """
    igraph = _igraph()
    masked = read(masks, layout, permute_outputs=permute_outputs)
    graph = ColouredGraph(igraph, masked)
    kept, alive = propagated(masked)
    live_order = graph.order
    if not all(flags.all() for flags in alive.values()) or not all(map(_equal, kept, masked.masks)):
        live_order = ColouredGraph(igraph, dataclasses.replace(masked, masks=kept), alive).order
    return Automorphisms(graph.order, live_order, graph.generators(), graph.orbits())


def canonicalise(masks: Masks, layout: UnitLayout | None = None, *, permute_outputs: bool = False) -> list[Mask | None]:
    """Sorts the hidden units of masks into a normal form.

    Two lists of masks have equal normal forms exactly if some joint permutation of hidden units takes one to the
    other. The form is comparable within one version of igraph.

    >>> one = canonicalise([[[1, 0], [1, 1]], [[0, 1], [1, 1]]])
    >>> other = canonicalise([[[0, 1], [1, 1]], [[1, 1], [0, 1]]])
    >>> all((a == b).all() for a, b in zip(one, other))
    True

    Args:
      masks: The masks, as `propagate` takes them.
      layout: The layout of a model that is no chain of layers: `UnitGraph.trace(model, *example_inputs)`.
      permute_outputs: Whether the outputs of a chain are sorted too; they stay in place otherwise.

    Returns:
      New boolean masks in the order of the layers, or of the layout's variables, with None for those without a mask.

    Raises:
      TypeError: If `layout` is none.
      ValueError: If the masks do not fit.
      ImportError: If igraph is not installed.
    """
    masked = read(masks, layout, permute_outputs=permute_outputs)
    return permuted(masked, ColouredGraph(_igraph(), masked).canonical_permutation())


def _equal(one: Mask | None, other: Mask | None) -> bool:
    return one is None or other is None or np.array_equal(one, other)


def _igraph() -> Any:
    with extras.needed("symmetry", "exact symmetry groups need it", "igraph"):
        import igraph
    return igraph
