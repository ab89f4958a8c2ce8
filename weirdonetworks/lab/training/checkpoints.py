"""Checkpoints of trainings: saving the state after each epoch, and restoring it."""

import contextlib
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence

import tensorflow as tf

from weirdonetworks.lab.records import files
from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.training.hooks import Hook
from weirdonetworks.lab.training.state import DivergenceError, TrainState
from weirdonetworks.lab.training.trainer import Trainer


class UnusableError(OSError):
    """A checkpoint that cannot be restored.

    Attributes:
      what: What is wrong with it, without the remedy.
    """

    def __init__(self, what: str, remedy: str):
        super().__init__(f"{what}. {remedy}.")
        self.what = what


# The file `checkpoint`, the latest one's name first and last; TensorFlow's own manager adds times.
_LIST = re.compile(
    rb'model_checkpoint_path: "ckpt-(\d+)"\n'
    rb'((?:all_model_checkpoint_paths: "ckpt-\d+"\n)*all_model_checkpoint_paths: "ckpt-\1"\n)'
    rb"(?:(?:all_model_checkpoint_timestamps|last_preserved_timestamp): \S+\n)*"
)

_UNREADABLE = (tf.errors.OpError, AssertionError, IndexError, ValueError)


class Checkpoints:
    """The checkpoints of a run, by the number of finished epochs, in its folder `checkpoints`.

    The folder is the one that `tf.train.CheckpointManager` writes, with the run's id beside the state. Its manager
    takes the folder for a pattern of file names, and so may delete the checkpoints of another run.

    Attributes:
      epochs: The epochs that there are checkpoints of, the latest last.
    """

    def __init__(self, run: Run, state: TrainState, hooks: Sequence[Hook], copies: int | None = None):
        """Finds the checkpoints of a training's state and its hooks.

        Two are kept, should the last one be damaged; of copies three, since those interrupted while saving have not all
        saved the last epoch.

        Raises:
          UnusableError: If the list of checkpoints is damaged, and there are none.
        """
        self._folder = run.directory / "checkpoints"
        self._index = self._folder / "checkpoint"
        self._state = state
        self._saved = {name: module for hook in hooks for name, module in hook.saved.items()}
        self._run = tf.Variable(run.id, trainable=False)
        self._keep = 2 if copies is None else 3
        self.epochs = self._listed()

    def save(self, epoch: int) -> None:
        """Saves the state after an epoch, and drops checkpoints that are no longer kept.

        Raises:
          OSError: If it cannot be written, such as to a full disk.
        """
        self._folder.mkdir(exist_ok=True)
        try:
            self._checkpoint(self._run).write(str(self._path(epoch)))
        except tf.errors.OpError as error:
            cause = error.message.partition("\n")[0].rpartition("; ")[2]
            raise OSError(f"{self._path(epoch)} cannot be written: {cause}. --resume goes on from before.") from error
        self.epochs = [*(each for each in self.epochs if each < epoch), epoch][-self._keep :]
        listed = [f'all_model_checkpoint_paths: "{self._path(each).name}"\n' for each in self.epochs]
        files.write_text(self._index, f'model_checkpoint_path: "{self._path(epoch).name}"\n{"".join(listed)}')
        self._drop_others()

    def restore(self, epoch: int) -> None:
        """Restores the state after an epoch; raises `UnusableError` if the checkpoint is damaged or of another run."""
        path = self._path(epoch)
        try:
            with _without_pattern(self._folder) as folder:
                plain = str(folder / path.name)
                reader = tf.train.load_checkpoint(plain)
                key = "run/.ATTRIBUTES/VARIABLE_VALUE"
                has_id = reader.has_tensor(key)  # Those of earlier versions have none.
                if has_id and (found := reader.get_tensor(key).decode()) != self._run.numpy().decode():
                    raise UnusableError(
                        f"{path} is a checkpoint of another run, {found}", "Put back the one of this run"
                    )
                self._checkpoint(self._run if has_id else None).restore(plain).assert_consumed()
        except _UNREADABLE as error:
            raise UnusableError(
                f"{path} is damaged or of another version", "Pass --overwrite to start again"
            ) from error
        if int(self._state.epoch) != epoch:
            raise UnusableError(
                f"{path} is the checkpoint of epoch {int(self._state.epoch)}", f"Put back the one of {epoch}"
            )
        with contextlib.suppress(OSError):  # A finished run may be where nothing can be written.
            self._drop_others()

    def _listed(self) -> list[int]:
        """Reads the list of checkpoints; if it is damaged or missing, takes those that are there, and says so.

        A killed writer leaves the first checkpoint without a list, in part or whole: that is nothing to tell.
        """
        found = _LIST.fullmatch(self._index.read_bytes()) if self._index.exists() else None
        if found:
            return [int(epoch) for epoch in re.findall(rb"ckpt-(\d+)", found[2])]
        there = [re.fullmatch(r"ckpt-(\d+)\.index", path.name) for path in self._folder.glob("ckpt-*.index")]
        epochs = sorted(epoch for name in there if name and self._has_index(epoch := int(name[1])))[-self._keep :]
        if self._index.exists() and not epochs:
            raise UnusableError(
                f"{self._index} is damaged, and no checkpoint is beside it",
                "Put them back, or pass --overwrite to start again",
            )
        if self._index.exists() or len(epochs) > 1:
            told = f"{self._index} is damaged or missing: the checkpoints beside it are taken, of epoch "
            print(f"warning: {told}{', '.join(map(str, epochs))}.", file=sys.stderr)
        return epochs

    def _has_index(self, epoch: int) -> bool:
        """Tells whether the index of a checkpoint is whole; it is written after the data."""
        with _without_pattern(self._folder) as folder:
            try:
                tf.train.load_checkpoint(str(folder / self._path(epoch).name))
            except _UNREADABLE:
                return False
        return True

    def _drop_others(self) -> None:
        """Removes the checkpoints that are not listed, and what was left of one when its writer was killed."""
        listed = {self._path(epoch).name for epoch in self.epochs}
        for path in self._folder.glob("ckpt-*"):
            found = re.fullmatch(r"(ckpt-\d+)(_temp|\.index|\.data-\d+-of-\d+)(\.tempstate\d+)?", path.name)
            if found and found[2] == "_temp":
                shutil.rmtree(path)
            elif found and (found[1] not in listed or found[3]):
                path.unlink()
        files.remove_parts(self._folder)

    def _path(self, epoch: int) -> pathlib.Path:
        return self._folder / f"ckpt-{epoch}"

    def _checkpoint(self, run: tf.Variable | None) -> tf.train.Checkpoint:
        checkpoint = tf.train.Checkpoint(state=self._state, **self._saved, **({} if run is None else {"run": run}))
        _ = checkpoint.save_counter  # Creates it, as `tf.train.CheckpointManager` does.
        return checkpoint


