"""Compaction: removal of the units that pruning has made superfluous, from any model that can be traced."""

from weight_symmetry.compaction.compacted import Change, Compacted, compact
from weight_symmetry.compaction.smaller import SmallerModel

__all__ = ["Change", "Compacted", "SmallerModel", "compact"]
