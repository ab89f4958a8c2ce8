"""The experiment on staged networks, as a process on real data cut short, and interrupted between stages."""

import dataclasses
import pathlib
import subprocess
from collections.abc import Sequence

import pytest

from tests.drivers.processes import all_runs, only_run, read, records
from tests.experiments.processes import run, shown_again
from weirdonetworks.experiments.staged import study as staged
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.training.study import Study, Trained, Training

# Whole batches: a short one would be traced beside them.
SHORT = ("--network=Residual", "--stages=2", "--examples=500", "--batch_size=51", "--epochs=2", "--execution=graph")
CONFIG = staged.StagedConfig(
    network="ExpansionSerial", stages=2, examples=300, batch_size=55, epochs=1, execution="graph"
)
Done = tuple[pathlib.Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run("staged", *SHORT, f"--experiment_dir={folder}")


@pytest.mark.slow
def test_it_leaves_results_and_a_picture(finished: Done) -> None:
    folder, done = finished
    assert (done.returncode, done.stderr) == (0, "")
    assert "stage 2" in done.stdout and "at once" in done.stdout
    study = only_run(folder)
    (found,) = read(study / "results.json").values()
    assert len(found["stages"]) == 2
    assert found["parameters"] > max(found["trained"])
    assert found["at_once"]["mean"] == found["curves"]["at_once"][-1]
    assert (study / "staged.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_stages_and_the_network_at_once_have_as_many_epochs(finished: Done) -> None:
    study = only_run(finished[0])
    lengths = {directory.name.rsplit("-", 1)[0]: len(records(directory)) for directory in all_runs(study)}
    assert lengths == {"residual_stage_1": 2, "residual_stage_2": 2, "residual_at_once": 4}


@pytest.mark.slow
def test_a_finished_study_trains_nothing(finished: Done) -> None:
    folder, _ = finished
    shown_again("staged", folder, *SHORT)


@pytest.mark.slow
def test_bad_input_is_one_clear_line(tmp_path: pathlib.Path) -> None:
    done = run("staged", "--network=Serial", f"--experiment_dir={tmp_path}/runs")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "network (=Serial) must be one of all, ExpansionSerial" in done.stderr


@pytest.mark.slow
def test_interrupted_between_stages_and_resumed_equals_uninterrupted(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    experiment.main(CONFIG, RunOptions(experiment_dir=str(whole)))
    train = Study.trials

    def interrupted(self: Study, trainings: Sequence[Training]) -> list[Trained]:
        if trainings[0].name.endswith("stage_2"):
            raise KeyboardInterrupt
        return train(self, trainings)

    with monkeypatch.context() as patched:
        patched.setattr(Study, "trials", interrupted)
        with pytest.raises(KeyboardInterrupt):
            experiment.main(CONFIG, RunOptions(experiment_dir=str(cut)))
    (first,) = all_runs(only_run(cut))
    metrics = (first / "metrics.jsonl").read_bytes()
    experiment.main(CONFIG, RunOptions(experiment_dir=str(cut), resume=True))
    assert (first / "metrics.jsonl").read_bytes() == metrics  # Not trained again.
    assert read(only_run(cut) / "results.json") == read(only_run(whole) / "results.json")


@pytest.mark.slow
def test_trials_in_one_program_build_on_bases_of_their_own(tmp_path: pathlib.Path) -> None:
    losses: dict[str, dict[tuple[str, int], float]] = {}
    for backend in ("auto", "batched"):
        config = dataclasses.replace(CONFIG, network="Residual", num_trials=2, trials_backend=backend)
        experiment.main(config, RunOptions(experiment_dir=str(tmp_path / backend)))
        losses[backend] = {
            (run.name.rpartition("-")[0], read(run / "config.json")["random_seed"]): records(run)[-1]["test_avg_loss"]
            for run in all_runs(only_run(tmp_path / backend))
        }
    assert len(losses["auto"]) == len(set(losses["auto"].values())) == 2 * 3
    assert losses["batched"] == pytest.approx(losses["auto"], rel=1e-3)
