"""Studies whose settings change, one trial more among them: no more is trained than what depends on the setting."""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import pytest
import sonnet as snt

from tests.lab.training.test_study import files_of, make, objective, records, status
from weirdonetworks.lab.config import RunOptions, StudyConfig, setting
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training import study
from weirdonetworks.lab.training.trainer import Resident


class Measured(StudyConfig):
    """A study whose results depend on a setting that its trainings do not depend on."""

    examined: int = setting(10, "What is measured on.", affects="measuring")
    width: int = setting(10, "What is trained.")


def linear(digits: Dataset, splits: Mapping[str, Resident], config: Measured) -> list[study.Training]:
    return [
        study.Training("linear", make, lambda made: objective(made, digits), splits, trial) for trial in config.trials()
    ]


def measured(folder: pathlib.Path, digits: Dataset, splits: Mapping[str, Resident], **options: Any) -> study.Study:
    config = Measured(**{"epochs": 2, "batch_size": 100, "execution": "graph"} | options)
    with study.open_study("measured", config, RunOptions(experiment_dir=str(folder))) as opened:
        if not opened.is_finished:
            trained = opened.trials(linear(digits, splits, config))
            opened.finish({"accuracies": [each.final["test_accuracy"] for each in trained], "on": config.examined})
    return opened


