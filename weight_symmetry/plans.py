"""Plans: the one thing in which the drivers differ, when the masks of a network change and to what."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from weight_symmetry import masks as mask_makers
from weight_symmetry.config import ModelConfig
from weight_symmetry.mask_config import FixedMaskConfig
from weight_symmetry.masks import Mask
from weight_symmetry.prune_config import PruneConfig
from weight_symmetry.pruning import magnitude_masks

Shapes = Sequence[tuple[int, ...]]
Weights = Sequence[np.ndarray]


class Plan(Protocol):
    """Decides a network's masks."""

    def initial_masks(self, shapes: Shapes) -> list[Mask]:
        """Returns the masks that the network is initialised with."""

    def next_masks(self, epoch: int, weights: Weights, masks: list[Mask]) -> list[Mask] | None:
        """Returns the masks to set once `epoch` epochs are finished, or None to leave them as they are.

        Args:
          epoch: The finished epochs.
          weights: The layers' weights.
          masks: Their masks.
        """

    def notes(self, shapes: Shapes) -> dict[str, Any]:
        """Returns what the statistics are to say of the masks beyond what can be seen in them."""


class Dense:
    """No weight is ever cut."""

    def __init__(self, config: ModelConfig | None = None):
        """Takes the settings as every plan does; it needs none."""

    def initial_masks(self, shapes: Shapes) -> list[Mask]:
        """Keeps everything."""
        return [np.ones(shape, bool) for shape in shapes]

    def next_masks(self, epoch: int, weights: Weights, masks: list[Mask]) -> list[Mask] | None:
        """Leaves the masks as they are."""
        return None

    def notes(self, shapes: Shapes) -> dict[str, Any]:
        """Has nothing to say."""
        return {}


class MagnitudePruning(Dense):
    """The weights of least magnitude are cut, by a schedule."""

    def __init__(self, config: PruneConfig):
        self._schedules = config.schedules
        self._scope = config.pruning_scope

    def next_masks(self, epoch: int, weights: Weights, masks: list[Mask]) -> list[Mask] | None:
        """Cuts to the schedule's sparsity where it has just risen."""
        rises = {
            layer: schedule(epoch)
            for layer, schedule in self._schedules.items()
            if schedule(epoch) > (schedule(epoch - 1) if epoch else 0.0)
        }
        return magnitude_masks(weights, masks, rises, self._scope) if rises else None


class FixedMask(Dense):
    """A mask drawn before training stays as it is."""

    def __init__(self, config: FixedMaskConfig):
        self._config = config

    def initial_masks(self, shapes: Shapes) -> list[Mask]:
        """Draws the masks of the layers that are masked, and keeps everything in the others."""
        config = self._config
        drawn = mask_makers.create(
            config.mask_type,
            self._masked(shapes),
            config.drawn_sparsity,
            config.mask_randomseed,
            distribution=config.sparsity_distribution,
        )
        masks = super().initial_masks(shapes)
        for layer, mask in zip(config.masked_layers, drawn, strict=True):
            masks[layer] = mask
        return masks

    def notes(self, shapes: Shapes) -> dict[str, Any]:
        """Counts the connections that were added so that no input is cut off."""
        config = self._config
        added = mask_makers.connections_added(
            config.mask_type,
            self._masked(shapes),
            config.drawn_sparsity,
            distribution=config.sparsity_distribution,
        )
        return {"connections_added": sum(added)}

    def _masked(self, shapes: Shapes) -> list[tuple[int, ...]]:
        return [shapes[layer] for layer in self._config.masked_layers]
