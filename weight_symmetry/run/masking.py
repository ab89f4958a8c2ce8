"""The training hook that calls an updater, and records statistics of the masks."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from weight_symmetry.run import mask_records
from weight_symmetry.updaters import Updater
from weirdonetworks.lab.records import files
from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.training.hooks import Gradients, Hook
from weirdonetworks.lab.training.trainer import Resident, Trainer
from weirdonetworks.measure.unit_layout import UnitLayout

CHANGES = "mask_changes.jsonl"


@dataclasses.dataclass(eq=False, repr=False)
class Masking(Hook):
    """A hook that calls an updater before each epoch, or at its interval of steps, and records statistics of masks.

    Attributes:
      updater: Changes the masks.
      trainer: The trainer of the masked network.
      test: The test split, for the accuracy right after the masks have changed.
      run: Receives the statistics as JSON files; None writes none.
      layout: The units of the network, if it is no chain of layers.
    """

    updater: Updater
    trainer: Trainer
    test: Resident
    run: Run | None
    layout: UnitLayout | None

    def __post_init__(self) -> None:
        self._described: dict[str, dict[str, Any]] | None = None
        self._changes: list[dict[str, Any]] = []  # Of the present epoch.

    @property
    def _masks(self) -> Any:
        return self.updater.masks.arrays if self.layout is None else self.updater.masks

    @property
    def saved(self) -> Mapping[str, tf.Module]:
        """What the updater needs to be saved."""
        return self.updater.saved

    def before_epoch(self, epoch: int) -> dict[str, Any]:
        """Sets the masks of this epoch; returns their statistics for the epoch's record.

        Where the masks changed, `masked_test_accuracy` is the accuracy before further training.
        """
        self._changes = []
        changed = self.updater.interval is None and self.updater.update(epoch)
        if changed:
            self._described = None
        described = self.describe()["mask"]
        tracked = mask_records.tracked(described)
        if not changed:
            return tracked
        self._note(epoch * self.trainer.steps_per_epoch, mask_records.of_change(described))
        return {
            **tracked,
            **self.updater.record,
            "masked_test_accuracy": self.trainer.evaluate(self.test)["accuracy"],
        }

    def within_epoch(self, epoch: int, steps: int) -> dict[int, Callable[[Gradients], None]]:
        """Returns changes of the masks by the number of the epoch's steps before."""
        first = epoch * steps
        due = [step for step in range(first, first + steps) if self.updater.is_due(step)]
        return {step - first: functools.partial(self._change, step) for step in due}

    def _change(self, step: int, gradients: Gradients) -> None:
        if self.updater.update(step, gradients):
            self._described = None
            self._note(step, mask_records.describe_change(self._masks, self.layout))

    def _note(self, step: int, statistics: Mapping[str, Any]) -> None:
        own = self.updater.statistics
        overlap = {} if "start_overlap" in own else {"start_overlap": self.updater.start_overlap()}
        self._changes.append({"step": step, **statistics, **overlap, **own})

    def after_epoch(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the statistics of the epoch's last masks, and `mask/changes`, how often they changed within it.

        Those of the masks after each change, also before the epoch, are added to `mask_changes.jsonl`.
        """
        if self.run is not None:
            self._log_changes(self.run.directory / CHANGES, record["epoch"] - 1)
        if self.updater.interval is None:
            return {}
        tracked = mask_records.tracked(self.describe()["mask"])
        return {**tracked, **self.updater.record, "mask/changes": len(self._changes)}

    def _log_changes(self, path: pathlib.Path, epoch: int) -> None:
        """Adds the epoch's changes to a file, in the place of those that an interrupted run left of this epoch."""
        if self.updater.interval is None and not self._changes and not path.exists():
            return
        begin = epoch * self.trainer.steps_per_epoch
        earlier = [change for change in files.read_records(path) if change.get("step", begin) < begin]
        lines = [json.dumps(files.to_json(change)) + "\n" for change in (*earlier, *self._changes)]
        files.write_text(path, "".join(lines))

    def describe(self) -> dict[str, dict[str, Any]]:
        """Returns statistics of the masks as set and as propagated, by record key; computed once for the same masks."""
        if self._described is None:
            masks = self._masks
            fixed = mask_records.fixed_spaces(self.layout)
            self._described = {
                "mask": {
                    **mask_records.describe(masks, self.layout),
                    **self.updater.statistics,
                    **({"fixed_spaces": fixed} if fixed else {}),
                },
                "propagated_mask": mask_records.describe_propagated(masks, self.layout),
            }
            if self.run is not None:
                for name, values in self._described.items():
                    self.run.write_json(f"{name}_stats.json", values)
        return self._described
