"""The experiment on projected gradients, as a process on real data cut short, and the starts of its networks."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.drivers.processes import all_runs, only_run, read, records
from tests.experiments.processes import run
from weirdonetworks.algebra.transforms import rotation
from weirdonetworks.experiments import projected_gradient
from weirdonetworks.lab.errors import UsageError

SHORT = (
    "--examples=300",
    "--validation_size=0",
    "--epochs=2",
    "--shrink=4",
    "--width=8",
    "--turns=3",
    "--batch_size=100",
    "--examined=50",
    "--execution=graph",
)
# The learning rate of each network.
RATES = {
    ("plain", "random"): 0.05,
    ("augmentation", "random"): 0.1,
    ("penalty", "random"): 0.1,
    ("projected", "random"): 0.05,
    ("projected", "constant"): 0.05,
    ("projected", "invariant"): 0.05,
}


def test_it_measures_every_way_to_train(tmp_path: pathlib.Path) -> None:
    flags = ("--penalties=10", "--rates=0.05", "--lr=0.1", f"--experiment_dir={tmp_path}")
    done = run("projected_gradient", *SHORT, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    directory = only_run(tmp_path)
    assert (directory / "projected_gradient.png").read_bytes().startswith(b"\x89PNG")
    networks = read(directory / "results.json")["networks"]
    assert [(each["method"], each["start"]) for each in networks] == list(RATES)
    assert [each["strength"] for each in networks] == [0.05, None, 10, 0.05, 0.05, 0.05]
    assert all(each["series"] in done.stdout for each in networks)
    for each in networks:
        assert 0 < each["test_accuracy"]["mean"] <= 1 and 0 < each["turned_accuracy"]["mean"] <= 1
        assert 0 < each["variance"]["mean"] < 0.1 and 0 < each["difference"]["mean"] < 1
        assert len(each["variance_by_epoch"]) == 2
    variances = {(each["method"], each["start"]): each["variance"]["mean"] for each in networks}
    assert variances["projected", "constant"] < 0.1 * variances["plain", "random"]
    for training in all_runs(directory):
        method, start, *_ = training.name.split("-")[0].split("_")
        assert read(training / "config.json")["learning_rate"] == RATES[method, start]
        assert "test_variance" in records(training)[0]


def outputs_of(start: str) -> np.ndarray:
    """Returns what a network at a start makes of an image and its quarter turns."""
    network = projected_gradient.started(start, [6, 5], [rotation(4, 4, angle) for angle in (0, 90, 180, 270)])()
    image = np.random.default_rng(0).normal(size=(4, 4, 1)).astype(np.float32)
    return network(tf.stack([np.rot90(image, turns) for turns in range(4)])).numpy()


def test_starts_are_what_they_are_called() -> None:
    constant, invariant, control = (outputs_of(start) for start in ("constant", "invariant", "random"))
    assert not constant.any()
    assert np.abs(invariant).max() > 1e-2
    np.testing.assert_allclose(invariant[1:], invariant[:-1], atol=1e-5)
    assert np.abs(control[1:] - control[:-1]).max() > 1e-2


def test_bad_input_is_refused() -> None:
    with pytest.raises(UsageError, match=r"penalties \(=-1\) must be at least 0"):
        projected_gradient.ProjectedGradientConfig(penalties=(1, -1))
    with pytest.raises(UsageError, match=r"turns \(=1\) must be in \[2, 360\]"):
        projected_gradient.ProjectedGradientConfig(turns=1)
