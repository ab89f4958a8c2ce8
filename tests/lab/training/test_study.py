"""Studies: finished once, gone on with where they were cut off, and the same in the end."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf
from matplotlib.figure import Figure

from weirdonetworks.lab import plots
from weirdonetworks.lab.config import RunOptions, StudyConfig
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training import objectives, state, study
from weirdonetworks.lab.training.hooks import Hook
from weirdonetworks.lab.training.trainer import Resident

NAMES = ("first", "second")
CONFIG = StudyConfig(epochs=2, batch_size=100, execution="graph")


def make() -> snt.Module:
    return snt.Sequential([snt.flatten, snt.Linear(10, name="linear_0")])


def draw(found: Mapping[str, Any]) -> Figure:
    figure, (axes,) = plots.row(1)
    plots.accuracy_by_epoch(axes, found["epochs"])
    return figure


class Before(Hook):
    """Calls a function before each epoch."""

    def __init__(self, function: Callable[[int], dict[str, Any]] | None):
        if function:
            self.before_epoch = function


class Costs(Hook):
    """Tells what epochs cost."""

    def __init__(self, costs: list[float]):
        self._costs = iter(costs)

    def after_epoch(self, record: Mapping[str, Any]) -> dict[str, float]:
        return {"peak_memory_gib": next(self._costs)}


def conduct(
    folder: pathlib.Path,
    digits: Dataset,
    splits: Mapping[str, Resident],
    config: StudyConfig = CONFIG,
    options: Mapping[str, Any] | None = None,
    **hooks: Callable[[int], dict[str, Any]],
) -> study.Study:
    """Conducts a study of two trainings, what is to be done before their epochs by the name of the hook."""
    called = [hooks.get("before_epoch"), hooks.get("second_before_epoch")]
    with study.open_study("invented", config, RunOptions(experiment_dir=str(folder), **(options or {}))) as opened:
        if not opened.is_finished:
            trained = [
                train(opened, digits, splits, config, name, hooks=lambda _, call=call: [Before(call)])
                for name, call in zip(NAMES, called, strict=True)
            ]
            spread = study.spread([each.final["test_accuracy"] for each in trained])
            opened.finish({"test_accuracy": spread, "epochs": trained[0].curves}, draw)
    return opened


def train(
    opened: study.Study,
    digits: Dataset,
    splits: Mapping[str, Resident],
    config: StudyConfig = CONFIG,
    name: str = "first",
    **options: Any,
) -> study.Trained:
    training = study.Training(name, make, lambda made: objective(made, digits), splits, config, **options)
    return opened.trials([training])[0]


def objective(network: Any, digits: Dataset) -> objectives.Objective:
    return objectives.classification(network, digits.standardisation)


def interrupt(at: int) -> Any:
    def before_epoch(epoch: int) -> dict[str, Any]:
        if epoch == at:
            raise KeyboardInterrupt
        return {}

    return before_epoch


def records(directory: pathlib.Path) -> dict[str, list[dict[str, Any]]]:
    """Training -> its lines without wall times."""
    found = {}
    for path in directory.glob("*/metrics.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        found[path.parent.name] = [{key: line[key] for key in line if key != "wallclock_time"} for line in lines]
    return found


def files_of(directory: pathlib.Path) -> dict[pathlib.Path, int]:
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}


def status(directory: pathlib.Path) -> str:
    return json.loads((directory / "status.json").read_text())["status"]


@pytest.fixture(scope="module")
def whole(digits: Dataset, splits: dict[str, Resident], tmp_path_factory: pytest.TempPathFactory) -> study.Study:
    return conduct(tmp_path_factory.mktemp("whole"), digits, splits)


@pytest.mark.slow
def test_a_finished_study_leaves_results_picture_and_summaries(whole: study.Study) -> None:
    assert not whole.is_finished  # It was not when it was opened.
    assert status(whole.directory) == "finished"
    assert (whole.directory / "invented.png").read_bytes().startswith(b"\x89PNG")
    lines = records(whole.directory)
    assert sorted(name.partition("-")[0] for name in lines) == sorted(NAMES)
    first = next(value for name, value in lines.items() if name.startswith("first"))
    assert whole.results["epochs"] == first
    accuracies = [first[-1]["test_accuracy"]] * 2
    assert whole.results["test_accuracy"]["values"] == accuracies and accuracies[0] > 0.5
    summary = json.loads((whole.directory.parent / "summary.json").read_text())
    assert summary[whole.directory.name]["test_accuracy/mean"] == pytest.approx(accuracies[0])
    assert summary[whole.directory.name]["study"] == "invented"
    inside = json.loads((whole.directory / "summary.json").read_text())
    assert set(inside) == set(lines)
    assert {record["parameters"] for record in inside.values()} == {7850}
    for name, record in inside.items():
        assert record["final/test_accuracy"] == lines[name][-1]["test_accuracy"]
    assert all(status(whole.directory / name) == "finished" for name in lines)


def test_trainings_of_one_network_and_seed_are_the_same(whole: study.Study) -> None:
    first, second = records(whole.directory).values()
    assert first == second and len(first) == CONFIG.epochs


@pytest.mark.slow
def test_another_seed_is_another_training(
    whole: study.Study, digits: Dataset, splits: dict[str, Resident], tmp_path: pathlib.Path
) -> None:
    other = conduct(tmp_path, digits, splits, dataclasses.replace(CONFIG, random_seed=43))
    assert other.results["epochs"][0]["train_avg_loss"] != whole.results["epochs"][0]["train_avg_loss"]


def test_a_finished_study_trains_nothing(
    digits: Dataset,
    splits: dict[str, Resident],
    whole: study.Study,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = files_of(whole.directory)
    monkeypatch.setattr(study.Study, "trials", lambda *arguments, **options: pytest.fail("trained"))
    again = conduct(whole.directory.parent, digits, splits)
    assert again.is_finished and again.results == whole.results
    assert files_of(whole.directory) == before
    said = capsys.readouterr().out
    assert "finished before; nothing was trained (--overwrite starts again)" in said and str(whole.directory) in said


@pytest.mark.slow
def test_a_study_killed_between_trainings_goes_on_with_the_second(
    digits: Dataset, splits: dict[str, Resident], whole: study.Study, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        conduct(tmp_path, digits, splits, second_before_epoch=interrupt(0))
    (directory,) = tmp_path.glob("invented-*")
    assert status(directory) == "interrupted"
    (done,) = directory.glob("*/metrics.jsonl")  # The second had no record, so nothing of it is kept.
    before = files_of(done.parent)
    with pytest.raises(UsageError, match=r"is unfinished .* Pass --resume or --overwrite"):
        conduct(tmp_path, digits, splits)

    def refuse(epoch: int) -> dict[str, Any]:
        pytest.fail("trained again")

    resumed = conduct(tmp_path, digits, splits, options={"resume": True}, before_epoch=refuse)
    assert resumed.results == whole.results
    assert records(directory) == records(whole.directory)
    kept = files_of(done.parent)
    assert {path: kept[path] for path in before if path.name != "metrics.jsonl"} == {
        path: before[path] for path in before if path.name != "metrics.jsonl"
    }


@pytest.mark.slow
@pytest.mark.parametrize("training", ["", "second_"])
def test_a_study_stopped_within_a_training_goes_on_there(
    training: str, digits: Dataset, splits: dict[str, Resident], whole: study.Study, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        conduct(tmp_path, digits, splits, **{f"{training}before_epoch": interrupt(1)})
    (directory,) = tmp_path.glob("invented-*")
    assert status(directory) == "interrupted"
    assert [len(lines) for lines in records(directory).values()].count(1) == 1
    epochs: list[int] = []

    def note(epoch: int) -> dict[str, Any]:
        epochs.append(epoch)
        return {}

    resumed = conduct(tmp_path, digits, splits, options={"resume": True}, **{f"{training}before_epoch": note})
    assert epochs == [1]
    assert resumed.results == whole.results
    assert records(directory) == records(whole.directory)


def test_a_study_stopped_before_its_first_record_leaves_nothing(
    digits: Dataset, splits: dict[str, Resident], tmp_path: pathlib.Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        conduct(tmp_path, digits, splits, before_epoch=interrupt(0))
    assert not list(tmp_path.glob("invented-*"))


def test_a_network_that_was_trained_before_comes_with_its_weights(
    digits: Dataset, splits: dict[str, Resident], whole: study.Study
) -> None:
    with study.open_study("invented", CONFIG, RunOptions(experiment_dir=str(whole.directory.parent))) as opened:
        trained = train(opened, digits, splits)
    assert trained.trainer.evaluate(splits["test"])["accuracy"] == trained.final["test_accuracy"]
    assert trained.parameters == 7850 and trained.curves == whole.results["epochs"]
    assert trained.seconds == sum(record["wallclock_time"] for record in trained.records) > 0
    assert trained.directory.parent == whole.directory


def test_what_an_epoch_cost_is_in_its_record_and_not_in_the_curves(
    digits: Dataset, splits: dict[str, Resident], tmp_path: pathlib.Path
) -> None:
    with study.open_study("invented", CONFIG, RunOptions(experiment_dir=str(tmp_path))) as opened:
        trained = train(opened, digits, splits, hooks=lambda _: [Costs([3.5, 2.5])])
        again = train(opened, digits, splits)
        opened.finish({})
    for each in (trained, again):
        assert [record["peak_memory_gib"] for record in each.records] == [3.5, 2.5]
        assert not any("peak_memory_gib" in record for record in each.curves)


@pytest.mark.slow
def test_without_json_there_is_no_summary_and_no_picture(
    digits: Dataset, splits: dict[str, Resident], tmp_path: pathlib.Path
) -> None:
    config = dataclasses.replace(CONFIG, epochs=1)
    done = conduct(tmp_path, digits, splits, config, options={"dump_json": False})
    assert not list(tmp_path.rglob("summary.json")) and not list(tmp_path.rglob("*.png"))
    assert status(done.directory) == "finished" and done.results["epochs"]


def test_spread_is_mean_and_deviation_of_the_sample() -> None:
    values = [0.5, 0.7, 0.9]
    found = study.spread(values)
    assert found["mean"] == pytest.approx(0.7) and found["deviation"] == pytest.approx(0.2)
    assert found["values"] == values
    assert study.spread(np.array([0.25], np.float32)) == {"mean": 0.25, "deviation": None, "values": [0.25]}


@pytest.mark.parametrize(("values", "written"), [([0.97, 0.99], "98.00% (1.41%)"), ([0.975], "97.50%")])
def test_percent_names_the_deviation_where_there_is_one(values: list[float], written: str) -> None:
    assert study.percent(study.spread(values)) == written


def test_parameters_are_those_that_are_trained() -> None:
    network = make()
    network(tf.zeros([1, 3, 1, 1]))
    network.frozen = tf.Variable(tf.zeros([5]), trainable=False)
    assert state.count_parameters(network) == 3 * 10 + 10
