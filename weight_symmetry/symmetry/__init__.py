"""Symmetries of masked networks: permutation counts, the exact group, propagation, normal form, flips and rescalings.

All take the masks of a chain of layers, or masks with the layout of any model's units, `UnitGraph.trace(model, x)`.
The statistics keep the names that the literature on weight symmetry uses (`permutations`, `unique_neurons`, ...).
"""

from weight_symmetry.symmetry.function_group import FunctionSymmetries, function_symmetries
from weight_symmetry.symmetry.group import Automorphisms, automorphisms, canonicalise
from weight_symmetry.symmetry.permuting import apply, permute
from weight_symmetry.symmetry.propagation import propagate
from weight_symmetry.symmetry.statistics import layer_statistics, mask_statistics

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
    "propagate",
]
