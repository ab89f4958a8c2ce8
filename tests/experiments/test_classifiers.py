"""The experiments that train one classifier, as processes on real data cut short."""

import pathlib
import subprocess

import pytest

from tests.drivers.processes import all_runs, only_run, read, records
from tests.experiments.processes import run, shown_again

# Whole batches: a short one would be traced beside them.
SHORT = {
    "lenet": ("--examples=500", "--batch_size=51", "--epochs=2", "--num_trials=2", "--execution=graph"),
    "convolution": ("--examples=300", "--batch_size=55", "--epochs=1", "--num_trials=1"),
}
PARAMETERS = {"lenet": 61_706, "convolution": 1_199_882}
Done = tuple[str, pathlib.Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", params=SHORT)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("runs")
    return request.param, folder, run(request.param, *SHORT[request.param], f"--experiment_dir={folder}")


@pytest.mark.slow
def test_it_says_what_it_found(finished: Done) -> None:
    name, folder, done = finished
    assert (done.returncode, done.stderr) == (0, "")
    study = only_run(folder)
    found = read(study / "results.json")
    assert found["parameters"] == PARAMETERS[name] and f"{PARAMETERS[name]:,}" in done.stdout
    assert f"{found['test_accuracy']['mean']:.2%}" in done.stdout and str(study) in done.stdout


@pytest.mark.slow
def test_results_are_those_of_the_trainings(finished: Done) -> None:
    name, folder, _ = finished
    study = only_run(folder)
    found = read(study / "results.json")
    trainings = [records(directory) for directory in all_runs(study)]
    accuracies = [lines[-1]["test_accuracy"] for lines in trainings]
    assert sorted(found["test_accuracy"]["values"]) == sorted(accuracies)
    assert found["epochs"] in trainings and all(accuracy > 0.15 for accuracy in accuracies)
    assert len(accuracies) == (2 if name == "lenet" else 1)
    assert list(study.glob("*/events.out.*"))
    assert (study / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_finished_study_trains_nothing(finished: Done) -> None:
    name, folder, _ = finished
    shown_again(name, folder, *SHORT[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_bad_input_is_one_clear_line(name: str, tmp_path: pathlib.Path) -> None:
    done = run(name, "--num_trials=0", f"--experiment_dir={tmp_path}/runs")
    assert (done.returncode, done.stderr) == (2, "error: num_trials (=0) must be at least 1.\n")
    assert not list(tmp_path.iterdir())