@pytest.fixture(scope="module")
def once(digits: Dataset, splits: dict[str, Resident], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("measured")
    measured(folder, digits, splits)
    return folder


def test_what_is_only_measured_otherwise_trains_nothing(
    once: pathlib.Path, digits: Dataset, splits: dict[str, Resident], capsys: pytest.CaptureFixture[str]
) -> None:
    (directory,) = once.glob("measured-*")
    before = {path: value for path, value in files_of(directory).items() if path.parent.name.startswith("linear")}
    again = measured(once, digits, splits, examined=11)
    assert again.directory == directory and not again.is_finished and again.results["on"] == 11
    assert {path: files_of(directory)[path] for path in before} == before
    said = capsys.readouterr().out
    assert "its trained networks are measured again, since --examined was 10, is 11." in said
    assert measured(once, digits, splits, examined=11).is_finished
    assert json.loads((directory / "config.json").read_text())["examined"] == 11
    assert measured(once, digits, splits).results["on"] == 10


@pytest.mark.parametrize("with_training", [False, True])
def test_a_measurement_that_fails_leaves_the_finished_study(
    with_training: bool, digits: Dataset, splits: dict[str, Resident], tmp_path: pathlib.Path
) -> None:
    options = RunOptions(experiment_dir=str(tmp_path))
    if with_training:
        measured(tmp_path, digits, splits)
    else:
        with study.open_study("measured", Measured(), options) as opened:
            opened.finish({"on": 10})
    (directory,) = tmp_path.glob("measured-*")
    before = files_of(directory)
    config = Measured(epochs=2, batch_size=100, execution="graph") if with_training else Measured()
    again = study.open_study("measured", dataclasses.replace(config, examined=11), options)
    with pytest.raises(UsageError, match="refused"), again:
        raise UsageError("refused")
    assert files_of(directory) == before


def test_one_trial_more_trains_that_one_alone(once: pathlib.Path, digits: Dataset, splits: dict[str, Resident]) -> None:
    (directory,) = once.glob("measured-*")
    (first,) = directory.glob("linear-*")
    before = files_of(first)
    two = measured(once, digits, splits, num_trials=2)
    assert two.directory == directory and len(two.results["accuracies"]) == 2
    assert files_of(first) == before and len(list(directory.glob("linear-*"))) == 2


class Listed(StudyConfig):
    """A study with a training for each entry of a list."""

    strengths: tuple[float, ...] = setting((0.5,), "What is trained.", affects="measuring")


def test_one_entry_more_of_a_list_trains_that_one_alone(digits: Dataset, tmp_path: pathlib.Path) -> None:
    def trained(*strengths: float) -> study.Study[Listed]:
        config = Listed(epochs=1, batch_size=100, execution="graph", strengths=strengths)
        with study.open_study("listed", config, RunOptions(experiment_dir=str(tmp_path))) as opened:
            # All of one name: the entry alone tells them apart.
            each = [opened.repeat("linear", make, digits, entry={"strength": strength}) for strength in strengths]
            opened.finish({"directories": [str(one.directory) for (one,) in each]})
        return opened

    (first,) = trained(0.5).results["directories"]
    before = files_of(pathlib.Path(first))
    same, other = trained(0.5, 0.7).results["directories"]
    assert same == first != other and files_of(pathlib.Path(first)) == before
    assert json.loads((pathlib.Path(other) / "config.json").read_text())["strength"] == 0.7


def test_another_width_is_another_study(once: pathlib.Path) -> None:
    ten, twelve = (Measured(width=width, examined=width) for width in (10, 12))
    assert ten.affecting("training") != twelve.affecting("training")
    assert Measured(num_trials=3, examined=5, trials_backend="threads").affecting("training") == ten.affecting(
        "training"
    )


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["threads", "batched"])
def test_trials_of_a_study_are_the_same_in_each_way(
    backend: str, digits: Dataset, splits: dict[str, Resident], tmp_path: pathlib.Path
) -> None:
    ways = {
        way: measured(tmp_path / way, digits, splits, num_trials=2, trials_backend=way) for way in ("auto", backend)
    }
    one, other = (
        sorted(records(each.directory).values(), key=lambda lines: lines[0]["train_avg_loss"]) for each in ways.values()
    )
    for ours, theirs in zip(one, other, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.keys() == b.keys()
            assert a == b if backend == "threads" else all(a[key] == pytest.approx(b[key], rel=1e-3) for key in a)


@pytest.mark.slow
def test_networks_trained_in_one_program_come_one_by_one(
    digits: Dataset, splits: dict[str, Resident], tmp_path: pathlib.Path
) -> None:
    config = Measured(epochs=1, batch_size=100, execution="graph", num_trials=2, trials_backend="batched")
    for _ in range(2):  # The second time they are restored.
        with study.open_study(
            "measured", config, RunOptions(experiment_dir=str(tmp_path), resume=True, start_missing=True)
        ) as opened:
            trained = opened.trials(linear(digits, splits, config))
        one, other = trained
        assert (one.network.variables[0].numpy() != other.network.variables[0].numpy()).any()
        for each in trained:
            accuracy = each.trainer.evaluate(splits["test"])["accuracy"]
            assert accuracy == pytest.approx(each.final["test_accuracy"], abs=1e-6)


def test_networks_that_differ_in_more_than_weights_are_not_one_program(
    digits: Dataset, splits: dict[str, Resident], tmp_path: pathlib.Path
) -> None:
    config = Measured(epochs=1, batch_size=100, execution="graph", num_trials=2, trials_backend="batched")

    def make_with(trial: Measured) -> snt.Module:
        return snt.Sequential([snt.flatten, lambda x: x * (trial.random_seed - 41.0), snt.Linear(10)])

    with (
        pytest.raises(UsageError, match=r"must have networks that differ in weights alone"),
        study.open_study("measured", config, RunOptions(experiment_dir=str(tmp_path))) as opened,
    ):
        opened.trials(
            [
                study.Training(
                    "linear", lambda trial=trial: make_with(trial), lambda made: objective(made, digits), splits, trial
                )
                for trial in config.trials()
            ]
        )


def test_trials_on_other_data_each_are_not_one_program(
    digits: Dataset, splits: dict[str, Resident], tmp_path: pathlib.Path
) -> None:
    config = Measured(epochs=1, batch_size=100, execution="graph", num_trials=2, trials_backend="batched")
    trials = linear(digits, splits, config)
    trials[1].data = dataclasses.replace(digits).residents
    with (
        pytest.raises(UsageError, match=r"must have trials on the same data, .*: pass --trials_backend=threads"),
        study.open_study("measured", config, RunOptions(experiment_dir=str(tmp_path))) as opened,
    ):
        opened.trials(trials)
    assert not list(tmp_path.glob("measured-*"))


def test_a_finished_training_without_its_weights_is_refused_and_kept(
    digits: Dataset, splits: dict[str, Resident], tmp_path: pathlib.Path
) -> None:
    done = measured(tmp_path, digits, splits)
    (training,) = done.directory.glob("linear-*")
    shutil.rmtree(training / "checkpoints")
    before = (training / "metrics.jsonl").read_bytes()
    with pytest.raises(
        OSError, match=r"checkpoints must hold the weights after epoch 2, and does not; the records are"
    ):
        measured(tmp_path, digits, splits, examined=11)
    assert (training / "metrics.jsonl").read_bytes() == before and status(training) == "finished"
