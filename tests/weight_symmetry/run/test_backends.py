"""Trials one a core and in one program: the same records, and nothing lost when they are cut off or diverge."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests import processes
from weight_symmetry import prune
from weight_symmetry.run import experiment
from weight_symmetry.run.config import TrialOptions
from weight_symmetry.run.prune_config import PruneConfig
from weirdonetworks.lab import seeds
from weirdonetworks.lab.training import checkpoints, loop, trainer, trials
from weirdonetworks.lab.training.state import DivergenceError

pytestmark = pytest.mark.usefixtures("undrawn")
SHORT: dict[str, Any] = {
    **{"examples": 300, "validation_size": 100, "epochs": 3, "batch_size": 50, "execution": "graph"},
    "batch_size_test": 300,  # Batches of evaluation are filled up.
}
CONFIG = PruneConfig(
    **SHORT,
    features=(12, 8),
    dropout_rate=0.1,
    rewind_epoch=0,
    ablation="shuffle_weights",
    pruning_schedule="[(1, 0.5), (2, 0.8)]",
)
TRIALS = 3


def train(folder: pathlib.Path, backend: str, config: PruneConfig = CONFIG, **options: Any) -> list[Any]:
    chosen = TrialOptions(experiment_dir=str(folder), **{"num_trials": TRIALS, "trials_backend": backend} | options)
    return experiment.run("prune", config, chosen, prune.updater)


def lines(folder: pathlib.Path) -> dict[int, list[dict[str, Any]]]:
    """Seed -> the records of its run without the wall times."""
    found = {}
    for path in folder.glob("prune-*/metrics.jsonl"):
        seed = json.loads((path.parent / "config.json").read_text())["random_seed"]
        records = [json.loads(line) for line in path.read_text().splitlines()]
        found[seed] = [{key: value for key, value in record.items() if key != "wallclock_time"} for record in records]
    return found


@pytest.fixture(scope="module")
def batched(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("batched")
    train(folder, "batched")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("config", [CONFIG, PruneConfig(**SHORT | {"epochs": 2}, model="MNIST_CNN", filters=(3,))])
def test_records_are_the_same_in_each_way(config: PruneConfig, batched: pathlib.Path, tmp_path: pathlib.Path) -> None:
    together, count = (batched, TRIALS) if config is CONFIG else (tmp_path / "together", 2)
    if config is not CONFIG:
        train(together, "batched", config, num_trials=count)
    train(tmp_path / "threads", "threads", config, num_trials=count)
    assert set(lines(together)) == set(range(42, 42 + count))
    assert_alike(lines(together), lines(tmp_path / "threads"))
    assert lines(together)[42] != lines(together)[43]


def assert_alike(ours: dict[int, list[dict[str, Any]]], theirs: dict[int, list[dict[str, Any]]]) -> None:
    assert set(ours) == set(theirs)
    for seed in ours:
        for one, other in zip(ours[seed], theirs[seed], strict=True):
            assert one.keys() == other.keys()
            # Rounding decides some ties of pruning and some guesses.
            for key in ("train_avg_loss", "test_avg_loss", "gradient_norm", "mask/sparsity", "lr"):
                assert one[key] == pytest.approx(other[key], rel=0.02), (seed, one["epoch"], key)


@pytest.mark.slow
def test_trials_that_do_not_fit_the_memory_are_trained_in_turn(
    batched: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    fit = loop.fit

    def told(trainer: Any, members: Any, data: Any) -> Any:
        counts.append(trainer.count)
        return fit(trainer, members, data)

    monkeypatch.setattr(loop, "fit", told)
    size = 2**20
    monkeypatch.setattr(trials.machine, "free_memory", lambda device: 5 * size if device == "/device:CPU:0" else 0)
    monkeypatch.setattr(trials, "size_of_a_copy", lambda trainer: size)
    train(tmp_path, "batched")
    assert counts == [2, 1]  # Two copies are within half of the memory of five.
    assert_alike(lines(tmp_path), lines(batched))


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["graph", pytest.param("xla", marks=pytest.mark.exhaustive)])
def test_trials_are_spread_over_devices(execution: str, batched: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = processes.run("tests.weight_symmetry.run.two_devices", str(tmp_path), execution)
    assert done.returncode == 0, done.stderr
    counts = sorted(line for line in done.stdout.splitlines() if "CPU" in line)
    assert counts in (["1 CPU:0", "2 CPU:1"], ["1 CPU:1", "2 CPU:0"])
    assert set(lines(tmp_path)) == {42, 43, 44}
    if execution == "graph":  # XLA drops other units.
        assert_alike(lines(tmp_path), lines(batched))


@pytest.mark.slow
def test_trials_of_one_order_have_the_same_records_in_each_way(batched: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for backend in ("batched", "threads"):
        train(tmp_path / backend, backend, trials_order="shared", num_trials=2)
    ours = lines(tmp_path / "batched")
    assert_alike(ours, lines(tmp_path / "threads"))
    # The first trial's order is its own; that of the second is another than it has alone.
    own = lines(batched)
    assert ours[42][0]["train_avg_loss"] == pytest.approx(own[42][0]["train_avg_loss"], rel=1e-4)
    assert ours[43][0]["train_avg_loss"] != pytest.approx(own[43][0]["train_avg_loss"], rel=1e-4)
    configs = [json.loads(path.read_text()) for path in (tmp_path / "batched").glob("prune-*/config.json")]
    assert sorted((config["random_seed"], config["order_seed"]) for config in configs) == [(42, 42), (43, 42)]


@pytest.mark.slow
def test_trials_in_one_program_keep_all_that_single_ones_do(batched: pathlib.Path) -> None:
    summary = json.loads((batched / "summary.json").read_text())
    directories = sorted(batched.glob("prune-*"))
    assert sorted(summary) == [directory.name for directory in directories]
    assert all(record["execution"] == "batched_graph" for record in summary.values())
    for directory in directories:
        assert json.loads((directory / "status.json").read_text()) == {"status": "finished", "epoch": 3}
        reader = tf.train.load_checkpoint(str(directory / "checkpoints"))
        places = "state/network/layers/0/w", "state/optimizer/masks/_masks/0"
        weight, mask = (reader.get_tensor(f"{place}/.ATTRIBUTES/VARIABLE_VALUE") for place in places)
        assert ((weight != 0) == mask).all() and np.mean(mask == 0) == pytest.approx(0.8, abs=1e-3)


@pytest.mark.slow
def test_trials_finished_in_one_program_are_not_trained_alone(batched: pathlib.Path) -> None:
    before = sorted(batched.iterdir())
    assert all(run.found_finished for run in train(batched, "batched"))
    assert sorted(batched.iterdir()) == before


@pytest.mark.slow
@pytest.mark.parametrize("saved", [1, 4])
def test_trials_cut_off_in_one_program_end_like_whole_ones(
    saved: int, batched: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when some trials have saved an epoch and others have not."""
    save, count = checkpoints.Checkpoints.save, 0

    def die(own: checkpoints.Checkpoints, epoch: int) -> None:
        nonlocal count
        count += 1
        if count > saved:
            raise KeyboardInterrupt
        save(own, epoch)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoints.Checkpoints, "save", die)
        train(tmp_path, "batched")
    saves = [len(list(path.glob("checkpoints/*.index"))) for path in tmp_path.glob("prune-*")]
    assert sum(saves) == saved and len(set(saves)) == 2
    train(tmp_path, "batched", resume=True)
    assert lines(tmp_path) == lines(batched)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["threads", "batched"])
