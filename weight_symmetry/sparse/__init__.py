"""Computation with unmasked weights only, on processors, by kernels that Numba compiles (`weirdonetworks[sparse]`)."""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weight_symmetry.sparse.condensed import CondensedLinear as CondensedLinear
    from weight_symmetry.sparse.condensing import Condensed as Condensed, condense as condense
    from weight_symmetry.sparse.engine import SparseTrainer as SparseTrainer

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.names(__name__)
