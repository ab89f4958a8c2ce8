"""A bench: one model with the data around it, on which trials run one after another with nothing retraced."""

import contextlib
import dataclasses
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weight_symmetry import models, statistics
from weight_symmetry.config import ModelConfig
from weight_symmetry.masking import Masking
from weight_symmetry.masks import Mask
from weight_symmetry.plans import Plan
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.data import datasets
from weirdonetworks.lab.records import files, runs
from weirdonetworks.lab.training import loop, objectives
from weirdonetworks.lab.training.trainer import Resident, Trainer

AfterEpoch = Callable[[int, Mapping[str, Any]], None]
_PICTURE = threading.Lock()  # Matplotlib's settings are the process's, not the thread's.


class Bench:
    """A model, its trainer and the data; its trials share an architecture and differ in seeds and masks.

    Attributes:
      model: The model.
      trainer: Its trainer.
      splits: The data, on the device.
      execution: What runs record of how they were executed.
    """

    def __init__(self, config: ModelConfig, data: datasets.Dataset, splits: Mapping[str, Resident]):
        """Builds the model of a configuration."""
        self.splits = splits
        self.model = models.MODELS[config.model](num_classes=len(data.classes), **config.model_options())
        self.trainer = Trainer(
            self.model,
            loop.optimizer(config),
            objectives.classification(self.model, data.standardisation, takes=("is_training", "seed")),
            splits["train"],
            batch_size=config.batch_size,
            batch_size_test=config.batch_size_test,
            execution=config.execution,
        )
        self.execution = self.trainer.execution

    def __str__(self) -> str:
        widths = "-".join(str(layer.output_size) for layer in self.model.layers)
        weights = sum(math.prod(layer.w.shape) for layer in self.model.layers)
        return f"{type(self.model).__name__} ({widths}, {weights:,} weights)"

    def load(self, config: ModelConfig, plan: Plan) -> None:
        """Sets the model to the start of a trial."""
        shapes = [tuple(layer.w.shape) for layer in self.model.layers]
        for layer, mask in zip(self.model.layers, plan.initial_masks(shapes), strict=True):
            layer.set_mask(mask)
        self.model.initialise(config.random_seed, scheme=config.init)
        self.trainer.state.restart()

    def open(
        self, driver: str, config: ModelConfig, options: RunOptions, must_exist: bool
    ) -> contextlib.AbstractContextManager[runs.Run]:
        """Opens the run of a trial; see `runs.open_run`."""
        return runs.open_run(
            options.experiment_dir,
            driver,
            # `auto` is written as what it stands for: the two ways to compile round differently.
            dataclasses.asdict(config) | {"execution": self.execution},
            unhashed=dataclasses.asdict(options),
            resume=options.resume,
            overwrite=options.overwrite,
            must_exist=must_exist,
        )

    def train(
        self, run: runs.Run, config: ModelConfig, plan: Plan, options: RunOptions, after_epoch: AfterEpoch
    ) -> None:
        """Trains a trial from its start, or from its run's checkpoint, to its end, and records it."""
        self.load(config, plan)
        masking = Masking(plan, self.model, self.trainer, self.splits["test"], run, config, options.dump_json)
        loop.fit(
            self.trainer,
            run,
            self.splits,
            config,
            before_epoch=masking.before_epoch,
            after_epoch=after_epoch,
            learning_rates=masking.learning_rates,
            also_saved=masking.also_saved,
        )
        masking.measure()
        finish(run, self.model.masks, masking.describe(), options)


def finish(run: runs.Run, masks: Sequence[Mask], described: Mapping[str, dict[str, Any]], options: RunOptions) -> None:
    """Writes what is known at the end only; the best epochs are sought among those with the final masks."""
    best = loop.best_records(run.records, since=last_masking(run.records))
    run.scalars(loop.flatten(best), run.records[-1]["step"])
    if not options.dump_json:
        run.finish(None)
        return
    from weight_symmetry import pictures

    run.write_json("best_metrics.json", best)
    with _PICTURE:
        pictures.save(run.directory / "training.png", run.records, masks)
    config = files.read_json(run.directory / "config.json")
    final = {key: value for key, value in run.records[-1].items() if key != "wallclock_time"}
    flat = {name: statistics.flat(values) for name, values in described.items()}
    run.finish(loop.flatten({**_plain(config), **flat, "final": final, **best}))


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out of a run's configuration what says where it was kept, not what it was."""
    options = {field.name for field in dataclasses.fields(RunOptions)}
    return {key: value for key, value in config.items() if key not in options and key != "versions"}


def last_masking(records: list[dict[str, Any]]) -> int:
    """Counts the epochs finished before the masks last changed; 0 if they never did."""
    return max((record["epoch"] - 1 for record in records if "masked_test_accuracy" in record), default=0)