def test_a_trial_that_diverges_is_never_finished_and_stops_no_other(
    backend: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four trials the second diverges in its first epoch, and the third in its last."""
    train_epoch = trainer.Trainer.epoch
    diverge = {seeds.derive(43, "step", 0), seeds.derive(44, "step", 2)}

    def epoch(self: trainer.Trainer, order: Any, rates: Any, seed: Any, first: int = 0) -> dict[str, Any]:
        figures = train_epoch(self, order, rates, seed, first)
        for index, each in enumerate([seed] if self.count is None else seed):
            if tuple(each) in diverge:
                loss = figures["loss"] if self.count is None else figures["loss"][index]
                loss[:] = np.nan
        return figures

    monkeypatch.setattr(trainer.Trainer, "epoch", epoch)
    options = TrialOptions(experiment_dir=str(tmp_path), num_trials=4, trials_backend=backend)
    with pytest.raises(DivergenceError, match=r"^prune-\w+, prune-\w+: the loss became nan in epoch 1: lower"):
        experiment.run("prune", CONFIG, options, prune.updater)
    ends = {
        json.loads((path.parent / "config.json").read_text())["random_seed"]: json.loads(path.read_text())
        for path in tmp_path.glob("prune-*/status.json")
    }
    finished, interrupted = {"status": "finished", "epoch": 3}, {"status": "interrupted", "epoch": 2}
    assert ends == {42: finished, 44: interrupted, 45: finished}  # Of 43 there is no record, and nothing to keep.
    assert len(json.loads((tmp_path / "summary.json").read_text())) == 2


@pytest.mark.slow
def test_a_finished_run_is_taken_however_it_was_executed(tmp_path: pathlib.Path) -> None:
    config = PruneConfig(**SHORT | {"epochs": 2, "execution": "auto"}, features=(6,))
    (single,) = train(tmp_path, "auto", config, num_trials=1)
    runs = train(tmp_path, "batched", config, num_trials=2)
    assert [run.found_finished for run in runs] == [True, False]
    assert runs[0].id == single.id
    again = train(tmp_path, "threads", config, num_trials=2)
    assert [run.found_finished for run in again] == [True, True]
