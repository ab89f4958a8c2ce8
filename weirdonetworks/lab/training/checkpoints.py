"""Checkpoints of trainings: saving the state after each epoch, and restoring it."""

from collections.abc import Sequence

import tensorflow as tf

from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.training.hooks import Hook
from weirdonetworks.lab.training.state import DivergenceError, TrainState
from weirdonetworks.lab.training.trainer import Trainer


def manager(
    run: Run, state: TrainState, hooks: Sequence[Hook], copies: int | None = None
) -> tf.train.CheckpointManager:
    """Makes the checkpoint manager of a training's state and its hooks, in the folder of its run.

    Copies keep two checkpoints, since those interrupted while saving have not all saved the last epoch.
    """
    saved = {name: module for hook in hooks for name, module in hook.saved.items()}
    checkpoint = tf.train.Checkpoint(state=state, **saved)
    count = 1 if copies is None else 2
    return tf.train.CheckpointManager(checkpoint, str(run.directory / "checkpoints"), max_to_keep=count)


def restore(
    trainer: Trainer, runs: Sequence[Run], managers: Sequence[tf.train.CheckpointManager]
) -> tuple[int, dict[int, DivergenceError]]:
    """Restores the last epoch that all trainings of a trainer have saved, and drops the records after it.

    Returns:
      The number of finished epochs; and, by number, the errors of trainings that ended before the others because their
      loss did not stay finite.

    Raises:
      OSError: If a checkpoint is damaged or missing.
    """
    reached = [_epoch(each.latest_checkpoint) for each in managers]
    for run, epoch in zip(runs, reached, strict=True):
        # An interruption between the record of an epoch and its checkpoint loses one checkpoint at most.
        if len(run.records) > epoch + (0 if run.found_finished else 1):
            raise OSError(
                f"{run.directory}/checkpoints must hold the weights after epoch {len(run.records)}, and does not; the "
                "records are kept. Put it back, or pass --overwrite to train again."
            )
    behind = {
        index: DivergenceError(f"the loss was not finite in epoch {epoch + 1}: lower --learning_rate.")
        for index, epoch in enumerate(reached)
        if epoch < max(reached) - 1
    }
    first = min(epoch for index, epoch in enumerate(reached) if index not in behind)
    for index, (run, each) in enumerate(zip(runs, managers, strict=True)):
        epoch = reached[index] if index in behind else first
        with trainer.member(index):
            for path in each.checkpoints:
                if _epoch(path) == epoch:
                    _read(each.checkpoint, path)
        if not run.found_finished:
            run.keep_records(epoch)
    return first, behind


def _epoch(path: str | None) -> int:
    return int(path.rpartition("-")[2]) if path else 0


def _read(checkpoint: tf.train.Checkpoint, path: str) -> None:
    try:
        checkpoint.restore(path).assert_consumed()
    except (tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
        raise OSError(f"{path} is damaged or of another version. Pass --overwrite to start again.") from error
