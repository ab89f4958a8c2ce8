"""Checkpoints: whatever the folder is called, those of a run are its own."""

import contextlib
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.training.checkpoints import Checkpoints, restore
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
    kept = [f"ckpt-{epoch}.{end}" for epoch in (2, 3) for end in ("data-00000-of-00001", "index")]
    assert saved(folder, 3) == ["checkpoint", *kept]
    found, state = checkpoints(folder)
    assert found.epochs == [2, 3]
    found.restore(3)
    assert state.network.w.numpy().tolist() == [[3.0], [3.0]]
    assert [sorted(path.name for path in (each / "checkpoints").iterdir()) for each in beside] == before


def test_copies_keep_three(tmp_path: pathlib.Path) -> None:
    saved(tmp_path / "run-1", 4, copies=2)
    found, state = checkpoints(tmp_path / "run-1", copies=2)
    assert found.epochs == [2, 3, 4]
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


def run_of(folder: pathlib.Path, epochs: int) -> Run:
    lines = "".join(f'{{"epoch": {epoch}}}\n' for epoch in range(1, epochs + 1))
    (folder / "metrics.jsonl").write_text(lines)
    return Run(folder)


def damage(folder: pathlib.Path, how: str, epoch: int) -> None:
    data = folder / "checkpoints" / f"ckpt-{epoch}.data-00000-of-00001"
    if how == "flipped":
        data.write_bytes(bytes(each ^ 1 for each in data.read_bytes()))
    elif how == "cut short":
        data.with_name(f"ckpt-{epoch}.index").write_bytes(b"")
    elif how == "missing":
        data.unlink()
    elif how == "of another version":  # Of this package or of Sonnet, in which the same state has other variables.
        layer = snt.LayerNorm(-1, create_scale=True, create_offset=True)
        layer(tf.ones([1, 2]))
        state = TrainState(layer, Adam())
        state.epoch.assign(epoch)
        Checkpoints(Run(folder), state, [], None).save(epoch)
    else:
        saved(folder.parent / "run-2", epoch)
        for end in ("data-00000-of-00001", "index"):
            shutil.copy(folder.parent / "run-2" / "checkpoints" / f"ckpt-{epoch}.{end}", folder / "checkpoints")


class Alone:
    """What `restore` needs of a trainer of one network."""

    @contextlib.contextmanager
    def member(self, index: int) -> Iterator[None]:
        yield


@pytest.mark.parametrize("how", ["flipped", "cut short", "missing", "of another run", "of another version"])
def test_the_one_before_is_used_if_the_last_is_no_use(
    how: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run-1"
    saved(folder, 3)
    damage(folder, how, 3)
    found, state = checkpoints(folder)
    trainer: Any = Alone()
    assert restore(trainer, [run_of(folder, 4)], [found]) == (2, {})
    assert state.network.w.numpy().tolist() == [[2.0], [2.0]]
    told = capsys.readouterr().err
    assert re.fullmatch(r"warning: [^\n]*ckpt-3 is [^\n]*: training goes on from the one of epoch 2\.\n", told)
    assert (folder / "metrics.jsonl").read_text().count("\n") == 2
    state.epoch.assign(3)
    found.save(3)  # The damaged one is replaced.
    found, _ = checkpoints(folder)
    found.restore(3)
    for epoch in (2, 3):
        damage(folder, how, epoch)
    found, _ = checkpoints(folder)
    with pytest.raises(OSError, match=r"ckpt-2 is .*\. (Pass --overwrite|Put back)"):
        restore(trainer, [run_of(folder, 3)], [found])
    assert (folder / "metrics.jsonl").read_text().count("\n") == 3


def test_a_finished_run_is_not_shown_with_weights_of_before(tmp_path: pathlib.Path) -> None:
    saved(tmp_path / "run-1", 3)
    damage(tmp_path / "run-1", "flipped", 3)
    (tmp_path / "run-1" / "status.json").write_text('{"status": "finished", "epoch": 3}')
    run = run_of(tmp_path / "run-1", 3)
    found, _ = checkpoints(tmp_path / "run-1")
    trainer: Any = Alone()
    with pytest.raises(OSError, match="ckpt-3 is damaged"):
        restore(trainer, [run], [found])


def test_what_a_killed_writer_left_is_removed(tmp_path: pathlib.Path) -> None:
    saved(tmp_path / "run-1", 3)
    folder = tmp_path / "run-1" / "checkpoints"
    for name in ("ckpt-1.index", "ckpt-4.data-00000-of-00001", ".checkpoint.17", "ckpt-kept-by-me"):
        (folder / name).touch()
    (folder / "ckpt-4_temp").mkdir()
    found, _ = checkpoints(tmp_path / "run-1")
    found.restore(3)
    kept = {f"ckpt-{epoch}.{end}" for epoch in (2, 3) for end in ("data-00000-of-00001", "index")}
    assert {path.name for path in folder.iterdir()} == {"checkpoint", "ckpt-kept-by-me", *kept}


@pytest.mark.parametrize("written", [0, 100, None], ids=["nothing", "a part", "all"])
def test_what_is_left_of_the_first_checkpoint_is_no_damage(
    written: int | None, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run-1"
    saved(folder, 1)
    (folder / "checkpoints" / "checkpoint").unlink()
    index = folder / "checkpoints" / "ckpt-1.index"
    index.write_bytes(index.read_bytes()[:written])
    found, _ = checkpoints(folder)
    trainer: Any = Alone()
    first = 1 if written is None else 0
    assert restore(trainer, [run_of(folder, 1)], [found]) == (first, {})
    assert (folder / "metrics.jsonl").read_text().count("\n") == first
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("old", "new"), [(b"all_model", b"bll_model"), (b"model_", b"\xffmodel_"), (b'"ckpt-3"\nall', b'"ckpt-7"\nall')]
)
@pytest.mark.parametrize("epochs", [1, 3])
def test_without_a_list_those_that_are_there_are_taken(
    epochs: int, old: bytes, new: bytes, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run-1"
    saved(folder, epochs)
    listed = folder / "checkpoints" / "checkpoint"
    good = listed.read_bytes()
    listed.write_bytes(good.replace(old, new).replace(b'path: "ckpt-1"', b'path: "ckpt-9"'))
    found, state = checkpoints(folder)
    told = f"warning: {listed} is damaged or missing: the checkpoints beside it are taken, of epoch "
    assert capsys.readouterr().err == told + ("1.\n" if epochs == 1 else "2, 3.\n")
    trainer: Any = Alone()
    assert restore(trainer, [run_of(folder, epochs)], [found]) == (epochs, {})
    assert state.network.w.numpy().tolist() == [[float(epochs)]] * 2
    assert (folder / "metrics.jsonl").read_text().count("\n") == epochs
    found.save(epochs)
    assert listed.read_bytes() == good and capsys.readouterr().err == ""
    for path in folder.glob("checkpoints/ckpt-*"):
        path.unlink()
    listed.write_bytes(good[1:])
    with pytest.raises(
        OSError, match=r"is damaged, and no checkpoint is beside it\. Put them back, or pass --overwrite"
    ):
        checkpoints(folder)
