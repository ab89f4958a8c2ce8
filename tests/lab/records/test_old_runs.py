"""Folders of runs from before ids left out what is only measured: named otherwise, and read as ever."""

import hashlib
import json
import pathlib
from typing import Any

import pytest

from analysis import summaries
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files, runs

# Every setting was in the id, those of measuring and the number of trials among them.
CONFIG = {"dataset": "MNIST", "epochs": 2, "batch_size_test": 1000, "update_epoch": 10, "random_seed": 42}
MEASURED = ("batch_size_test", "update_epoch")
OPTIONS = {"experiment_dir": "runs", "resume": False, "num_trials": 1, "trials_backend": "auto"}
RECORDS = [{"epoch": epoch, "step": 8 * epoch, "test_accuracy": 0.4 * epoch} for epoch in (1, 2)]


def old_id(name: str, config: dict[str, Any]) -> str:
    return f"{name}-{hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:10]}"


def write_old_run(folder: pathlib.Path, name: str, status: str = "finished", epochs: int = 2) -> pathlib.Path:
    """Writes a run as it was left then; returns its directory."""
    directory = folder / old_id(name, CONFIG)
    directory.mkdir(parents=True)
    files.write_json(directory / "config.json", {"driver": name, **OPTIONS, **CONFIG, "versions": {"numpy": "2.0.0"}})
    files.write_json(directory / "status.json", {"status": status, "epoch": epochs})
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS[:epochs])
    (directory / "metrics.jsonl").write_text(lines)
    return directory


def settings_of_training() -> dict[str, Any]:
    return {key: value for key, value in CONFIG.items() if key not in MEASURED}


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_records_and_status_are_read(tmp_path: pathlib.Path) -> None:
    study = write_old_run(tmp_path, "synchronous_mnist")
    # A study's trainings lie within it, under the names that they had, with commas.
    training = write_old_run(study, "averaged,_4_turns_upright")
    for directory in (study, training):
        run = runs.Run(directory)
        assert run.is_finished and run.records == RECORDS
    assert training.name.startswith("averaged,_4_turns_upright-")


def test_summaries_of_old_and_new_runs_are_one_table(tmp_path: pathlib.Path) -> None:
    old = write_old_run(tmp_path, "prune")
    record = {"driver": "prune", **CONFIG, "final/test_accuracy": 0.8, "mask/permutations": str(10**30)}
    files.write_json(tmp_path / "summary.json", {old.name: record})
    settings = settings_of_training()
    with runs.open_run(tmp_path, "prune", settings, unhashed={}, measured={"update_epoch": 10}) as run:
        assert run.id != old.name and run.records == []
        run.append(RECORDS[0])
        run.finish({"driver": "prune", **settings, "final/test_accuracy": 0.9, "mask/permutations": 6})
    frame = summaries.load(tmp_path)
    assert set(frame.index) == {old.name, run.id}
    assert frame["final/test_accuracy"].to_dict() == {old.name: 0.8, run.id: 0.9}
    assert frame.loc[old.name, "mask/permutation_log10"] == pytest.approx(30)


def test_a_new_run_leaves_old_ones_as_they_are(tmp_path: pathlib.Path) -> None:
    write_old_run(tmp_path, "prune")
    write_old_run(tmp_path, "train", "interrupted", epochs=1)
    before = contents(tmp_path)
    with runs.open_run(tmp_path, "prune", settings_of_training(), unhashed={}, overwrite=True) as run:
        run.append(RECORDS[0])
        run.finish(None)
    assert before.items() <= contents(tmp_path).items()


def test_an_interrupted_old_run_is_named_where_there_is_nothing_to_resume(tmp_path: pathlib.Path) -> None:
    old = write_old_run(tmp_path, "train", "interrupted", epochs=1)
    config = settings_of_training() | {"epochs": 3}
    with pytest.raises(UsageError) as caught:
        runs.open_run(tmp_path, "train", config, unhashed={}, resume=True).__enter__()
    assert str(caught.value).endswith(f"The nearest unfinished run is {old.name}: --epochs was 2, is 3.")
