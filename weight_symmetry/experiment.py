"""The pipeline that every driver runs: data, model, plan, training, statistics, records."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from weight_symmetry import models, symmetry
from weight_symmetry.config import ModelConfig
from weight_symmetry.plans import Plan
from weirdonetworks.lab import datasets, loop, objectives, runs
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.training import Resident, Trainer

# The statistics that go into every epoch's record; the rest is in mask_stats.json.
TRACKED = ("sparsity", "permutation_log10", "zeroed_neurons")


def run(driver: str, config: ModelConfig, options: RunOptions, plan: Plan) -> runs.Run:
    """Trains a masked model by a plan, and records it.

    Args:
      driver: The name that the run's id begins with.
      config: What determines the result.
      options: Where it goes.
      plan: When the masks change.

    Returns:
      The finished run; one that was finished before is returned as it is, nothing trained.

    Raises:
      UsageError: If the request is impossible (see `runs.open_run`, `datasets.load`, `Trainer`).
      OSError: If data cannot be had or the run not written.
    """
    data = datasets.load(config.dataset, options.data_dir)
    if config.examples:
        data = data.cut(config.examples)
    data = data.with_validation(config.validation_size, config.random_seed)
    splits = loop.residents(data)
    trainer, model = build(config, data, splits)
    hashed = dataclasses.asdict(config) | {"execution": trainer.execution}
    opened = runs.open_run(
        options.experiment_dir,
        driver,
        hashed,
        unhashed=dataclasses.asdict(options),
        resume=options.resume,
        overwrite=options.overwrite,
    )
    with opened as the_run:
        if the_run.is_finished:
            return the_run
        widths = "-".join(str(layer.output_size) for layer in model.layers)
        examples = f"{len(data.train):,} images of {data.name}"
        print(f"Training {config.model} ({widths}) on {examples} for {config.epochs} epochs: {the_run.directory}")
        masking = Masking(plan, model, trainer, splits["test"])
        loop.fit(trainer, the_run, splits, config, masking.before_epoch)
        _finish(driver, the_run, hashed, model, options)
    return the_run


def build(
    config: ModelConfig, data: datasets.Dataset, splits: Mapping[str, Resident]
) -> tuple[Trainer, models.MaskedModel]:
    """Makes the model and its trainer, the weights drawn by the configuration's seed."""
    model = models.MODELS[config.model](num_classes=len(data.classes), **config.model_options())
    trainer = Trainer(
        model,
        loop.optimizer(config),
        objectives.classification(model, data.standardisation, takes=("is_training", "seed")),
        splits["train"],
        batch_size=config.batch_size,
        batch_size_test=config.batch_size_test,
        execution=config.execution,
    )
    model.initialise(config.random_seed)
    trainer.state.restart()
    return trainer, model


class Masking:
    """Carries out a plan between epochs, and measures the masks."""

    def __init__(self, plan: Plan, model: models.MaskedModel, trainer: Trainer, test: Resident):
        self._plan = plan
        self._model = model
        self._trainer = trainer
        self._test = test
        self._figures: dict[str, Any] = {}

    def before_epoch(self, epoch: int) -> dict[str, Any]:
        """Sets the masks that the plan has for this epoch; returns what the epoch's record says of the masks.

        Where they have just changed, `masked_test_accuracy` is the accuracy before the network is trained on.
        """
        weights = [layer.w.numpy() for layer in self._model.layers]
        masks = self._plan.masks(epoch, weights, self._model.masks)
        if masks is not None:
            set_masks(self._trainer, self._model, masks)
        if masks is not None or not self._figures:
            statistics = symmetry.mask_statistics(self._model.masks)
            self._figures = {f"mask/{name}": statistics[name] for name in TRACKED}
        if masks is None:
            return self._figures
        return self._figures | {"masked_test_accuracy": self._trainer.evaluate(self._test)["accuracy"]}


def set_masks(trainer: Trainer, model: models.MaskedModel, masks: list[np.ndarray]) -> None:
    """Sets a model's masks, and clears the optimizer's memory of the weights that are cut."""
    for layer, mask in zip(model.layers, masks, strict=True):
        layer.set_mask(mask)
        for slot in trainer.state.optimizer.slots(layer.w):
            slot.assign(slot * layer.mask)


def last_masking(records: list[dict[str, Any]]) -> int:
    """Counts the epochs finished before the masks last changed; 0 if they never did."""
    return max((record["epoch"] - 1 for record in records if "masked_test_accuracy" in record), default=0)


def _finish(
    driver: str, the_run: runs.Run, config: Mapping[str, Any], model: models.MaskedModel, options: RunOptions
) -> None:
    """Writes what is known at the end only; the best epochs are sought among those with the final masks."""
    best = loop.best_records(the_run.records, since=last_masking(the_run.records))
    statistics = symmetry.mask_statistics(model.masks)
    final = {key: value for key, value in the_run.records[-1].items() if key != "wallclock_time"}
    the_run.scalars(loop.flatten(best), the_run.records[-1]["step"])
    if not options.dump_json:
        the_run.finish(None)
        return
    the_run.write_json("mask_stats.json", statistics)
    the_run.write_json("best_metrics.json", best)
    from weight_symmetry import pictures

    pictures.save(the_run.directory / "training.png", the_run.records, model.masks)
    flat = {name: value for name, value in statistics.items() if name != "layers"}
    the_run.finish(loop.flatten({"driver": driver, **config, "mask": flat, "final": final, **best}))
