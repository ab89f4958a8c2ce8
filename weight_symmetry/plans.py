"""Plans: when a network's masks change, and to what. Drivers differ in their plan alone."""

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
    """The masks of a network over the epochs of its training."""

    def initial_masks(self, shapes: Shapes) -> list[Mask]:
        """Returns the masks that the network is initialised with."""

    def next_masks(self, epoch: int, weights: Weights, masks: list[Mask]) -> list[Mask] | None:
        """Returns the masks to set once `epoch` epochs are finished, or None to leave them as they are.

        Args:
          epoch: The number of finished epochs.
          weights: The layers' weights.
          masks: Their masks.
        """

    def statistics(self, shapes: Shapes) -> dict[str, Any]:
        """Returns statistics that cannot be computed from the masks alone, by record key."""


class Dense:
    """A plan that masks no weight."""

    def __init__(self, config: ModelConfig | None = None):
        """Constructs the plan; the settings are not used."""

    def initial_masks(self, shapes: Shapes) -> list[Mask]:
        """Returns masks of ones."""
        return [np.ones(shape, bool) for shape in shapes]

    def next_masks(self, epoch: int, weights: Weights, masks: list[Mask]) -> list[Mask] | None:
        """Leaves the masks as they are."""
        return None

    def statistics(self, shapes: Shapes) -> dict[str, Any]:
        """Returns no statistics."""
        return {}


class MagnitudePruning(Dense):
    """A plan that prunes the weights of least magnitude by a schedule."""

    def __init__(self, config: PruneConfig):
        self._schedules = config.schedules
        self._scope = config.pruning_scope

    def next_masks(self, epoch: int, weights: Weights, masks: list[Mask]) -> list[Mask] | None:
        """Prunes to the schedule's sparsity in the layers where it has just risen."""
        rises = {
            layer: schedule(epoch)
            for layer, schedule in self._schedules.items()
            if schedule(epoch) > (schedule(epoch - 1) if epoch else 0.0)
        }
        return magnitude_masks(weights, masks, rises, self._scope) if rises else None


class FixedMask(Dense):
    """A plan with masks drawn before training, which do not change."""

    def __init__(self, config: FixedMaskConfig):
        self._config = config

    def initial_masks(self, shapes: Shapes) -> list[Mask]:
        """Draws the masks of the masked layers; those of the others are ones."""
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

    def statistics(self, shapes: Shapes) -> dict[str, Any]:
        """Counts the connections that were added so that every input keeps one."""
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
