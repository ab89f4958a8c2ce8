"""Plans: when a network's masks change, and to what. Drivers differ in their plan alone."""

from typing import Any

import numpy as np

from weight_symmetry import masks as mask_makers
from weight_symmetry.config import ModelConfig
from weight_symmetry.mask_config import FixedMaskConfig
from weight_symmetry.masking import Masking, Rewinding, Shapes, Weights
from weight_symmetry.masks import Mask
from weight_symmetry.prune_config import PruneConfig
from weight_symmetry.pruning import magnitude_masks
from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.training.trainer import Resident, Trainer


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

    def hook(self, trainer: Trainer, test: Resident, run: Run | None) -> Masking:
        """Returns a hook that sets the masks alone."""
        return Masking(self, trainer, test, run)

    def statistics(self, shapes: Shapes) -> dict[str, Any]:
        """Returns no statistics."""
        return {}


class MagnitudePruning(Dense):
    """A plan that prunes the weights of least magnitude by a schedule."""

    def __init__(self, config: PruneConfig):
        self._config = config
        self._schedules = config.schedules

    def next_masks(self, epoch: int, weights: Weights, masks: list[Mask]) -> list[Mask] | None:
        """Prunes to the schedule's sparsity in the layers where it has just risen."""
        rises = {
            layer: schedule(epoch)
            for layer, schedule in self._schedules.items()
            if schedule(epoch) > (schedule(epoch - 1) if epoch else 0.0)
        }
        return magnitude_masks(weights, masks, rises, self._config.pruning_scope) if rises else None

    def hook(self, trainer: Trainer, test: Resident, run: Run | None) -> Masking:
        """Returns a hook that rewinds the weights too, if `rewind_epoch` asks for it."""
        if self._config.rewind_epoch < 0:
            return super().hook(trainer, test, run)
        return Rewinding(self, trainer, test, run, self._config)


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
