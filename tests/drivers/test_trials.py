"""The drivers with masks drawn before training, alone and as trials, on real data cut short."""

import pathlib
import signal
import time

import pytest

from tests.drivers.processes import all_runs, only_run, read, records, run, start

# Whole batches: a short one would be compiled beside them.
DATA = ("--examples=1500", "--validation_size=500", "--batch_size=100")
SHORT = (*DATA, "--epochs=2", "--features=24,12", "--update_iterations=2")


@pytest.mark.slow
def test_shuffled_mask_records_its_mask(tmp_path: pathlib.Path) -> None:
    flags = ("--mask_type=symmetric", "--mask_sparsity=0.75", "--masked_layer_indices=0,1")
    done = run("shuffled_mask", *SHORT, *flags, f"--experiment_dir={tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    directory = only_run(tmp_path)
    statistics = read(directory / "mask_stats.json")
    kept = 196 * 24 + 6 * 12 + 120
    assert statistics["sparsity"] == pytest.approx(1 - kept / (784 * 24 + 24 * 12 + 120))
    # 18 of the 24 first units are read by none; the other six, and all twelve second ones, are interchangeable.
    assert (statistics["zeroed_neurons"], statistics["permutations"]) == (18, str(720 * 479_001_600))
    assert statistics["live_automorphisms"] == str(720 * 479_001_600)
    assert statistics["automorphisms"] == str(720 * 479_001_600 * 6_402_373_705_728_000)  # times 18!
    propagated = read(directory / "propagated_mask_stats.json")
    assert propagated["layers"][0]["sparsity"] == pytest.approx(1 - 196 * 6 / (784 * 24))
    record = read(tmp_path / "summary.json")[directory.name]
    assert (record["mask_type"], record["mask_sparsity"], record["driver"]) == ("symmetric", 0.75, "shuffled_mask")
    assert record["propagated_mask/permutation_log10"] == pytest.approx(record["mask/permutation_log10"])


@pytest.mark.slow
def test_no_input_ablation_says_what_it_added(tmp_path: pathlib.Path) -> None:
    flags = ("--mask_type=per_neuron_no_input_ablation", "--mask_sparsity=0.99")
    assert run("shuffled_mask", *SHORT, *flags, f"--experiment_dir={tmp_path}").returncode == 0
    statistics = read(only_run(tmp_path) / "mask_stats.json")
    # 8 of 784 connections for each of 24 neurons cover 192 inputs; none of 24 for 12; none of 12 for 10.
    assert statistics["connections_added"] == (784 - 8 * 24) + 24 + 12


@pytest.mark.slow
def test_random_mask_draws_its_sparsity_from_the_range(tmp_path: pathlib.Path) -> None:
    flags = ("--sparsity_range=0.3,0.6", "--num_trials=3", "--mask_type=random")
    assert run("random_mask", *SHORT, *flags, f"--experiment_dir={tmp_path}").returncode == 0
    summary = read(tmp_path / "summary.json")
    sparsities = {record["mask/sparsity"] for record in summary.values()}
    assert len(sparsities) == 3
    assert all(0.299 < sparsity < 0.601 for sparsity in sparsities)


@pytest.mark.slow
def test_fixed_param_reports_widths_near_the_count(tmp_path: pathlib.Path) -> None:
    flags = ("--param_count=20000", "--depth=3", "--mask_sparsity=0.5")
    done = run("fixed_param", *DATA, "--epochs=1", *flags, f"--experiment_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    widths = read(only_run(tmp_path) / "config.json")["features"]
    first, second, third = widths
    assert (second, third) == (2 * first, 4 * first)
    count = 784 * first + first * second + second * third + third * 10
    step = 784 + 2 * (2 * first + 1) + 8 * (2 * first + 1) + 40  # one unit more in the first layer
    assert abs(count - 20_000) <= step / 2
    assert f"{count:,}" in done.stdout
    statistics = read(only_run(tmp_path) / "mask_stats.json")
    assert statistics["weights"] == count
    assert [layer["sparsity"] for layer in statistics["layers"]] == pytest.approx([0.5] * 4, abs=0.01)


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("trials")
    done = run("shuffled_mask", *SHORT, "--num_trials=3", f"--experiment_dir={folder}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "mean (deviation)" in done.stdout
    return folder


@pytest.mark.slow
def test_a_trial_equals_the_single_run_with_its_seeds(trials: pathlib.Path, tmp_path: pathlib.Path) -> None:
    seeds = ("--random_seed=44", "--mask_randomseed=44", "--execution=graph")
    assert run("shuffled_mask", *SHORT, *seeds, f"--experiment_dir={tmp_path}").returncode == 0
    alone = only_run(tmp_path)
    assert alone.name in [directory.name for directory in all_runs(trials)]
    assert records(alone) == records(trials / alone.name)
    assert read(alone / "mask_stats.json") == read(trials / alone.name / "mask_stats.json")
    others = [records(directory) for directory in all_runs(trials) if directory.name != alone.name]
    assert records(alone) not in others


@pytest.mark.slow
def test_finished_trials_are_left_alone(trials: pathlib.Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in trials.glob("shuffled_mask-*/*") if path.is_file()}
    done = run("shuffled_mask", *SHORT, "--num_trials=3", f"--experiment_dir={trials}")
    assert done.returncode == 0
    assert "3 of these runs were finished before" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in trials.glob("shuffled_mask-*/*") if path.is_file()} == before


@pytest.mark.slow
def test_batched_trials_agree_with_threads(trials: pathlib.Path, tmp_path: pathlib.Path) -> None:
    flags = ("--num_trials=3", "--trials_backend=batched", f"--experiment_dir={tmp_path}")
    done = run("shuffled_mask", *SHORT, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    by_seed = {read(path / "config.json")["random_seed"]: path for path in all_runs(tmp_path)}
    for path in all_runs(trials):
        seed = read(path / "config.json")["random_seed"]
        single, batched = records(path)[0], records(by_seed[seed])[0]
        assert single.keys() == batched.keys()
        assert single["train_avg_loss"] == pytest.approx(batched["train_avg_loss"], rel=1e-4)
        assert single["mask/sparsity"] == batched["mask/sparsity"]


@pytest.mark.slow
def test_killed_trials_go_on_with_the_unfinished(tmp_path: pathlib.Path) -> None:
    flags = (*SHORT, "--epochs=12", "--num_trials=3")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run("shuffled_mask", *flags, f"--experiment_dir={whole}").returncode == 0
    child = start("shuffled_mask", *flags, f"--experiment_dir={cut}")
    deadline = time.monotonic() + 120
    while not (cut / "summary.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send(signal.SIGKILL)
    assert child.end().returncode == -signal.SIGKILL
    assert 1 <= len(read(cut / "summary.json")) < 3
    assert run("shuffled_mask", *flags, "--resume", f"--experiment_dir={cut}").returncode == 0
    assert [path.name for path in all_runs(cut)] == [path.name for path in all_runs(whole)]
    for path in all_runs(whole):
        assert records(path) == records(cut / path.name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("driver", "flags", "message"),
    [
        ("shuffled_mask", ("--mask_type=nonsense",), "mask_type (=nonsense) must be one of symmetric,"),
        ("shuffled_mask", ("--mask_sparsity=1.5",), "mask_sparsity (=1.5) must be in [0, 1]."),
        ("random_mask", ("--sparsity_range=0.9,0.1",), "sparsity_range (=(0.9, 0.1)) must be two numbers"),
        ("fixed_param", ("--param_count=10",), "param_count (=10) is too small"),
        ("fixed_param", ("--features=300,100",), "features (=(300, 100)) must not be given"),
        ("fixed_param", ("--model=MNIST_CNN",), "model (=MNIST_CNN) must be MNIST_FC"),
    ],
)
def test_bad_input_is_one_clear_line(driver: str, flags: tuple[str, ...], message: str, tmp_path: pathlib.Path) -> None:
    done = run(driver, *SHORT, *flags, f"--experiment_dir={tmp_path}/runs")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("metrics.jsonl"))
