"""The training loop: epochs, records, checkpoints, and going on where a run was cut off."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from weirdonetworks.lab import seeds
from weirdonetworks.lab.config import TrainingConfig
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.training import schedules
from weirdonetworks.lab.training.optimizers import Adam, Momentum, Optimizer
from weirdonetworks.lab.training.trainer import Resident, Trainer

# What each best record is chosen by. The last is chosen on the test data and so is no estimate of anything.
BEST: dict[str, tuple[str, Callable[[Sequence[float]], float]]] = {
    "best_train_loss": ("train_avg_loss", min),
    "best_validation_accuracy": ("validation_accuracy", max),
    "best_test_acc": ("test_accuracy", max),
}

# The figures of a record that say what an epoch took of the machine.
BY_MACHINE = ("wallclock_time", "peak_memory_gib")


def optimizer(config: TrainingConfig) -> Optimizer:
    """Makes the optimizer that a configuration names."""
    if config.optimizer == "Adam":
        return Adam(weight_decay=config.decay)
    return Momentum(config.momentum, weight_decay=config.decay)


def learning_rate(config: TrainingConfig, steps_per_epoch: int, epochs: int | None = None) -> schedules.LearningRate:
    """Makes the learning-rate schedule that a configuration names, over `epochs` if not its own."""
    steps = config.learning_rate_steps() if config.lr_schedule == "stepped" else ()
    return schedules.learning_rate(
        config.lr_schedule,
        config.learning_rate,
        steps_per_epoch=steps_per_epoch,
        epochs=epochs or config.epochs,
        steps=steps,
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
    *,
    before_epoch: Callable[[int], Mapping[str, Any]] = lambda epoch: {},
    measure: Callable[[], Mapping[str, Any]] = lambda: {},
    after_epoch: Callable[[int, Mapping[str, Any]], None] = lambda epochs, record: None,
    learning_rates: Callable[[int], npt.NDArray[np.floating]] | None = None,
    also_saved: Mapping[str, tf.Module] | None = None,
) -> None:
    """Trains to the configured number of epochs, from the run's checkpoint if it has one.

    After every epoch one record goes to the run (see `epoch_record`), and then the state to a
    checkpoint. A record whose checkpoint is missing is taken back, so a run that was cut off ends with the same records
    as one that was not.

    Args:
      trainer: The network with its optimizer, at its initial weights.
      run: The open run.
      data: The splits, as `residents` makes them.
      config: How long and how.
      before_epoch: Called with the number of finished epochs before each epoch is trained; may change the network.
        What it returns is added to the epoch's record.
      measure: Measures at the end of each epoch; what it returns is added to the epoch's record too. What depends on
        the machine must be of `BY_MACHINE`.
      after_epoch: Called with the number of epochs that have just become finished (one, or those of the checkpoint)
        and the last record.
      learning_rates: Gives the rate of each step of an epoch, by the number of finished epochs; the configuration's
        schedule if None.
      also_saved: What else is to be in the checkpoint, by name.
    """
    state = trainer.state
    checkpoint = tf.train.Checkpoint(state=state, **(also_saved or {}))
    manager = tf.train.CheckpointManager(checkpoint, str(run.directory / "checkpoints"), max_to_keep=1)
    if manager.latest_checkpoint:
        _restore(checkpoint, manager.latest_checkpoint)
    run.keep_records(int(state.epoch))
    schedule = learning_rate(config, trainer.steps_per_epoch)
    rates = learning_rates or (lambda epoch: schedule(epoch_steps(epoch, trainer.steps_per_epoch)))
    if run.records:
        after_epoch(len(run.records), run.records[-1])
    for epoch in range(len(run.records), config.epochs):
        started = time.perf_counter()
        added = dict(before_epoch(epoch))
        steps = _train_one(trainer, rates(epoch), config.random_seed)
        due = due_splits(data, config, epoch + 1)
        evaluated = {name: trainer.evaluate(split) for name, split in due.items()}
        norm = float(state.cumulative_gradient_norm)
        record = epoch_record(epoch + 1, steps, evaluated, norm, state.distance_from_start()) | added
        record |= measure()
        record["wallclock_time"] = time.perf_counter() - started
        if not math.isfinite(record["train_avg_loss"]):
            raise ValueError(f"the loss became {record['train_avg_loss']} in epoch {epoch + 1}: lower --learning_rate.")
        run.append(record)
        manager.save(checkpoint_number=epoch + 1)
        # After the checkpoint: an epoch that has to be trained again is not yet in TensorBoard, where it would stay.
        log_steps(run, steps, config.update_iterations)
        run.log(record)
        after_epoch(1, record)


def _restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
    try:
        checkpoint.restore(path).assert_consumed()
    except (tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
        raise OSError(f"{path} is damaged or of another version. Pass --overwrite to start again.") from error


def order(seed: int, epoch: int, examples: int) -> npt.NDArray[np.integer]:
    """Draws the order in which an epoch takes the training examples."""
    return seeds.generator(seed, "order", epoch).permutation(examples)


def epoch_steps(epoch: int, steps_per_epoch: int) -> npt.NDArray[np.integer]:
    """Numbers the steps of the epoch after `epoch` finished ones, from 0 at the start of training.

    >>> epoch_steps(2, steps_per_epoch=3)
    array([6, 7, 8])
    """
    return epoch * steps_per_epoch + np.arange(steps_per_epoch)


@contextlib.contextmanager
def progress(epochs: int, description: str = "training") -> Iterator[Callable[[int, Mapping[str, Any]], None]]:
    """Shows a bar over epochs, silent when stderr is no terminal; yields an `after_epoch` for `fit`."""
    with tqdm(total=epochs, desc=description, unit="epoch", disable=None) as bar:

        def after_epoch(finished: int, record: Mapping[str, Any]) -> None:
            if "test_accuracy" in record:
                bar.set_postfix(test_accuracy=f"{record['test_accuracy']:.4f}", refresh=False)
            bar.update(finished)

        yield after_epoch


def _train_one(trainer: Trainer, rates: npt.NDArray[np.floating], seed: int) -> dict[str, np.ndarray]:
    """Trains one epoch and counts it; returns the figures of its steps, the global `step` and `lr` among them."""
    state, epoch = trainer.state, int(trainer.state.epoch)
    steps = trainer.epoch(order(seed, epoch, len(trainer.train)), rates, seeds.derive(seed, "step", epoch))
    state.epoch.assign_add(1)
    state.step.assign_add(trainer.steps_per_epoch)
    state.cumulative_gradient_norm.assign_add(float(steps["gradient_norm"].sum(dtype=np.float64)))
    return steps | {"step": epoch_steps(epoch, trainer.steps_per_epoch) + 1, "lr": rates}


def due_splits(data: Mapping[str, Resident], config: TrainingConfig, epoch: int) -> dict[str, Resident]:
    """Picks what is evaluated once `epoch` epochs are finished: validation, test, and when it is due `full_train`."""
    due = {name: split for name, split in data.items() if name != "train"}
    if epoch % config.update_epoch == 0 or epoch == config.epochs:
        due["full_train"] = data["train"]
    return due


def epoch_record(
    epoch: int,
    steps: Mapping[str, np.ndarray],
    evaluated: Mapping[str, Mapping[str, float]],
    cumulative_gradient_norm: float,
    movement: Mapping[str, float],
) -> dict[str, Any]:
    """Describes an epoch.

    Args:
      epoch: The finished epochs, this one among them.
      steps: What the trainer's epoch returned, with `step` and `lr`.
      evaluated: Split -> figures over the whole of it, at the epoch's end.
      cumulative_gradient_norm: The sum over all steps so far.
      movement: What `TrainState.distance_from_start` returned.

    Returns:
      `epoch` and `step`, both finished;
      `train_*`: figures averaged over the epoch's batches, while the weights moved;
      `validation_*`, `test_*`, `full_train_*`: those of `evaluated`;
      `lr`: the last step's learning rate; `gradient_norm`: the mean over the epoch's steps;
      `cumulative_gradient_norm`, `cosine_similarity` and `vector_difference_norm`.
    """
    record: dict[str, Any] = {"epoch": epoch, "step": int(steps["step"][-1])}
    sizes = steps["batch_size"].astype(np.float64)
    for name in [name for name in steps if name not in ("batch_size", "gradient_norm", "step", "lr")]:
        record[_key("train", name)] = float(steps[name] @ sizes / sizes.sum())
    for split, figures in evaluated.items():
        record |= {_key(split, name): value for name, value in figures.items()}
    return record | {
        "lr": float(steps["lr"][-1]),
        "gradient_norm": float(steps["gradient_norm"].mean(dtype=np.float64)),
        "cumulative_gradient_norm": cumulative_gradient_norm,
        **movement,
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
      For each name in `BEST` whose key the records have, the chosen record as `reproducible` leaves it.
    """
    later = [record for record in records if record["epoch"] > since]
    chosen = {}
    for name, (key, choose) in BEST.items():
        values = [record[key] for record in later if record.get(key) is not None]
        if values:
            record = next(record for record in later if record.get(key) == choose(values))
            chosen[name] = reproducible(record)
    return chosen


def reproducible(record: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out of a record what differs from one machine to the next.

    >>> reproducible({"epoch": 1, "wallclock_time": 2.5})
    {'epoch': 1}
    """
    return {key: value for key, value in record.items() if key not in BY_MACHINE}


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


def log_steps(run: Run, steps: Mapping[str, np.ndarray], interval: int) -> None:
    """Writes batch loss and gradient norm of every `interval`-th step to TensorBoard."""
    for index in np.flatnonzero(steps["step"] % interval == 0):
        figures = {
            "training/train_batch_loss": float(steps["loss"][index]),
            "training/batch_gradient_norm": float(steps["gradient_norm"][index]),
        }
        run.scalars(figures, int(steps["step"][index]))
