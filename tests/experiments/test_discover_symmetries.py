"""The symmetries of the graph of pixels: the command as a process on real data cut short."""

import json
import pathlib

import pytest

from tests.experiments.processes import run
from weirdonetworks.experiments.discover_symmetries.study import DiscoverSymmetriesConfig, measure
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.data import datasets
from weirdonetworks.lab.errors import UsageError


@pytest.mark.slow
def test_it_tells_the_symmetries_of_the_grid_and_of_shuffled_images(tmp_path: pathlib.Path) -> None:
    done = run("discover_symmetries", "--examples=3000", f"--experiment_dir={tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    (directory,) = tmp_path.glob("discover_symmetries-*")
    found = json.loads((directory / "results.json").read_text())
    grid, inked, learned = found["graphs"].values()
    assert (grid["edges"], grid["symmetries"], grid["moved"]) == (2 * 28 * 27, "8", 784)
    names = list(grid["kept"])
    assert names[0] == "identity" and names[-1] == "at random" and len(names) == 12
    assert [grid["kept"][name] for name in names[:8]] == 8 * [1.0]
    shifted = 1 - 28 / grid["edges"]  # The edges that a shift tears apart at the border.
    assert [grid["kept"][name] for name in names[8:11]] == 3 * [shifted]
    assert 0.003 < grid["kept"]["at random"] < 0.007
    assert 500 < found["pixels"] < 784 and learned["edges"] > 500 and learned["kept"]["identity"] == 1
    for graph in (inked, learned):
        # A permutation keeps as many edges as its inverse.
        assert graph["kept"]["quarter turn"] == graph["kept"]["three quarter turns"]
        assert all(0.6 < graph["kept"][name] < 1 for name in names[1:8])
        assert graph["kept"]["at random"] < 0.02
    edges = [each["edges"] for each in found["by_threshold"]]
    assert len(edges) > 20 and edges == sorted(edges, reverse=True)
    (same,) = (each for each in found["by_threshold"] if each["threshold"] == found["threshold"])
    assert same["kept"] == learned["kept"] and same["edges"] == learned["edges"]
    assert "1,512" in done.stdout and f"{learned['kept']['half turn']:.1%}" in done.stdout
    assert (directory / "discover_symmetries.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_threshold_above_every_correlation_is_refused() -> None:
    with pytest.raises(UsageError, match=r"threshold \(=1.5\) must be lower: no two pixels are joined"):
        measure(datasets.load("MNIST").train.images[:50], DiscoverSymmetriesConfig(threshold=1.5))


@pytest.mark.slow
def test_several_trials_are_the_same_one_after_another_and_in_threads(
    tmp_path: pathlib.Path,
) -> None:
    found = {}
    for backend in ("auto", "threads"):
        flags = ["--examples=500", "--num_trials=2", f"--trials_backend={backend}"]
        done = run("discover_symmetries", *flags, f"--experiment_dir={tmp_path / backend}")
        assert (done.returncode, done.stderr) == (0, "")
        (path,) = (tmp_path / backend).glob("*/results.json")
        found[backend] = json.loads(path.read_text())
    assert found["auto"] == found["threads"]
    drawn = found["auto"]["kept"]["grid"]["at random"]
    assert drawn["values"][0] == found["auto"]["graphs"]["grid"]["kept"]["at random"] != drawn["values"][1]
    assert f"{drawn['mean']:.1%} ({drawn['deviation']:.1%})" in done.stdout


def test_there_is_no_network_for_trials_in_one_program(tmp_path: pathlib.Path) -> None:
    config = DiscoverSymmetriesConfig(num_trials=2, trials_backend="batched")
    with pytest.raises(UsageError, match=r"trials_backend \(=batched\) needs networks, and none is trained here"):
        experiment.main(config, RunOptions(experiment_dir=str(tmp_path)))
