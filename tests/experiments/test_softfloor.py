"""The experiment with the soft floor as a process, on real data cut short."""

import json
import pathlib
import subprocess

import pytest

from tests.experiments.processes import run, shown_again
from weirdonetworks.experiments.softfloor import SoftfloorConfig
from weirdonetworks.lab.errors import UsageError

# Whole batches: a short one would be traced beside them.
SHORT = ("--examples=1000", "--validation_size=72", "--batch_size=32", "--epochs=3", "--levels=3")
SHORT += ("--execution=graph", "--learning_rate=0.01")
Done = tuple[pathlib.Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run("softfloor", *SHORT, f"--experiment_dir={folder}")


def only(folder: pathlib.Path, pattern: str = "softfloor-*") -> pathlib.Path:
    (directory,) = folder.glob(pattern)
    return directory


@pytest.mark.slow
def test_it_compares_the_ways_to_round(done: Done) -> None:
    folder, process = done
    assert (process.returncode, process.stderr) == (0, "")
    assert "straight through" in process.stdout and "Not rounded" in process.stdout
    found = json.loads((only(folder) / "results.json").read_text())
    accuracies = found["test_accuracy"]
    assert list(accuracies["softfloor"]) == list(accuracies["straight_through"]) == ["3"]
    for each in (accuracies["none"], accuracies["softfloor"]["3"], accuracies["straight_through"]["3"]):
        assert 0.6 < each["mean"] < 1
    assert found["factors"] == pytest.approx([10, 10**-2.5, 1e-6])
    assert (only(folder) / "softfloor.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_factor_of_each_epoch_is_on_record(done: Done) -> None:
    training = only(only(done[0]), "softfloor_3-*")
    records = [json.loads(line) for line in (training / "metrics.jsonl").read_text().splitlines()]
    assert [record["factor"] for record in records] == pytest.approx([10, 10**-2.5, 1e-6])


@pytest.mark.slow
def test_a_finished_study_trains_nothing(done: Done) -> None:
    folder, _ = done
    assert "Not rounded" in shown_again("softfloor", folder, *SHORT)


@pytest.mark.slow
def test_one_level_is_refused(tmp_path: pathlib.Path) -> None:
    refused = run("softfloor", "--levels=2,1", f"--experiment_dir={tmp_path}")
    assert refused.returncode == 2
    assert refused.stderr == "error: levels (=1) must be at least 2.\n"


def test_a_single_epoch_has_the_first_factor() -> None:
    assert SoftfloorConfig(epochs=1).factor(0) == 10
    with pytest.raises(UsageError, match=r"^levels must hold at least one number"):
        SoftfloorConfig(levels=())
