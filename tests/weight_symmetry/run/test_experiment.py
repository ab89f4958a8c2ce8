"""The pipeline of the drivers, on real digits: what a run leaves, and that its result depends on its flags alone."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from weight_symmetry import prune as driver, symmetry, train
from weight_symmetry.run import experiment
from weight_symmetry.run.config import ModelConfig, TrialOptions
from weight_symmetry.run.prune_config import PruneConfig
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.records.tables import counted

SHORT: dict[str, Any] = {
    "examples": 600,
    "validation_size": 100,
    "epochs": 4,
    "features": (12, 8),
    "batch_size": 20,  # Whole batches: a short one would be traced beside them.
    "execution": "graph",
}
pytestmark = pytest.mark.usefixtures("undrawn")
SHAPES = [(784, 12), (12, 8), (8, 10)]
SIZES = [784 * 12, 12 * 8, 8 * 10]
CONFIG = PruneConfig(**SHORT, sparsity=0.8, random_seed=3)  # A seed with which pruning costs much.


def interrupted(at: int) -> Any:
    """Makes updaters that are interrupted when they are asked for masks after so many epochs."""

    def make(config: PruneConfig, model: Any) -> Any:
        updater = driver.updater(config, model)
        update = updater.update

        def stopping(epoch: int) -> bool:
            if epoch == at:
                raise KeyboardInterrupt
            return update(epoch)

        updater.update = stopping
        return updater

    return make


def prune(folder: pathlib.Path, config: PruneConfig = CONFIG, **options: Any) -> Run:
    """Trains and prunes to the end."""
    (run,) = experiment.run("prune", config, TrialOptions(experiment_dir=str(folder), **options), driver.updater)
    return run


def interrupt(folder: pathlib.Path, at: int, config: PruneConfig = CONFIG) -> pathlib.Path:
    """Leaves a run that was interrupted after so many epochs."""
    options = TrialOptions(experiment_dir=str(folder))
    with pytest.raises(KeyboardInterrupt):
        experiment.run("prune", config, options, interrupted(at))
    (directory,) = folder.glob("prune-*")
    return directory


def read(path: pathlib.Path) -> Any:
    return json.loads(path.read_text())


def lines(directory: pathlib.Path) -> list[dict[str, Any]]:
    """The run's records without the wall times."""
    records = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "wallclock_time"} for record in records]


