"""Symmetries of masked networks: permutation counts, the exact group, propagation, normal form, flips and rescalings.

All take the masks of a chain of layers, or masks with the layout of any model's units, `UnitGraph.trace(model, x)`.
The statistics keep the names that the literature on weight symmetry uses (`permutations`, `unique_neurons`, ...).
"""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weight_symmetry.symmetry.effective_permutations import (
        EffectiveSymmetry as EffectiveSymmetry,
        effective as effective,
    )
    from weight_symmetry.symmetry.function_group import (
        FunctionSymmetries as FunctionSymmetries,
        function_symmetries as function_symmetries,
    )
    from weight_symmetry.symmetry.group import (
        Automorphisms as Automorphisms,
        automorphisms as automorphisms,
        canonicalise as canonicalise,
    )
    from weight_symmetry.symmetry.permutation_counts import (
        layer_statistics as layer_statistics,
        mask_statistics as mask_statistics,
    )
    from weight_symmetry.symmetry.permuting import apply as apply, permute as permute
    from weight_symmetry.symmetry.propagation import propagate as propagate

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.names(__name__)
