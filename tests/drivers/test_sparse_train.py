"""The driver that trains sparse from the start, on real data cut short."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest

from tests.drivers.processes import only_run, records, run
from weight_symmetry import sparse_train
from weight_symmetry.run import experiment
from weight_symmetry.run.config import TrialOptions
from weight_symmetry.run.sparse_config import SparseTrainConfig
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training.hooks import Hook

pytestmark = pytest.mark.usefixtures("undrawn")
# Eleven steps an epoch, so that masks change within epochs and between them.
SHORT: dict[str, Any] = {
    **{"examples": 804, "validation_size": 100, "batch_size": 64, "epochs": 4, "features": (24, 12)},
    **{"update_interval": 4, "update_end": 0.7, "execution": "graph", "dropout_rate": 0.1},
}

GROUP = ("automorphisms_log10", "live_automorphisms_log10")


def train(folder: pathlib.Path, backend: str = "auto", **options: Any) -> list[Any]:
    config = SparseTrainConfig(**SHORT | options)
    chosen = TrialOptions(
        experiment_dir=str(folder),
        trials_backend=backend,
        num_trials=1 if backend == "auto" else 2,
        resume=True,
        start_missing=True,
    )
    return experiment.run("sparse_train", config, chosen, sparse_train.updater)


def changes_of(done: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (done.directory / "mask_changes.jsonl").read_text().splitlines()]


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "wallclock_time"}


@pytest.mark.slow
@pytest.mark.parametrize("updater", ["srigl", "gmp"])
def test_a_resumed_run_equals_one_that_ran_through(
    updater: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = train(tmp_path / "whole", updater=updater)

    def stop(hook: Hook, epoch: int) -> dict[str, Any]:
        if epoch == 2:
            raise KeyboardInterrupt
        return {}

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("weirdonetworks.lab.training.hooks.Progress.before_epoch", stop)
        train(tmp_path / "cut", updater=updater)
    (changes,) = (tmp_path / "cut").glob("*/mask_changes.jsonl")
    with open(changes, "a", encoding="utf-8") as file:  # As of an epoch without checkpoint.
        file.write('{"step": 24}\n')
    (resumed,) = train(tmp_path / "cut", updater=updater)
    assert [*map(without_times, resumed.records)] == [*map(without_times, whole.records)]
    for name in ("mask_stats.json", "mask_changes.jsonl"):
        assert (resumed.directory / name).read_bytes() == (whole.directory / name).read_bytes()


@pytest.mark.slow
def test_trials_are_those_of_single_runs(tmp_path: pathlib.Path) -> None:
    """In threads to the bit, in one program to rounding."""
    single = [train(tmp_path / "single", random_seed=42 + n, mask_randomseed=42 + n)[0] for n in range(2)]
    threads = train(tmp_path / "threads", "threads")
    together = train(tmp_path / "batched", "batched")
    for one, two, three in zip(single, threads, together, strict=True):
        assert [*map(without_times, one.records)] == [*map(without_times, two.records)]
        losses = [[record["train_avg_loss"] for record in each.records] for each in (one, three)]
        np.testing.assert_allclose(*losses, rtol=1e-3)
    assert single[0].records[-1]["train_avg_loss"] != single[1].records[-1]["train_avg_loss"]


@pytest.mark.slow
def test_the_sparse_engine_changes_the_same_connections(tmp_path: pathlib.Path) -> None:
    # As many steps as above, of batches for whose length the kernels are compiled for other tests, too.
    options = {"examples": 452, "batch_size": 32, "dropout_rate": 0.0, "layer_sparsities": (0.9, 0.8, 0.0)}
    (one,), (two,) = (train(tmp_path / way, execution=way, **options) for way in ("graph", "sparse"))
    for first, second in zip(one.records, two.records, strict=True):
        for key in ("train_avg_loss", "mask/start_overlap", "mask/fan_in_max", "mask/changes"):
            assert second[key] == pytest.approx(first[key], rel=2e-3)
    assert one.records[0]["mask/start_overlap"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("updater", ["set", "rigl", "static", "gmp"])
def test_records_tell_what_the_masks_became(updater: str, tmp_path: pathlib.Path) -> None:
    (done,) = train(tmp_path, updater=updater, layer_sparsities=(0.9, 0.5, 0.0))
    last = done.records[-1]
    kept = round(0.1 * 784 * 24) + round(0.5 * 24 * 12) + 120
    assert last["mask/sparsity"] == pytest.approx(1 - kept / (784 * 24 + 24 * 12 + 120))
    assert last["mask/fan_in_min"] <= last["mask/fan_in_mean"] <= last["mask/fan_in_max"]
    changes = [record.get("mask/changes") for record in done.records]
    if updater in ("static", "gmp"):
        assert changes == [None] * 4 and "mask/start_overlap" not in last
        assert ("masked_test_accuracy" in done.records[2]) == (updater == "gmp")
        assert (done.directory / "mask_changes.jsonl").exists() == (updater == "gmp")
        if updater == "gmp":  # Before the epochs 1 to 3, of 11 steps each.
            lines = changes_of(done)
            assert [(line["step"], line["start_overlap"]) for line in lines] == [(11, 1.0), (22, 1.0), (33, 1.0)]
            for name in GROUP:
                assert [line[name] for line in lines] == [record[f"mask/{name}"] for record in done.records[1:]], name
    else:  # Of 11 steps an epoch, until step 31: at 4, 8; 12, 16, 20; 24, 28; none.
        assert changes == [2, 3, 2, 0]
        overlaps = [record["mask/start_overlap"] for record in done.records]
        assert 1 > overlaps[0] != overlaps[1] and overlaps[2] == overlaps[3] > 0.2
        lines = changes_of(done)
        assert [line["step"] for line in lines] == [4, 8, 12, 16, 20, 24, 28]
        ends = [done.records[0], done.records[1], done.records[3]]
        for name in ("fan_in_min", "fan_in_max", "zeroed_neurons", "permutation_log10", "start_overlap", *GROUP):
            assert [lines[index][name] for index in (1, 4, 6)] == [record[f"mask/{name}"] for record in ends], name


@pytest.mark.slow
def test_the_driver_is_a_program(tmp_path: pathlib.Path) -> None:
    flags = ("--examples=400", "--validation_size=100", "--epochs=1", "--update_interval=1")
    convolutional = ("--model=weight_symmetry.models.examples:resnet", '--model_options={"channels": 4, "blocks": 1}')
    done = run(
        "sparse_train",
        *flags,
        *convolutional,
        "--optimizer=Momentum",
        "--lr=0.05",
        "--correct_fan_in",
        f"--experiment_dir={tmp_path}",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert records(only_run(tmp_path))[0]["mask/changes"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        {},
        {
            **{"model": "weight_symmetry.models.examples:mlp", "features": (), "dropout_rate": 0.0},
            "model_options": '{"features": [24, 12]}',
        },
    ],
    ids=["chain", "traced"],
)
def test_srigl_ablates_hidden_neurons_and_no_output(model: dict[str, Any], tmp_path: pathlib.Path) -> None:
    options = {"updater": "srigl", "sparsity": 0.6, "min_salient": 1.0, "epochs": 1, "update_end": 1.0}
    (done,) = train(tmp_path, **options, **model)
    *hidden, outputs = json.loads((done.directory / "mask_stats.json").read_text())["layers"]
    assert any(layer["zeroed_neurons"] for layer in hidden) and not outputs["zeroed_neurons"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"updater": "srigl", "sparsity": 0.99},
            r"^sparsity \(=0.99\) must leave each neuron of .* \(24x12\) a connection",
        ),
        (
            {"update_interval": 31},
            r"^update_interval \(=31\) must be below 31, the steps until update_end \(=0.7\), .* pass --updater=static",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_refused_before_anything_is_written(
    options: dict[str, Any], message: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=message):
        train(tmp_path / "runs", **options)
    assert capsys.readouterr().out == "" and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"updater": "srigl", "mask_type": "symmetric"}, r"mask_type \(=symmetric\) must be per-neuron for"),
        ({"updater": "gmp", "mask_type": "per-neuron"}, r"mask_type \(=per-neuron\) is for the other updaters"),
        ({"updater": "gmp", "epochs": 1}, r"update_end \(=0.7\) must leave an epoch"),
        ({"update_end": 0.0}, r"update_end \(=0.0\) must be above 0 for --updater=rigl: pass --updater=static"),
        ({"sparsity": 0.0}, r"sparsity \(=0.0\) must be above 0 for --updater=rigl"),
        ({"sparsity": 1.0}, r"sparsity \(=1.0\) must be below 1"),
        ({"layer_sparsities": (0.5,)}, r"layer_sparsities \(=\(0.5,\)\) must be 3 numbers"),
        (
            {"layer_sparsities": (0.5, 0.5, 0.0), "sparsity_distribution": "erdos-renyi"},
            r"sparsity_distribution \(=erdos-renyi\) must be uniform with --layer_sparsities",
        ),
        ({"correct_fan_in": True}, r"correct_fan_in must come with --optimizer=Momentum"),
        ({"update_interval": 0}, r"update_interval \(=0\) must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SparseTrainConfig(**SHORT | options)
