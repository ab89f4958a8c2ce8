"""Compaction: removal of the units that pruning has made superfluous, from any model that can be traced."""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weight_symmetry.compaction.compacted import Change as Change, Compacted as Compacted, compact as compact
    from weight_symmetry.compaction.live import (
        LiveArchitecture as LiveArchitecture,
        live_architecture as live_architecture,
    )
    from weight_symmetry.compaction.smaller import SmallerModel as SmallerModel

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.names(__name__)