def layers(directory: pathlib.Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight and mask of each layer in a run's checkpoint."""
    reader = tf.train.load_checkpoint(str(directory / "checkpoints"))
    stems = "state/network/layers/{}/w", "state/optimizer/masks/_masks/{}"
    return [
        tuple(reader.get_tensor(f"{stem.format(index)}/.ATTRIBUTES/VARIABLE_VALUE") for stem in stems)
        for index in range(3)
    ]


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run from start to end."""
    return prune(tmp_path_factory.mktemp("runs"))


@pytest.mark.slow
def test_a_run_leaves_its_records(whole: Run) -> None:
    folder = whole.directory
    names = {path.name for path in folder.iterdir() if not path.name.startswith("events.out")}
    assert {"config.json", "status.json", "metrics.jsonl", "checkpoints", "training.png"} <= names
    assert {"mask_stats.json", "best_metrics.json"} <= names
    assert read(folder / "status.json") == {"status": "finished", "epoch": 4}
    config = read(folder / "config.json")
    assert (config["driver"], config["sparsity"], config["features"], config["execution"]) == (
        "prune",
        0.8,
        [12, 8],
        "graph",
    )
    records = lines(folder)
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    assert [record["step"] for record in records] == [25, 50, 75, 100]
    assert ["masked_test_accuracy" in record for record in records] == [False, False, True, False]
    cut = sum(round(0.8 * size) for size in SIZES) / sum(SIZES)
    assert [record["mask/sparsity"] for record in records] == pytest.approx([0, 0, cut, cut])


def test_exactly_the_asked_for_weights_are_zero_in_the_saved_model(whole: Run) -> None:
    for (weight, mask), shape in zip(layers(whole.directory), SHAPES, strict=True):
        assert weight.shape == mask.shape == shape
        assert (mask == 0).sum() == round(0.8 * mask.size)
        assert (weight[mask == 0] == 0).all()
        assert (weight[mask == 1] != 0).mean() > 0.99
    statistics = read(whole.directory / "mask_stats.json")
    assert [layer["sparsity"] for layer in statistics["layers"]] == [
        pytest.approx(round(0.8 * size) / size) for size in SIZES
    ]


def test_the_summary_names_what_each_best_was_chosen_by(whole: Run) -> None:
    row = read(whole.directory.parent / "summary.json")[whole.id]
    records = lines(whole.directory)
    pruned = records[2:]  # The best are sought among the epochs with the final masks.
    for name, key, best in (
        ("best_train_loss", "train_avg_loss", min),
        ("best_validation_accuracy", "validation_accuracy", max),
        ("best_test_acc", "test_accuracy", max),
    ):
        chosen = next(record for record in pruned if record[key] == best(record[key] for record in pruned))
        assert {key.split("/", 1)[1]: value for key, value in row.items() if key.startswith(f"{name}/")} == chosen
    assert row["final/test_accuracy"] == records[-1]["test_accuracy"]
    assert row["mask/sparsity"] == records[-1]["mask/sparsity"]
    assert row["sparsity"] == 0.8 and row["driver"] == "prune"
    assert not any(isinstance(value, list | dict) for key, value in row.items() if "/" in key)


def test_training_recovers_what_pruning_cost(whole: Run) -> None:
    first, before, pruned, last = lines(whole.directory)
    clear = 0.03  # Of 0.05 to 0.21, so that the rounding of another processor changes no answer.
    assert before["test_accuracy"] > first["test_accuracy"] + clear
    assert pruned["masked_test_accuracy"] < before["test_accuracy"] - clear
    assert last["test_accuracy"] > pruned["masked_test_accuracy"] + clear


@pytest.mark.slow
def test_a_network_without_weights_guesses_one_class(tmp_path: pathlib.Path, mnist: Dataset) -> None:
    config = dataclasses.replace(CONFIG, epochs=1, pruning_schedule="[(0, 1.0)]")
    (record,) = lines(prune(tmp_path, config).directory)
    shares = np.bincount(mnist.test.labels[:600], minlength=10) / 600
    assert min(abs(shares - record["masked_test_accuracy"])) < 1e-6
    assert min(abs(shares - record["test_accuracy"])) < 1e-6
    assert record["mask/sparsity"] == 1


def test_a_finished_run_is_left_alone(whole: Run) -> None:
    before = contents(whole.directory.parent)
    for resume in (False, True):
        again = prune(whole.directory.parent, resume=resume)
        assert again.id == whole.id and again.is_finished and len(again.records) == 4
    assert contents(whole.directory.parent) == before


@pytest.mark.slow
@pytest.mark.parametrize("at", [2, 3], ids=["before pruning", "after pruning"])
def test_an_interrupted_run_ends_like_a_whole_one(at: int, whole: Run, tmp_path: pathlib.Path) -> None:
    directory = interrupt(tmp_path, at)
    assert read(directory / "status.json") == {"status": "interrupted", "epoch": at}
    assert lines(directory) == lines(whole.directory)[:at]
    with pytest.raises(UsageError, match=rf"unfinished \({counted(at, 'epoch')}\)"):
        prune(tmp_path)
    assert lines(prune(tmp_path, resume=True).directory) == lines(whole.directory)
    for (weight, mask), (other_weight, other_mask) in zip(layers(directory), layers(whole.directory), strict=True):
        assert weight.tobytes() == other_weight.tobytes() and mask.tobytes() == other_mask.tobytes()
    assert read(directory / "mask_stats.json") == read(whole.directory / "mask_stats.json")


@pytest.mark.slow
def test_resuming_with_other_flags_touches_nothing(tmp_path: pathlib.Path) -> None:
    interrupt(tmp_path, 1)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=r"--learning_rate was 0\.002, is 0\.01"):
        prune(tmp_path, dataclasses.replace(CONFIG, learning_rate=0.01), resume=True)
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_overwriting_gives_the_same_again(whole: Run, tmp_path: pathlib.Path) -> None:
    directory = interrupt(tmp_path, 1)
    (directory / "left_over").touch()
    again = prune(tmp_path, overwrite=True)
    assert lines(again.directory) == lines(whole.directory)
    assert not (directory / "left_over").exists()


@pytest.mark.slow
def test_another_seed_is_another_run(whole: Run, tmp_path: pathlib.Path) -> None:
    other = prune(tmp_path, dataclasses.replace(CONFIG, epochs=1, random_seed=43))
    assert other.id != whole.id
    assert lines(other.directory)[0]["train_avg_loss"] != lines(whole.directory)[0]["train_avg_loss"]


@pytest.mark.parametrize(
    ("options", "cut"),
    [
        ({"masked_layer_indices": (1, 2), "sparsity": 0.5}, [0, 48, 40]),
        ({"pruning_schedule": "{'1': [(0, 0.25), (1, 0.75)]}"}, [0, 72, 0]),
        ({"pruning_scope": "global", "sparsity": 0.5}, round(0.5 * sum(SIZES))),
        ({"optimizer": "Momentum", "weight_decay": 0.001, "sparsity": 0.9}, [8467, 86, 72]),
    ],
    ids=["some layers", "one layer in steps", "global", "Momentum"],
)
@pytest.mark.slow
def test_the_flags_say_what_is_cut(options: dict[str, Any], cut: Any, tmp_path: pathlib.Path) -> None:
    run = prune(tmp_path, PruneConfig(**{**SHORT, "epochs": 2, **options}))
    zeros = []
    for weight, mask in layers(run.directory):
        zeros.append(int((mask == 0).sum()))
        assert (weight[mask == 0] == 0).all()
    assert (sum(zeros) if isinstance(cut, int) else zeros) == cut


@pytest.mark.slow
def test_a_dense_run_keeps_everything(tmp_path: pathlib.Path) -> None:
    (run,) = experiment.run(
        "train",
        ModelConfig(**{**SHORT, "epochs": 1}),
        TrialOptions(experiment_dir=str(tmp_path)),
        train.updater,
    )
    assert run.id.startswith("train-")
    assert all((mask == 1).all() for _, mask in layers(run.directory))
    (record,) = lines(run.directory)
    assert record["mask/sparsity"] == 0 and "masked_test_accuracy" not in record


@pytest.mark.slow
def test_without_json_the_records_are_the_metrics(tmp_path: pathlib.Path) -> None:
    run = prune(tmp_path, dataclasses.replace(CONFIG, epochs=1), dump_json=False)
    assert run.is_finished and len(lines(run.directory)) == 1
    assert {path.name for path in run.directory.glob("*.json")} == {"config.json", "status.json"}
    assert not (run.directory / "training.png").exists()
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 501}, r"batch_size \(=501\) must be in \[1, 500\]"),
        ({"validation_size": 600}, r"validation_size \(=600\) must be in \[0, 600\)"),
        ({"dataset": "no_such_data"}, r"dataset \(=no_such_data\) must be"),
        ({"lr_schedule": "stepped", "lr_schedule_steps": "[(3"}, r"lr_schedule_steps \(=\[\(3\) must be a list"),
        ({"lr_schedule": "stepped", "lr_schedule_steps": "[(3, 1), (2, 1)]"}, "must be a rising list"),
    ],
)
@pytest.mark.exhaustive
def test_an_impossible_run_leaves_no_trace(options: dict[str, Any], message: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError, match=message):
        prune(tmp_path / "runs", PruneConfig(**{**SHORT, **options}))
    assert not list(tmp_path.rglob("*.json*")) and not list(tmp_path.rglob("events*"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=rf"experiment_dir \(={tmp_path}/file\) cannot be written"):
        prune(tmp_path / "file")


@pytest.mark.slow
def test_a_run_on_the_users_own_data_is_another_when_they_change(tmp_path: pathlib.Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "mine.npz"
    images, labels = rng.integers(0, 256, (60, 5, 4, 3), dtype=np.uint8), np.arange(60) % 3

    def run() -> Run:
        np.savez(path, images=images, labels=labels)
        config = PruneConfig(dataset=str(path), epochs=1, batch_size=20, features=(6,), validation_size=8)
        return prune(tmp_path / "runs", config)

    first, again = run(), run()
    labels[3] = 1
    other = run()
    assert first.id == again.id != other.id and again.found_finished and not other.found_finished
    recorded = json.loads((other.directory / "config.json").read_text())["dataset"]
    assert recorded == PruneConfig(dataset=str(path)).resolved().dataset and recorded.startswith(f"{path}#")


@pytest.mark.slow
def test_the_group_of_each_mask_is_computed_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    computed = symmetry.automorphisms

    def counting(masks: Any, *rest: Any) -> Any:
        counts.append(sum(int(np.sum(mask)) for mask in masks))
        return computed(masks, *rest)

    monkeypatch.setattr(symmetry, "automorphisms", counting)
    prune(tmp_path, dataclasses.replace(CONFIG, epochs=2, validation_size=0))
    dense, propagated_dense, pruned, propagated = counts
    assert dense == propagated_dense == sum(SIZES) and pruned == sum(size - round(0.8 * size) for size in SIZES)
    assert propagated <= pruned
