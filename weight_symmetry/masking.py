"""The training hook that sets masks by a plan, rewinds weights, and records statistics of the masks."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry import mask_records, tickets
from weight_symmetry.masks import Mask
from weight_symmetry.models import MaskedModel
from weight_symmetry.prune_config import PruneConfig
from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.training import loop
from weirdonetworks.lab.training.hooks import Hook
from weirdonetworks.lab.training.trainer import Resident, Trainer

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

    def hook(self, trainer: Trainer, test: Resident, run: Run | None) -> "Masking":
        """Returns the hook that sets the masks in a training, as `Masking` does."""

    def statistics(self, shapes: Shapes) -> dict[str, Any]:
        """Returns statistics that cannot be computed from the masks alone, by record key."""


class Masking(Hook):
    """A hook that sets a model's masks by a plan before each epoch, and records statistics of them."""

    def __init__(self, plan: Plan, trainer: Trainer, test: Resident, run: Run | None = None):
        """Constructs the hook for a trainer's model; `run`, if given, receives the statistics as JSON files."""
        self._plan = plan
        self._model: MaskedModel = trainer.network
        self._trainer = trainer
        self._test = test
        self._run = run
        self._described: dict[str, dict[str, Any]] | None = None

    def before_epoch(self, epoch: int) -> dict[str, Any]:
        """Sets the plan's masks for this epoch; returns their statistics for the epoch's record.

        Where the masks changed, `masked_test_accuracy` is the accuracy before further training.
        """
        weights = [layer.w.numpy() for layer in self._model.layers]
        masks = self._plan.next_masks(epoch, weights, self._model.masks)
        if masks is None:
            return mask_records.tracked(self.describe()["mask"])
        changed = self._change(masks, epoch)
        self._described = None
        tracked = mask_records.tracked(self.describe()["mask"])
        return tracked | changed | {"masked_test_accuracy": self._trainer.evaluate(self._test)["accuracy"]}

    def describe(self) -> dict[str, dict[str, Any]]:
        """Returns statistics of the masks as set and as propagated, by record key; computed once for the same masks."""
        if self._described is None:
            masks = self._model.masks
            planned = self._plan.statistics([mask.shape for mask in masks])
            self._described = {
                "mask": mask_records.describe(masks) | planned,
                "propagated_mask": mask_records.describe_propagated(masks),
            }
            if self._run is not None:
                for name, values in self._described.items():
                    self._run.write_json(f"{name}_stats.json", values)
        return self._described

    def _change(self, masks: list[Mask], epoch: int) -> dict[str, Any]:
        """Sets masks; returns entries for the epoch's record."""
        del epoch
        set_masks(self._trainer, self._model, masks)
        return {}


class Rewinding(Masking):
    """A hook that rewinds the weights to an early epoch where the masks change, and restarts the learning rate."""

    def __init__(self, plan: Plan, trainer: Trainer, test: Resident, run: Run | None, config: PruneConfig):
        """Constructs the hook as `Masking` does; `config` has the epoch to rewind to, and the ablation."""
        super().__init__(plan, trainer, test, run)
        self._config = config
        self._snapshot = tickets.Snapshot(self._model)

    @property
    def saved(self) -> Mapping[str, tf.Module]:
        """The part of a checkpoint beyond the training state: the weights to rewind to."""
        return {"snapshot": self._snapshot}

    def before_epoch(self, epoch: int) -> dict[str, Any]:
        """Acts as `Masking` does, after saving the weights if this is the epoch to rewind to."""
        if epoch == self._config.rewind_epoch:
            self._snapshot.take(self._model)
        return super().before_epoch(epoch)

    def learning_rates(self, epoch: int) -> npt.NDArray[np.floating]:
        """Returns the learning rates of an epoch's steps, by a schedule that restarts at each pruning."""
        config = self._config
        bounds = [0, *config.pruning_epochs, config.epochs]
        start = max(bound for bound in bounds if bound <= epoch)
        end = min(bound for bound in bounds if bound > epoch)
        rewound = config.rewind_epoch if start in config.pruning_epochs else 0
        schedule = loop.learning_rate(config, self._trainer.steps_per_epoch, epochs=end - start + rewound)
        return schedule(loop.epoch_steps(epoch - start + rewound, self._trainer.steps_per_epoch))

    def _change(self, masks: list[Mask], epoch: int) -> dict[str, Any]:
        """Rewinds, and sets masks; returns entries for the epoch's record."""
        ablation, seed = self._config.ablation, self._config.random_seed
        masks = tickets.ticket_masks(ablation, masks, seed, epoch)
        self._snapshot.restore(self._model)
        ticket = [layer.w.numpy() for layer in self._model.layers]
        tickets.move_units(ablation, self._model, masks, seed, epoch)
        set_masks(self._trainer, self._model, masks)
        tickets.ablate(ablation, self._model, seed, self._config.init, epoch)
        for variable in self._trainer.state.optimizer.variables:
            variable.assign(tf.zeros_like(variable))
        changed = sum(
            int(np.count_nonzero((layer.w.numpy() != weight) & mask))
            for layer, weight, mask in zip(self._model.layers, ticket, masks, strict=True)
        )
        return {} if ablation == "none" else {"ablation/weights_changed": changed}


def set_masks(trainer: Trainer, model: MaskedModel, masks: list[Mask]) -> None:
    """Sets a model's masks, and zeroes the optimizer's slots of the masked weights."""
    for layer, mask in zip(model.layers, masks, strict=True):
        layer.set_mask(mask)
        for slot in trainer.state.optimizer.slots(layer.w):
            slot.assign(slot * layer.mask)
