"""Symmetry of the weights: what is left of the neuron permutations when a network is pruned.

The rooms: `masks`, `symmetry`, `updaters`, `compaction`, `alignment` of networks modulo permutations, `sparse` for
computation with unmasked weights only, `models`, and `run`, the pipeline of the drivers, which
`python -m weight_symmetry` lists. What is used most is here by name, imported when it is asked for first.
"""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weight_symmetry.alignment.matching import match as match
    from weight_symmetry.alignment.paths import linear_path as linear_path
    from weight_symmetry.compaction.compacted import Compacted as Compacted, compact as compact
    from weight_symmetry.masks.model_masks import Masks as Masks
    from weight_symmetry.models.classifiers import (
        CIFAR10_CNN as CIFAR10_CNN,
        MNIST_CNN as MNIST_CNN,
        MNIST_FC as MNIST_FC,
    )
    from weight_symmetry.models.initialisation import initialise as initialise
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
    from weight_symmetry.symmetry.propagation import propagate as propagate
    from weight_symmetry.updaters.magnitude import MagnitudePruning as MagnitudePruning
    from weight_symmetry.updaters.rewinding import Rewind as Rewind
    from weight_symmetry.updaters.schedules import CubicSparsity as CubicSparsity, SteppedSparsity as SteppedSparsity
    from weight_symmetry.updaters.updater import FixedMask as FixedMask, Updater as Updater

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.names(__name__)
