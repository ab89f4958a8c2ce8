"""Plans: the one thing in which the drivers differ, when the masks of a network change and to what."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from weight_symmetry.config import PruneConfig
from weight_symmetry.pruning import magnitude_masks

Masks = list[npt.NDArray[np.bool_]]
Weights = Sequence[npt.NDArray[np.floating]]


class Plan(Protocol):
    """Decides a network's masks."""

    def masks(self, epoch: int, weights: Weights, masks: Masks) -> Masks | None:
        """Returns the masks to set once `epoch` epochs are finished, or None to leave them as they are.

        Args:
          epoch: The finished epochs.
          weights: The layers' weights.
          masks: Their masks.
        """


class Dense:
    """No weight is ever cut."""

    def masks(self, epoch: int, weights: Weights, masks: Masks) -> Masks | None:
        """Leaves the masks as they are."""
        return None


class MagnitudePruning:
    """The weights of least magnitude are cut, by a schedule."""

    def __init__(self, config: PruneConfig):
        self._schedules = config.schedules
        self._scope = config.pruning_scope

    def masks(self, epoch: int, weights: Weights, masks: Masks) -> Masks | None:
        """Cuts to the schedule's sparsity where it has just risen."""
        rises = {
            layer: schedule(epoch)
            for layer, schedule in self._schedules.items()
            if schedule(epoch) > (schedule(epoch - 1) if epoch else 0.0)
        }
        return magnitude_masks(weights, masks, rises, self._scope) if rises else None
