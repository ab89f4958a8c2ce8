"""Trials of a masked model: its start, its hooks, and what is known at its end."""

import contextlib
import dataclasses
import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from weight_symmetry import models, statistics
from weight_symmetry.config import ModelConfig
from weight_symmetry.masking import Masking
from weight_symmetry.models import MaskedModel
from weight_symmetry.plans import Plan
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.data import datasets
from weirdonetworks.lab.records import files, runs
from weirdonetworks.lab.records.tables import counted
from weirdonetworks.lab.training import loop, objectives
from weirdonetworks.lab.training.hooks import Hook
from weirdonetworks.lab.training.trainer import Resident, Trainer
from weirdonetworks.lab.training.trials import Trial

_PICTURE = threading.Lock()  # Matplotlib's settings are the process's, not the thread's.


class ModelTrial(Trial):
    """The training of a masked model by a plan."""

    config: ModelConfig

    def __init__(
        self,
        driver: str,
        config: ModelConfig,
        plan: Plan,
        options: RunOptions,
        data: datasets.Dataset,
        splits: Mapping[str, Resident],
        must_exist: bool = False,
    ):
        """Describes the trial.

        Args:
          driver: The name that the run's id begins with.
          config: What determines the result.
          plan: When the masks change.
          options: Where the run goes.
          data: The data.
          splits: The same, on the device.
          must_exist: Whether it is an error that there is no run to resume.
        """
        self.config = config
        self.data = splits
        self._driver = driver
        self._plan = plan
        self._options = options
        self._dataset = data
        self._must_exist = must_exist

    def trainer(self, execution: str, count: int | None) -> Trainer:
        """Builds the model, and a trainer for it."""
        config, data = self.config, self._dataset
        return Trainer(
            models.MODELS[config.model](num_classes=len(data.classes), **config.model_options()),
            loop.optimizer(config),
            lambda model: objectives.classification(model, data.standardisation, takes=("is_training", "seed")),
            self.data["train"],
            count=count,
            batch_size=config.batch_size,
            batch_size_test=config.batch_size_test,
            execution=execution,
        )

    def open(self, executed: str) -> contextlib.AbstractContextManager[runs.Run]:
        """Opens the run; `auto` is written as what it stood for: the ways to execute round differently."""
        return runs.open_run(
            self._options.experiment_dir,
            self._driver,
            self._settings(executed),
            unhashed=dataclasses.asdict(self._options) | self.config.affecting("measuring"),
            resume=self._options.resume,
            overwrite=self._options.overwrite,
            must_exist=self._must_exist,
        )

    def is_finished(self, executed: str) -> bool:
        """Tells whether there is a finished run, executed that way, that is not to be overwritten."""
        return not self._options.overwrite and runs.is_finished(
            self._options.experiment_dir, self._driver, self._settings(executed)
        )

    def _settings(self, executed: str) -> dict[str, Any]:
        return self.config.affecting("training") | {"execution": executed}

    def start(self, trainer: Trainer, run: runs.Run) -> Sequence[Hook]:
        """Masks the model, and draws its weights by the connections left."""
        model = trainer.network
        shapes = [tuple(layer.w.shape) for layer in model.layers]
        for layer, mask in zip(model.layers, self._plan.initial_masks(shapes), strict=True):
            layer.set_mask(mask)
        model.initialise(self.config.random_seed, scheme=self.config.init)
        trainer.state.restart()
        self._masking = Masking(
            self._plan, trainer, self.data["test"], self.config, run if self._options.dump_json else None
        )
        return [self._masking]

    def end(self, trainer: Trainer, run: runs.Run) -> None:
        """Writes what is known at the end only; the best epochs are sought among those with the final masks."""
        described = self._masking.describe()
        best = loop.best_records(run.records, since=last_masking(run.records))
        run.scalars(loop.flatten(best), run.records[-1]["step"])
        if not self._options.dump_json:
            run.finish(None)
            return
        from weight_symmetry import pictures

        run.write_json("best_metrics.json", best)
        with _PICTURE:
            pictures.save(run.directory / "training.png", run.records, trainer.network.masks)
        config = files.read_json(run.directory / "config.json")
        final = {key: value for key, value in run.records[-1].items() if key != "wallclock_time"}
        flat = {name: statistics.flat(values) for name, values in described.items()}
        run.finish(loop.flatten({**_plain(config), **flat, "final": final, **best}))

    def announce(self, trainer: Trainer, run: runs.Run, manner: str) -> None:
        """Prints what is trained, and where."""
        examples = f"{counted(len(self._dataset.train), 'image')} of {self._dataset.name}"
        where = self._options.experiment_dir if manner else run.directory
        length = counted(self.config.epochs, "epoch")
        print(f"Training {described(trainer.network)} on {examples} for {length}{manner}: {where}")


def described(model: MaskedModel) -> str:
    """Names a model with its widths and its number of weights."""
    widths = "-".join(str(layer.output_size) for layer in model.layers)
    weights = sum(math.prod(layer.w.shape) for layer in model.layers)
    return f"{type(model).__name__} ({widths}, {weights:,} weights)"


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out of a run's configuration what says where it was kept, not what it was."""
    options = {field.name for field in dataclasses.fields(RunOptions)}
    return {key: value for key, value in config.items() if key not in options and key != "versions"}


def last_masking(records: list[dict[str, Any]]) -> int:
    """Counts the epochs finished before the masks last changed; 0 if they never did."""
    return max((record["epoch"] - 1 for record in records if "masked_test_accuracy" in record), default=0)