@contextlib.contextmanager
def _without_pattern(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a path of a folder that matches itself as a pattern, which is how TensorFlow looks for what it reads."""
    if not re.search(r"[\[\\]", str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(dir="/tmp") as beside:  # Not $TMPDIR, which is the user's to name.
        link = pathlib.Path(beside) / "checkpoints"
        link.symlink_to(folder.absolute())
        yield link


def restore(
    trainer: Trainer, runs: Sequence[Run], checkpoints: Sequence[Checkpoints]
) -> tuple[int, dict[int, DivergenceError]]:
    """Restores the last epoch that all trainings of a trainer have saved, and drops the records after it.

    If a checkpoint of a training that is not finished is no use, the one before it is restored, and stderr says so.

    Returns:
      The number of finished epochs; and, by number, the errors of trainings that ended before the others because their
      loss did not stay finite.

    Raises:
      OSError: If a checkpoint is damaged, missing, or of another run.
    """
    reached = [each.epochs[-1] if each.epochs else 0 for each in checkpoints]
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
    together = [index for index in range(len(runs)) if index not in behind]
    first = min(reached[index] for index in together)
    for index in filter(reached.__getitem__, behind):
        with trainer.member(index):
            checkpoints[index].restore(reached[index])
    while first:
        try:
            for index in together:
                with trainer.member(index):
                    checkpoints[index].restore(first)
            break
        except UnusableError as error:
            common = set.intersection(*(set(checkpoints[index].epochs) for index in together))
            before = [epoch for epoch in common if epoch < first]
            if not before or any(runs[index].found_finished for index in together):
                raise
            first = max(before)
            print(f"warning: {error.what}: training goes on from the one of epoch {first}.", file=sys.stderr)
    for index, run in enumerate(runs):
        if not run.found_finished:
            run.keep_records(reached[index] if index in behind else first)
    return first, behind
