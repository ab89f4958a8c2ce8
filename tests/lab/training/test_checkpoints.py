"""Checkpoints: whatever the folder is called, those of a run are its own."""

import pathlib
import shutil

import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.training.checkpoints import Checkpoints
from weirdonetworks.lab.training.optimizers import Adam
from weirdonetworks.lab.training.state import TrainState

NAMES = ["runs[1]", "run?", "run*", "a\\b", "{a,b}", "new\nline", "two words", "实验", "%s", "~"]


def checkpoints(folder: pathlib.Path, copies: int | None = None) -> tuple[Checkpoints, TrainState]:
    folder.mkdir(parents=True, exist_ok=True)
    layer = snt.Linear(1)
    layer(tf.ones([1, 2]))
    state = TrainState(layer, Adam())
    return Checkpoints(Run(folder), state, [], copies), state


def saved(folder: pathlib.Path, epochs: int, copies: int | None = None) -> list[str]:
    """Saves so many epochs, with weights that say which; returns the names of the files."""
    found, state = checkpoints(folder, copies)
    for epoch in range(1, epochs + 1):
        state.epoch.assign(epoch)
        state.network.w.assign(tf.fill([2, 1], float(epoch)))
        found.save(epoch)
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_folder_is_a_pattern(name: str, tmp_path: pathlib.Path) -> None:
    beside = [tmp_path / other / "run-1" for other in ("runs1", "run1", "run12", "ab", "a")]
    before = [saved(each, 2) for each in beside]
    folder = tmp_path / name / "run-1"
    assert saved(folder, 3) == ["checkpoint", "ckpt-3.data-00000-of-00001", "ckpt-3.index"]
    found, state = checkpoints(folder)
    assert found.epochs == [3]
    found.restore(3)
    assert state.network.w.numpy().tolist() == [[3.0], [3.0]]
    assert [sorted(path.name for path in (each / "checkpoints").iterdir()) for each in beside] == before


def test_copies_keep_two(tmp_path: pathlib.Path) -> None:
    saved(tmp_path / "run-1", 3, copies=2)
    found, state = checkpoints(tmp_path / "run-1", copies=2)
    assert found.epochs == [2, 3]
    found.restore(2)
    assert state.network.w.numpy().tolist() == [[2.0], [2.0]]


def test_those_of_earlier_versions_are_read(tmp_path: pathlib.Path) -> None:
    found, state = checkpoints(tmp_path / "run-1")
    state.epoch.assign(2)
    state.network.w.assign([[5.0], [6.0]])
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(state=state), str(tmp_path / "run-1" / "checkpoints"), max_to_keep=2
    )
    for epoch in (1, 2):
        manager.save(checkpoint_number=epoch)
    found, state = checkpoints(tmp_path / "run-1")
    assert found.epochs == [1, 2]
    found.restore(2)
    assert state.network.w.numpy().tolist() == [[5.0], [6.0]]
    found.save(3)
    assert tf.train.latest_checkpoint(str(tmp_path / "run-1" / "checkpoints")).endswith("ckpt-3")


def test_those_of_another_run_are_refused(tmp_path: pathlib.Path) -> None:
    for name in ("run-1", "run-2"):
        saved(tmp_path / name, 2)
    shutil.rmtree(tmp_path / "run-1" / "checkpoints")
    shutil.copytree(tmp_path / "run-2" / "checkpoints", tmp_path / "run-1" / "checkpoints")
    found, state = checkpoints(tmp_path / "run-1")
    before = state.network.w.numpy().tolist()
    with pytest.raises(OSError, match=r"ckpt-2 is a checkpoint of another run, run-2\. Put back the one of this run"):
        found.restore(2)
    assert state.network.w.numpy().tolist() == before


def test_one_renamed_to_another_epoch_is_refused(tmp_path: pathlib.Path) -> None:
    saved(tmp_path / "run-1", 2)
    folder = tmp_path / "run-1" / "checkpoints"
    for path in [*folder.glob("ckpt-2.*")]:
        path.rename(path.with_name(path.name.replace("ckpt-2", "ckpt-7")))
    (folder / "checkpoint").write_text((folder / "checkpoint").read_text().replace("ckpt-2", "ckpt-7"))
    found, _ = checkpoints(tmp_path / "run-1")
    with pytest.raises(OSError, match=r"ckpt-7 is the checkpoint of epoch 2\. Put back the one of 7"):
        found.restore(7)


def test_what_cannot_be_written_is_told_in_one_line(tmp_path: pathlib.Path) -> None:
    saved(tmp_path / "run-1", 1)
    found, _ = checkpoints(tmp_path / "run-1")
    (tmp_path / "run-1" / "checkpoints" / "ckpt-2.index").mkdir()
    with pytest.raises(
        OSError, match=r"^[^\n]*ckpt-2 cannot be written: [^\n]*\. --resume goes on from before\.$"
    ) as caught:
        found.save(2)
    print(caught.value)
    assert found.epochs == [1]


def test_a_damaged_one_is_named(tmp_path: pathlib.Path) -> None:
    saved(tmp_path / "run-1", 1)
    data = tmp_path / "run-1" / "checkpoints" / "ckpt-1.data-00000-of-00001"
    data.write_bytes(bytes(each ^ 1 for each in data.read_bytes()))
    found, _ = checkpoints(tmp_path / "run-1")
    with pytest.raises(OSError, match=r"ckpt-1 is damaged or of another version"):
        found.restore(1)
    data.unlink()
    with pytest.raises(OSError, match=r"ckpt-1 is damaged or of another version"):
        found.restore(1)
