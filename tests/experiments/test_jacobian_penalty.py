"""The experiment on the Jacobian penalty, as a process on real data cut short."""

import pathlib

import pytest

from tests.drivers.processes import all_runs, only_run, read, records
from tests.experiments.processes import run


@pytest.mark.slow
def test_the_study_leaves_results_a_picture_and_its_trainings(tmp_path: pathlib.Path) -> None:
    short = ("--examples=300", "--batch_size=55", "--epochs=1", "--shrink=4", "--width=8", "--examined=40")
    short += ("--execution=graph",)
    done = run("jacobian_penalty", *short, "--strengths=10", f"--experiment_dir={tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    directory = only_run(tmp_path)
    assert (directory / "jacobian_penalty.png").read_bytes().startswith(b"\x89PNG")
    networks = read(directory / "results.json")["networks"]
    assert list(networks) == ["upright", "upright, penalty 10", "turned", "turned, penalty 10"]
    assert all(name in done.stdout for name in networks)
    for each in networks.values():
        assert len(each["lie_derivative"]) == 6 and len(each["accuracy_by_angle"]) == 24
        assert all(0 <= accuracy["mean"] <= 1 for accuracy in each["accuracy"].values())
        assert min(figure["mean"] for kind in ("variance", "lie_derivative") for figure in each[kind].values()) > 0
    assert len(all_runs(directory)) == 4
    for training in all_runs(directory):
        (record,) = records(training)
        assert ("test_penalty" in record) == ("penalty" in training.name)
        assert "test_penalty" not in record or record["train_avg_loss"] > 10 * record["train_penalty"]


@pytest.mark.slow
def test_bad_input_is_one_line(tmp_path: pathlib.Path) -> None:
    done = run("jacobian_penalty", "--strengths=-1", f"--experiment_dir={tmp_path}")
    assert done.returncode == 2 and "strengths (=-1.0) must be at least 0" in done.stderr
    assert done.stderr.count("\n") == 1 and not all_runs(tmp_path)
