"""The training loop: epochs, records, checkpoints, and going on where a run was cut off."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from weirdonetworks.lab import literals, schedules, seeds
from weirdonetworks.lab.config import TrainingConfig
from weirdonetworks.lab.datasets import Dataset
from weirdonetworks.lab.optimizers import Adam, Momentum, Optimizer
from weirdonetworks.lab.runs import Run
from weirdonetworks.lab.training import Resident, Trainer

# What each best record is chosen by. The last is chosen on the test data and so is no estimate of anything.
BEST: dict[str, tuple[str, Callable[[Sequence[float]], float]]] = {
    "best_train_loss": ("train_avg_loss", min),
    "best_validation_accuracy": ("validation_accuracy", max),
    "best_test_acc": ("test_accuracy", max),
}


def optimizer(config: TrainingConfig) -> Optimizer:
    """Makes the optimizer that a configuration names."""
    assert config.weight_decay is not None  # The configuration fills it in.
    if config.optimizer == "Adam":
        return Adam(weight_decay=config.weight_decay)
    return Momentum(config.momentum, weight_decay=config.weight_decay)


def learning_rate(config: TrainingConfig, steps_per_epoch: int) -> schedules.LearningRate:
    """Makes the learning-rate schedule that a configuration names."""
    steps = literals.pairs("lr_schedule_steps", config.lr_schedule_steps) if config.lr_schedule == "stepped" else ()
    return schedules.learning_rate(
        config.lr_schedule, config.learning_rate, steps_per_epoch=steps_per_epoch, epochs=config.epochs, steps=steps
    )


def residents(data: Dataset) -> dict[str, Resident]:
    """Puts the splits on the device, under the names `train`, `validation` (if there is one) and `test`."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {name: Resident(split) for name, split in splits.items() if split is not None}


def fit(
    trainer: Trainer,
    run: Run,
    data: Mapping[str, Resident],
    config: TrainingConfig,
    before_epoch: Callable[[int], Mapping[str, Any]] = lambda epoch: {},
) -> None:
    """Trains to the configured number of epochs, from the run's checkpoint if it has one.

    After every epoch one record goes to the run (its keys are listed at `epoch_record`), and then the state to a
    checkpoint. What was written of an epoch whose checkpoint is missing is taken back, so a run that was cut off ends
    with the same records as one that was not.

    Args:
      trainer: The network with its optimizer, at its initial weights.
      run: The open run.
      data: The splits, as `residents` makes them.
      config: How long and how.
      before_epoch: Called with the number of finished epochs before each epoch is trained; may change the network.
        What it returns is added to the epoch's record.
    """
    state = trainer.state
    checkpoint = tf.train.Checkpoint(state=state)
    manager = tf.train.CheckpointManager(checkpoint, str(run.directory / "checkpoints"), max_to_keep=1)
    if manager.latest_checkpoint:
        checkpoint.restore(manager.latest_checkpoint).assert_consumed()
    run.keep_records(int(state.epoch))
    rates = learning_rate(config, trainer.steps_per_epoch)
    with tqdm(total=config.epochs, initial=len(run.records), desc="training", unit="epoch", disable=None) as bar:
        for epoch in range(len(run.records), config.epochs):
            started = time.perf_counter()
            added = dict(before_epoch(epoch))
            steps = _train_one(trainer, rates, config.random_seed)
            record = epoch_record(trainer, data, steps, config) | added
            record["wallclock_time"] = time.perf_counter() - started
            _log_steps(run, steps, config.update_iterations)
            run.append(record)
            manager.save(checkpoint_number=epoch + 1)
            bar.set_postfix({name: f"{record[name]:.4f}" for name in ("test_accuracy",) if name in record})
            bar.update()


