"""The prune driver as a process, on real data cut short."""

import json
import pathlib
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pytest

from tests.drivers.processes import only_run, records, run, start
from weight_symmetry.run.prune_config import PruneConfig
from weirdonetworks.lab.errors import UsageError

SHORT = ("--examples=1200", "--validation_size=200", "--epochs=4", "--features=20,10", "--update_iterations=3")
WHOLE = "--batch_size=100"  # Without a short batch, which would be compiled beside the others.


def read_events(directory: pathlib.Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    events.Reload()
    return {
        tag: {event.step: make_ndarray(event.tensor_proto).item() for event in events.Tensors(tag)}
        for tag in events.Tags()["tensors"]
    }


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run("prune", "--sparsity=0.9", *SHORT, f"--experiment_dir={folder}")


@pytest.mark.slow
def test_prune_says_what_it_found(pruned: tuple[pathlib.Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = pruned
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "joint, living" in done.stdout
    assert "90.0" in done.stdout
    assert str(only_run(folder)) in done.stdout


@pytest.mark.slow
def test_prune_leaves_what_pandas_reads(pruned: tuple[pathlib.Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = pruned
    directory = only_run(folder)
    epochs = pd.read_json(directory / "metrics.jsonl", lines=True)
    assert epochs["epoch"].tolist() == [1, 2, 3, 4]
    assert epochs["step"].tolist() == [8, 16, 24, 32]  # 1,000 images in batches of 128, the short one counted
    assert epochs["masked_test_accuracy"].notna().tolist() == [False, False, True, False]
    assert epochs["full_train_accuracy"].notna().tolist() == [False, False, False, True]
    summary = pd.read_json(folder / "summary.json", orient="index")
    assert summary.index.tolist() == [directory.name]
    row = summary.iloc[0]
    cut = round(0.9 * 784 * 20) + round(0.9 * 20 * 10) + round(0.9 * 10 * 10)
    assert row["mask/sparsity"] == pytest.approx(cut / (784 * 20 + 20 * 10 + 10 * 10))
    assert row["final/test_accuracy"] == epochs["test_accuracy"].iloc[-1]
    assert row["best_validation_accuracy/validation_accuracy"] == epochs["validation_accuracy"][2:].max()
    assert row["best_validation_accuracy/epoch"] > 2  # chosen among the epochs with the final masks
    config = json.loads((directory / "config.json").read_text())
    assert (config["sparsity"], config["random_seed"], config["driver"]) == (0.9, 42, "prune")
    statistics = json.loads((directory / "mask_stats.json").read_text())
    assert [layer["total_neurons"] for layer in statistics["layers"]] == [20, 10, 10]
    assert json.loads((directory / "status.json").read_text()) == {"status": "finished", "epoch": 4}
    assert (directory / "training.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_prune_leaves_what_tensorboard_reads(pruned: tuple[pathlib.Path, subprocess.CompletedProcess[str]]) -> None:
    directory = only_run(pruned[0])
    events = read_events(directory)
    lines = records(directory)
    for key in ("train_avg_loss", "test_accuracy", "lr", "cumulative_gradient_norm", "mask/sparsity"):
        written = events[f"training/{key}"]
        assert list(written) == [line["step"] for line in lines]
        np.testing.assert_allclose(list(written.values()), [line[key] for line in lines], rtol=1e-6)
    assert list(events["training/train_batch_loss"]) == list(range(3, 33, 3))
    best = json.loads((directory / "best_metrics.json").read_text())
    assert list(events["best_train_loss/test_accuracy"].values()) == pytest.approx(
        [best["best_train_loss"]["test_accuracy"]]
    )


@pytest.mark.slow
def test_saved_model_is_exactly_zero_where_pruned(
    pruned: tuple[pathlib.Path, subprocess.CompletedProcess[str]],
) -> None:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(only_run(pruned[0]) / "checkpoints"))
    for index, shape in enumerate([(784, 20), (20, 10), (10, 10)]):
        weight = reader.get_tensor(f"state/network/layers/{index}/w/.ATTRIBUTES/VARIABLE_VALUE")
        mask = reader.get_tensor(f"state/optimizer/masks/_masks/{index}/.ATTRIBUTES/VARIABLE_VALUE")
        assert weight.shape == shape
        assert (mask == 0).sum() == round(0.9 * mask.size)
        assert (weight[mask == 0] == 0).all()
        assert (weight[mask == 1] != 0).any()


@pytest.mark.slow
def test_a_finished_run_is_left_alone(pruned: tuple[pathlib.Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = pruned
    before = {path: path.stat().st_mtime_ns for path in only_run(folder).rglob("*") if path.is_file()}
    again = run("prune", "--pruning_rate=0.9", *SHORT, f"--experiment_dir={folder}")
    assert again.returncode == 0
    assert "finished before" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in only_run(folder).rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path: pathlib.Path) -> None:
    flags = (*SHORT[:-2], WHOLE, "--features=30", "--epochs=40", "--pruning_schedule=[(3, 0.5), (30, 0.8)]")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run("prune", *flags, f"--experiment_dir={whole}").returncode == 0
    child = start("prune", *flags, f"--experiment_dir={cut}")
    deadline = time.monotonic() + 120
    while not list(cut.glob("*/checkpoints/checkpoint")) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send(signal.SIGINT)
    ended = child.end()
    directory = only_run(cut)
    finished = len(records(directory))
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr == "error: interrupted. Finished epochs are on disk; --resume goes on from them.\n"
    assert 0 < finished < 40
    assert json.loads((directory / "status.json").read_text())["status"] == "interrupted"
    unasked = run("prune", *flags, f"--experiment_dir={cut}")
    assert (unasked.returncode, len(records(directory))) == (2, finished)
    assert "--resume or --overwrite" in unasked.stderr
    changed = run("prune", *flags, "--lr=0.01", "--resume", f"--experiment_dir={cut}")
    assert changed.returncode == 2
    assert "--learning_rate was 0.002, is 0.01" in changed.stderr
    assert run("prune", *flags, "--resume", f"--experiment_dir={cut}").returncode == 0
    assert records(directory) == records(only_run(whole))
    assert (directory / "mask_stats.json").read_bytes() == (only_run(whole) / "mask_stats.json").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "status", "message"),
    [
        ("--sparsity=1.2", 2, "sparsity (=1.2) must be in [0, 1]."),
        ("--sparsity=1", 2, "sparsity (=1.0) must be below 1, since 1 leaves no weight to train; --pruning_schedule="),
        ("--model=VGG", 2, "model (=VGG) must be one of MNIST_FC, MNIST_CNN, CIFAR10_CNN, or package.module:function"),
        ("--pruning_schedule=[(3, 0.5), (2, 0.6)]", 2, "must rise"),
        ("--pruning_schedule=[(3, 0.5", 2, "must be a list"),
        ("--pruning_schedule={'9': [(1, 0.5)]}", 2, "layer 9 must be in [0, 3)"),
        ("--masked_layer_indices=3", 2, "layer 3 must be in [0, 3)"),
        ("--nonsense=1", 2, "Unknown command line flag"),
        ("--dataset=no_such_data", 2, "dataset (=no_such_data) must be"),
        ("--batch_size=100000", 2, "batch_size (=100000) must be in [1, 1000]"),
        ("--experiment_dir=/dev/null/runs", 1, "experiment_dir (=/dev/null/runs) cannot be written"),
    ],
)
def test_bad_input_is_one_clear_line(flag: str, status: int, message: str, tmp_path: pathlib.Path) -> None:
    done = run("prune", *SHORT, f"--experiment_dir={tmp_path}/runs", flag)
    assert done.returncode == status
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("metrics.jsonl"))


@pytest.mark.slow
def test_pruning_before_any_training_is_told(tmp_path: pathlib.Path) -> None:
    short = ("--examples=400", "--validation_size=100", "--epochs=1", "--features=8", WHOLE, "--execution=graph")
    done = run("prune", *short, f"--experiment_dir={tmp_path / 'once'}")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: epochs (=1) prunes before any training: raise --epochs")
    assert done.stderr.count("\n") == 1
    asked = run("prune", *short, "--pruning_schedule=[(0, 0.9)]", f"--experiment_dir={tmp_path / 'asked'}")
    assert (asked.returncode, asked.stderr) == (0, "")


@pytest.mark.slow
def test_damaged_archive_is_one_clear_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / "cifar-10-binary-cut.tar.gz").write_bytes(b"\x1f\x8b\x08\x00 not an archive")
    done = run(
        "prune",
        "--dataset=CIFAR10",
        "--model=CIFAR10_CNN",
        f"--data_dir={tmp_path}",
        f"--experiment_dir={tmp_path}/runs",
    )
    assert done.returncode == 1
    assert "cifar-10-binary-cut.tar.gz is damaged" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["MNIST_CNN", "CIFAR10_CNN"])
def test_convolutional_models_prune(model: str, tmp_path: pathlib.Path) -> None:
    flags = ("--examples=300", "--validation_size=100", "--epochs=2", "--filters=4,6", "--pruning_scope=global", WHOLE)
    done = run(
        "prune",
        *flags,
        f"--model={model}",
        "--optimizer=Momentum",
        "--dropout_rate=0.2",
        f"--experiment_dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((only_run(tmp_path) / "config.json").read_text())["execution"] == "graph"
    summary = pd.read_json(tmp_path / "summary.json", orient="index")
    assert summary["mask/sparsity"].iloc[0] == pytest.approx(0.9, abs=1e-3)


def test_train_keeps_every_connection(tmp_path: pathlib.Path) -> None:
    done = run(
        "train",
        *SHORT,
        WHOLE,
        "--lr_schedule=stepped",
        "--lr_schedule_steps=[(2, 0.1)]",
        f"--experiment_dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    lines = records(only_run(tmp_path))
    assert {line["mask/sparsity"] for line in lines} == {0.0}
    assert [line["lr"] for line in lines] == pytest.approx([0.002, 0.002, 0.0002, 0.0002])
    assert lines[-1]["test_accuracy"] > lines[0]["test_accuracy"]


@pytest.mark.slow
def test_rewinding_trains_the_ticket_from_its_early_weights(tmp_path: pathlib.Path) -> None:
    flags = (
        *SHORT,
        WHOLE,
        "--execution=graph",
        "--epochs=6",
        "--pruning_schedule=[(3, 0.5)]",
        "--rewind_epoch=1",
        "--lr_schedule=cosine",
    )
    plain, again = tmp_path / "ticket", tmp_path / "reinit"
    assert run("prune", *flags, f"--experiment_dir={plain}").returncode == 0
    lines = records(only_run(plain))
    # The rate starts anew from the rewound epoch: that of epoch 2 stands at the ticket's first.
    assert [line["lr"] for line in lines[:3]] != [line["lr"] for line in lines[3:]]
    assert lines[3]["lr"] > lines[2]["lr"]
    assert run("prune", *flags, "--ablation=reinit", f"--experiment_dir={again}").returncode == 0
    other = records(only_run(again))
    assert other[:3] == lines[:3]
    assert other[3:] != lines[3:]
    assert other[3]["mask/sparsity"] == lines[3]["mask/sparsity"]
    carried = tmp_path / "aligned"
    assert run("prune", *flags, "--ablation=aligned", f"--experiment_dir={carried}").returncode == 0
    other = records(only_run(carried))
    assert other[:3] == lines[:3]
    assert other[3]["mask/sparsity"] == lines[3]["mask/sparsity"] and other[3]["ablation/weights_changed"] > 0


@pytest.mark.slow
def test_a_control_without_a_ticket_is_refused(tmp_path: pathlib.Path) -> None:
    done = run("prune", *SHORT, "--ablation=reinit", f"--experiment_dir={tmp_path}")
    assert done.returncode == 2
    assert "ablation (=reinit) must come with --rewind_epoch=0" in done.stderr


def test_a_mask_is_carried_over_once() -> None:
    with pytest.raises(UsageError, match=r"^ablation \(=aligned\) must come with one pruning, and the schedule has 2"):
        PruneConfig(epochs=5, rewind_epoch=0, ablation="aligned", pruning_schedule="[(1, 0.5), (2, 0.9)]")
