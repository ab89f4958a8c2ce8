"""Updaters: when the masks of a model change, and to what, in one's own training loop or in that of the drivers."""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weight_symmetry.updaters.growing import SET as SET, RigL as RigL, SRigL as SRigL
    from weight_symmetry.updaters.magnitude import (
        MagnitudePruning as MagnitudePruning,
        magnitude_masks as magnitude_masks,
    )
    from weight_symmetry.updaters.rewinding import Rewind as Rewind, Snapshot as Snapshot
    from weight_symmetry.updaters.schedules import (
        CubicSparsity as CubicSparsity,
        Sparsity as Sparsity,
        SteppedSparsity as SteppedSparsity,
    )
    from weight_symmetry.updaters.tickets import (
        CarriedMask as CarriedMask,
        MovedUnits as MovedUnits,
        NewWeights as NewWeights,
        ShuffledMask as ShuffledMask,
        ShuffledWeights as ShuffledWeights,
        Ticket as Ticket,
        random_asymmetry as random_asymmetry,
        random_symmetry as random_symmetry,
    )
    from weight_symmetry.updaters.updater import FixedMask as FixedMask, Updater as Updater

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.names(__name__)
