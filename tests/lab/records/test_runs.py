"""Run directories: what is in them, and who may write to them when."""

import contextlib
import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files, runs
from weirdonetworks.lab.records.events import Events

CONFIG = {"epochs": 3, "learning_rate": 0.1, "features": (30, 10)}


def record(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "step": 8 * epoch, "test_accuracy": 0.1 * epoch}


def open_run(folder: pathlib.Path, config: Mapping[str, Any] = CONFIG, **options: Any) -> Any:
    return runs.open_run(folder, "driver", config, unhashed={"data_dir": None}, **options)


def leave_unfinished(folder: pathlib.Path, epochs: int, config: dict[str, Any] = CONFIG) -> pathlib.Path:
    """Leaves a run that was interrupted after so many epochs."""
    with pytest.raises(KeyboardInterrupt), open_run(folder, config) as run:
        for epoch in range(1, epochs + 1):
            run.append(record(epoch))
        raise KeyboardInterrupt
    return run.directory


def leave_finished(folder: pathlib.Path) -> pathlib.Path:
    with open_run(folder) as run:
        run.append(record(1))
        run.finish({"final/test_accuracy": 0.1})
    return run.directory


def contents(directory: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def read(path: pathlib.Path) -> Any:
    return json.loads(path.read_text())


def test_an_id_is_the_driver_and_a_hash() -> None:
    name = runs.run_id("prune", CONFIG)
    driver, _, digest = name.partition("-")
    assert driver == "prune" and len(digest) == 10 and set(digest) <= set("0123456789abcdef")


def test_the_same_configuration_has_the_same_id() -> None:
    assert runs.run_id("a", CONFIG) == runs.run_id("a", dict(reversed(CONFIG.items())))
    assert runs.run_id("a", {"features": (30, 10)}) == runs.run_id("a", {"features": [30, 10]})
    assert runs.run_id("a", {"epochs": 20}) == "a-" + runs.run_id("b", {"epochs": 20}).partition("-")[2]


@pytest.mark.parametrize(
    "changed",
    [
        {**CONFIG, "epochs": 4},
        {**CONFIG, "learning_rate": 0.1 + 1e-15},
        {**CONFIG, "features": (10, 30)},
        {**CONFIG, "features": (30, 10, 10)},
        {**CONFIG, "extra": None},
        {"epochs": 3, "learning_rate": 0.1},
        {**CONFIG, "epochs": "3"},
    ],
)
def test_every_change_of_the_configuration_changes_the_id(changed: dict[str, Any]) -> None:
    assert runs.run_id("driver", changed) != runs.run_id("driver", CONFIG)


def test_a_run_from_start_to_end(tmp_path: pathlib.Path) -> None:
    with open_run(tmp_path / "deep" / "runs") as run:
        assert (run.records, run.is_finished) == ([], False)
        assert read(run.directory / "status.json") == {"status": "running", "epoch": 0}
        for epoch in (1, 2):
            run.append(record(epoch))
        run.write_json("mask_stats.json", {"permutations": 10**30})
        run.finish({"final/test_accuracy": 0.2, "mask/permutations": 10**30})
    assert run.directory == tmp_path / "deep" / "runs" / runs.run_id("driver", CONFIG)
    assert run.is_finished
    lines = (run.directory / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [record(1), record(2)] == run.records
    assert read(run.directory / "status.json") == {"status": "finished", "epoch": 2}
    assert read(run.directory / "mask_stats.json") == {"permutations": str(10**30)}
    config = read(run.directory / "config.json")
    assert config["driver"] == "driver" and config["features"] == [30, 10] and config["data_dir"] is None
    assert {"python", "numpy", "tensorflow", "dm-sonnet"} <= set(config["versions"])
    assert read(run.directory.parent / "summary.json") == {
        run.id: {"final/test_accuracy": 0.2, "mask/permutations": str(10**30)}
    }


def test_a_run_without_a_summary_is_finished_too(tmp_path: pathlib.Path) -> None:
    with open_run(tmp_path) as run:
        run.append(record(1))
        run.finish(None)
    assert run.is_finished
    assert not (tmp_path / "summary.json").exists()


def test_numbers_go_to_tensorboard(tmp_path: pathlib.Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    with open_run(tmp_path) as run:
        for written in (record(1) | {"name": "x", "flag": True, "nothing": None, "loss": float("nan")}, record(2)):
            run.append(written)
            run.log(written)
        run.scalars({"training/batch_loss": 0.25}, 5)
        run.finish(None)
    events = EventAccumulator(str(run.directory))
    events.Reload()
    read_back = {
        tag: [(event.step, round(make_ndarray(event.tensor_proto).item(), 6)) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }
    assert read_back == {
        "training/epoch": [(8, 1), (16, 2)],
        "training/test_accuracy": [(8, 0.1), (16, 0.2)],
        "training/batch_loss": [(5, 0.25)],
    }


def test_a_full_disk_is_an_error_of_the_thread_that_logs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    full = pathlib.Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full, which refuses all writes")
    opened = full.open("wb")
    monkeypatch.setattr(pathlib.Path, "open", lambda self, mode: opened)
    written = Events(tmp_path)
    written.scalar("loss", 1.0, 1)
    with pytest.raises(OSError, match="No space left on device"):
        written.flush()
    with pytest.raises(OSError, match="No space left on device"):
        written.close()


def test_a_finished_run_is_given_to_look_at(tmp_path: pathlib.Path) -> None:
    directory = leave_finished(tmp_path)
    before = contents(tmp_path)
    for resume in (False, True):
        with open_run(tmp_path, resume=resume) as run:
            assert run.is_finished and run.records == [record(1)]
    with pytest.raises(ZeroDivisionError), open_run(tmp_path):
        raise ZeroDivisionError
    assert contents(tmp_path) == before
    assert read(directory / "status.json")["status"] == "finished"


def test_an_unfinished_run_needs_a_word(tmp_path: pathlib.Path) -> None:
    directory = leave_unfinished(tmp_path, epochs=2)
    assert read(directory / "status.json") == {"status": "interrupted", "epoch": 2}
    before = contents(tmp_path)
    with pytest.raises(UsageError) as caught, open_run(tmp_path):
        pytest.fail("opened")
    assert str(caught.value) == f"{directory} is unfinished (2 epochs). Pass --resume or --overwrite."
    assert contents(tmp_path) == before


def test_a_run_that_is_left_unfinished_is_interrupted(tmp_path: pathlib.Path) -> None:
    with open_run(tmp_path) as run:
        run.append(record(1))
    assert read(run.directory / "status.json") == {"status": "interrupted", "epoch": 1}
    with open_run(tmp_path, {"epochs": 3}) as empty:
        pass
    assert not empty.directory.exists()


def test_an_error_after_its_end_leaves_a_run_finished(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match="printed"), open_run(tmp_path) as run:
        run.append(record(1))
        run.finish(None)
        raise OSError("printed")
    assert read(run.directory / "status.json")["status"] == "finished"


def test_an_unfinished_run_is_resumed(tmp_path: pathlib.Path) -> None:
    directory = leave_unfinished(tmp_path, epochs=2)
    with open_run(tmp_path, resume=True) as run:
        assert run.records == [record(1), record(2)]
        assert read(directory / "status.json")["status"] == "running"
        run.append(record(3))
        run.finish(None)
    assert [json.loads(line)["epoch"] for line in (directory / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3]


def test_a_run_is_overwritten(tmp_path: pathlib.Path) -> None:
    for leave in (leave_finished, lambda folder: leave_unfinished(folder, 2)):
        directory = leave(tmp_path / leave.__name__)
        (directory / "left_over").touch()
        with open_run(tmp_path / leave.__name__, overwrite=True) as run:
            assert run.records == [] and not run.is_finished
            assert not (directory / "left_over").exists()
            run.append(record(1))
            run.finish(None)
        assert run.directory == directory


def test_overwriting_leaves_other_runs_alone(tmp_path: pathlib.Path) -> None:
    other = leave_unfinished(tmp_path, 1, {**CONFIG, "epochs": 9})
    before = contents(other)
    leave_finished(tmp_path)
    with open_run(tmp_path, overwrite=True) as run:
        run.finish(None)
    assert contents(other) == before


def test_resume_and_overwrite_exclude_each_other(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError, match="--resume and --overwrite exclude each other"):
        open_run(tmp_path, resume=True, overwrite=True).__enter__()
    assert not list(tmp_path.iterdir())


def test_nothing_to_resume(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_run(tmp_path / "runs", resume=True).__enter__()
    assert str(caught.value) == f"--resume: there is no run with these flags in {tmp_path}/runs."
    assert not list(tmp_path.iterdir())


def test_resuming_with_changed_flags_says_which(tmp_path: pathlib.Path) -> None:
    leave_unfinished(tmp_path, 1, {**CONFIG, "epochs": 9, "learning_rate": 0.5})
    nearest = leave_unfinished(tmp_path, 1, {**CONFIG, "features": (30, 20)})
    leave_finished(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(UsageError) as caught:
        open_run(tmp_path, {**CONFIG, "features": (30, 40)}, resume=True).__enter__()
    assert str(caught.value) == (
        f"--resume: there is no run with these flags in {tmp_path}. "
        f"The nearest unfinished run is {nearest.name}: --features was [30, 20], is [30, 40]."
    )
    assert contents(tmp_path) == before


def test_a_run_without_a_record_leaves_nothing(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="bad luck"), open_run(tmp_path) as run:
        run.write_json("mask_stats.json", {})
        raise ValueError("bad luck")
    assert not run.directory.exists()
    with open_run(tmp_path) as again:
        again.finish(None)


def test_two_cannot_write_the_same_run(tmp_path: pathlib.Path) -> None:
    with open_run(tmp_path) as run:
        run.append(record(1))
        for resume, overwrite in ((False, False), (True, False), (False, True)):
            with pytest.raises(OSError) as caught, open_run(tmp_path, resume=resume, overwrite=overwrite):
                pytest.fail("opened")
            assert str(caught.value) == f"{run.directory} is being written by another process."
        with open_run(tmp_path, {**CONFIG, "epochs": 9}) as other:
            other.finish(None)
        run.finish(None)
    assert run.is_finished and run.records == [record(1)]


def test_a_folder_that_cannot_be_written(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(OSError) as caught, open_run(folder):
            pytest.fail("opened")
        assert str(caught.value).startswith(f"experiment_dir (={folder}) cannot be written: ")


@pytest.mark.parametrize("cause", [errno.EROFS, errno.EACCES])
def test_a_finished_run_is_read_where_nothing_can_be_written(
    cause: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(cause, os.strerror(cause))

    directory = leave_finished(tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(files, "locked", refuse)
    for options in ({}, {"resume": True}):
        with open_run(tmp_path, **options) as run:
            assert run.is_finished and run.records == [record(1)]
    refused = (CONFIG, {"overwrite": True}), (CONFIG, {"measured": {"angles": 4}}), ({"epochs": 9}, {})
    for config, options in refused:
        with pytest.raises(OSError, match="cannot be written"), open_run(tmp_path, config, **options):
            pytest.fail("opened")
    assert contents(tmp_path) == before and directory.exists()


def test_records_without_a_checkpoint_are_taken_back(tmp_path: pathlib.Path) -> None:
    directory = leave_unfinished(tmp_path, epochs=3)
    with open_run(tmp_path, resume=True) as run:
        run.keep_records(2)
        assert run.records == [record(1), record(2)]
        assert (directory / "metrics.jsonl").read_text().count("\n") == 2
        with pytest.raises(OSError, match=r"metrics\.jsonl holds 2 of 3 epochs\. Use --overwrite"):
            run.keep_records(3)
        run.keep_records(0)
        run.append(record(1))
    assert (directory / "metrics.jsonl").read_text() == json.dumps(record(1)) + "\n"


@pytest.mark.parametrize("part", ['{"epoch": 3, "st', "{", "\x00\x00"])
def test_a_line_cut_by_a_kill_is_dropped(part: str, tmp_path: pathlib.Path) -> None:
    directory = leave_unfinished(tmp_path, epochs=2)
    with open(directory / "metrics.jsonl", "a") as file:
        file.write(part)
    with open_run(tmp_path, resume=True) as run:
        assert run.records == [record(1), record(2)]
        run.keep_records(2)
        run.append(record(3))
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [record(1), record(2), record(3)]


def test_a_killed_run_can_be_resumed(tmp_path: pathlib.Path) -> None:
    code = (
        "import os, signal, sys\nfrom weirdonetworks.lab.records import runs\n"
        "with runs.open_run(sys.argv[1], 'driver', {'epochs': 3}, unhashed={}) as run:\n"
        "    (run.directory / 'metrics.jsonl').write_text(sys.argv[2])\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    line = json.dumps(record(1)) + "\n"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), line], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    directory = tmp_path / runs.run_id("driver", {"epochs": 3})
    assert read(directory / "status.json")["status"] == "running"
    with pytest.raises(UsageError, match="unfinished"), open_run(tmp_path, {"epochs": 3}):
        pytest.fail("opened")
    with open_run(tmp_path, {"epochs": 3}, resume=True) as run:
        assert run.records == [record(1)]


def finish(folder: pathlib.Path, seed: int, summary: dict[str, Any]) -> str:
    """Leaves a finished run with a summary; returns its id."""
    with open_run(folder, {"seed": seed}, overwrite=True) as run:
        run.finish(summary)
    return run.id


def test_concurrent_summaries_lose_nothing(tmp_path: pathlib.Path) -> None:
    code = (
        "import sys\nfrom weirdonetworks.lab.records import runs\n"
        "for number in range(8):\n"
        "    with runs.open_run(sys.argv[1], sys.argv[2], {'number': number}, unhashed={}) as run:\n"
        "        run.finish({'number': number})"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "abcd"]
    assert [child.wait(60) for child in children] == [0] * 4
    assert read(tmp_path / "summary.json") == {
        runs.run_id(name, {"number": number}): {"number": number} for name in "abcd" for number in range(8)
    }


def test_a_summary_is_updated_in_place(tmp_path: pathlib.Path) -> None:
    a, b = finish(tmp_path, 1, {"x": 1}), finish(tmp_path, 2, {"x": 2})
    assert finish(tmp_path, 1, {"y": 3}) == a
    assert read(tmp_path / "summary.json") == {a: {"y": 3}, b: {"x": 2}}


# So deep that it can be read and not be written again: from Python 3.12 on, a comprehension is no call of its own.
DEEP = 900 if sys.version_info < (3, 12) else 980


@pytest.mark.parametrize("content", ["null", "[]", '"text"', DEEP * '{"a":' + "1" + DEEP * "}"])
def test_a_summary_of_another_shape_is_named_and_left(content: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(OSError, match=r"summary\.json .*Remove or mend it"), open_run(tmp_path) as run:
        run.append(record(1))
        run.finish({"x": 1})
    assert (tmp_path / "summary.json").read_text() == content
    assert run.status["status"] == "interrupted"
    (tmp_path / "summary.json").unlink()
    with open_run(tmp_path, resume=True) as run:
        run.finish({"x": 1})
    assert read(tmp_path / "summary.json") == {run.id: {"x": 1}}


def test_a_run_stays_with_the_version_of_its_data(tmp_path: pathlib.Path) -> None:
    with open_run(tmp_path) as run:
        run.record_version("kmnist", "3.0.1")
        run.record_version("kmnist", "3.0.1")
        assert read(run.directory / "config.json")["versions"]["kmnist"] == "3.0.1"
        with pytest.raises(OSError, match=r"was begun on version 3\.0\.1 of kmnist, and this machine has 2\.0\.0"):
            run.record_version("kmnist", "2.0.0")


@pytest.mark.parametrize("name", ["status.json", "config.json", "metrics.jsonl"])
def test_a_record_of_another_shape_is_named_and_left(name: str, tmp_path: pathlib.Path) -> None:
    directory = leave_unfinished(tmp_path, epochs=2)
    (directory / name).write_text("null\n")
    before = contents(directory)
    with pytest.raises(OSError, match=rf"{name}.* must hold a JSON object, and holds None\. Remove or mend it"):
        open_run(tmp_path, resume=True, measured={"angles": 4}).__enter__()
    assert contents(directory) == before


def test_a_damaged_summary_is_not_written_over(tmp_path: pathlib.Path) -> None:
    (tmp_path / "summary.json").write_text('{"a": ')
    with pytest.raises(OSError, match=r"summary\.json is not JSON"), open_run(tmp_path) as run:
        run.append(record(1))
        run.finish({"x": 1})
    assert (tmp_path / "summary.json").read_text() == '{"a": '
    assert read(run.directory / "status.json") == {"status": "interrupted", "epoch": 1}


@pytest.mark.parametrize("leaving", ["finished", "unfinished", "interrupted", "without a record", "finished before"])
def test_a_run_leaves_no_thread_and_no_open_file(tmp_path: pathlib.Path, leaving: str) -> None:
    if leaving == "finished before":
        leave_finished(tmp_path)
    before = threading.active_count(), os.listdir("/dev/fd")
    with contextlib.suppress(KeyboardInterrupt), open_run(tmp_path) as run:
        run.scalars({"training/batch_loss": 0.25}, 5)
        assert threading.active_count() == before[0]
        assert len(os.listdir("/dev/fd")) > len(before[1])
        if leaving != "without a record":
            run.append(record(1))
        if leaving == "finished":
            run.finish(None)
        if leaving in ("interrupted", "without a record"):
            raise KeyboardInterrupt
    assert (threading.active_count(), os.listdir("/dev/fd")) == before


def test_folders_are_of_lower_case_letters_digits_dashes_and_underscores() -> None:
    names = ("averaged, 4 turns_upright", "ReLU_1", "within_30_strength_0.25", "plain + augmentation_100", "per-neuron")
    found = [runs.run_id(name, {}).rsplit("-", 1)[0] for name in names]
    assert found == [
        *("averaged_4_turns_upright", "relu_1", "within_30_strength_0_25", "plain_augmentation_100", "per-neuron")
    ]


def test_names_that_share_a_folder_s_stem_have_folders_of_their_own() -> None:
    assert len({runs.run_id(name, {}) for name in ("a, b", "a b", "a_b", "A_b")}) == 4
