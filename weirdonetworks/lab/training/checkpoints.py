"""The checkpoints of trainings: the state after the last finished epoch, and going on from there."""

from collections.abc import Sequence

import tensorflow as tf

from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.training.hooks import Hook
from weirdonetworks.lab.training.state import DivergenceError, TrainState
from weirdonetworks.lab.training.trainer import Trainer


def manager(
    run: Run, state: TrainState, hooks: Sequence[Hook], copies: int | None = None
) -> tf.train.CheckpointManager:
    """Makes what saves a training's state, and what its hooks have to be saved, in its run.

    Copies that are cut off in the middle of saving have not all saved the last epoch: they keep the one before, too.
    """
    saved = {name: module for hook in hooks for name, module in hook.saved.items()}
    checkpoint = tf.train.Checkpoint(state=state, **saved)
    kept = 1 if copies is None else 2
    return tf.train.CheckpointManager(checkpoint, str(run.directory / "checkpoints"), max_to_keep=kept)


def restore(
    trainer: Trainer, runs: Sequence[Run], managers: Sequence[tf.train.CheckpointManager]
) -> tuple[int, dict[int, DivergenceError]]:
    """Sets a trainer to the last epoch that all its trainings have saved, and takes back the records after it.

    Returns:
      How many epochs are finished; and which of several trainings fell behind the others, by number, and why: their
      loss did not stay finite, and they are not trained on.

    Raises:
      OSError: If a checkpoint is damaged, or the records are of more epochs than the checkpoints can have lost.
    """
    reached = [_epoch(each.latest_checkpoint) for each in managers]
    for run, epoch in zip(runs, reached, strict=True):
        # A run is cut off between the record of an epoch and its checkpoint, so at most one is missing.
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