def _train_one(trainer: Trainer, rates: schedules.LearningRate, seed: int) -> dict[str, np.ndarray]:
    """Trains one epoch and counts it; returns the figures of its steps, the global `step` and `lr` among them."""
    state, epoch = trainer.state, int(trainer.state.epoch)
    numbers = int(state.step) + np.arange(trainer.steps_per_epoch)
    order = seeds.generator(seed, "order", epoch).permutation(len(trainer.train))
    steps = trainer.epoch(order, rates(numbers), seeds.derive(seed, "step", epoch))
    state.epoch.assign_add(1)
    state.step.assign_add(trainer.steps_per_epoch)
    state.cumulative_gradient_norm.assign_add(float(steps["gradient_norm"].sum(dtype=np.float64)))
    return steps | {"step": numbers + 1, "lr": rates(numbers)}


def epoch_record(
    trainer: Trainer, data: Mapping[str, Resident], steps: Mapping[str, np.ndarray], config: TrainingConfig
) -> dict[str, Any]:
    """Describes the epoch that has just been trained.

    Returns:
      `epoch` and `step`, both finished;
      `train_*`: figures averaged over the epoch's batches, while the weights moved;
      `validation_*`, `test_*`, and every `update_epoch` epochs and after the last one `full_train_*`: figures over the
        whole split, at the epoch's end;
      `lr`: the last step's learning rate; `gradient_norm`: the mean over the epoch's steps;
      `cumulative_gradient_norm`: the sum over all steps;
      `cosine_similarity`, `vector_difference_norm`: of the weights to the initial ones.
    """
    state = trainer.state
    epoch = int(state.epoch)
    record: dict[str, Any] = {"epoch": epoch, "step": int(state.step)}
    sizes = steps["batch_size"].astype(np.float64)
    for name in trainer.figures:
        record[_key("train", name)] = float(steps[name] @ sizes / sizes.sum())
    evaluated = {name: split for name, split in data.items() if name != "train"}
    if epoch % config.update_epoch == 0 or epoch == config.epochs:
        evaluated["full_train"] = data["train"]
    for split, resident in evaluated.items():
        record |= {_key(split, name): value for name, value in trainer.evaluate(resident).items()}
    return record | {
        "lr": float(steps["lr"][-1]),
        "gradient_norm": float(steps["gradient_norm"].mean(dtype=np.float64)),
        "cumulative_gradient_norm": float(state.cumulative_gradient_norm),
        **state.distance_from_start(),
    }


def best_records(records: Sequence[Mapping[str, Any]], since: int = 0) -> dict[str, dict[str, Any]]:
    """Picks the best epochs, the earliest among equals.

    >>> records = [{"epoch": 1, "test_accuracy": 0.9}, {"epoch": 2, "test_accuracy": 0.8}]
    >>> best_records(records)["best_test_acc"]["epoch"], best_records(records, since=1)["best_test_acc"]["epoch"]
    (1, 2)

    Args:
      records: The epochs' records.
      since: Only epochs after that many finished ones are looked at, e.g. those after the last pruning.

    Returns:
      For each name in `BEST` whose key the records have, the chosen record without its wall time.
    """
    later = [record for record in records if record["epoch"] > since]
    chosen = {}
    for name, (key, choose) in BEST.items():
        values = [record[key] for record in later if record.get(key) is not None]
        if values:
            record = next(record for record in later if record.get(key) == choose(values))
            chosen[name] = {field: value for field, value in record.items() if field != "wallclock_time"}
    return chosen


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Joins the keys of nested mappings with slashes.

    >>> flatten({"best_test_acc": {"epoch": 3}})
    {'best_test_acc/epoch': 3}
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten(value, f"{prefix}{key}/") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _key(split: str, figure: str) -> str:
    # `avg_loss` is the column name that published summaries of weight-symmetry experiments use.
    return f"{split}_avg_loss" if figure == "loss" else f"{split}_{figure}"


def _log_steps(run: Run, steps: Mapping[str, np.ndarray], interval: int) -> None:
    for index in np.flatnonzero(steps["step"] % interval == 0):
        figures = {
            "training/train_batch_loss": float(steps["loss"][index]),
            "training/batch_gradient_norm": float(steps["gradient_norm"][index]),
        }
        run.scalars(figures, int(steps["step"][index]))
