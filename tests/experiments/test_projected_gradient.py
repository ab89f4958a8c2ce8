"""The experiment on projected gradients, as a process on real data cut short, and the starts of its networks."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.drivers.processes import all_runs, only_run, read, records
from tests.experiments.processes import run
from weirdonetworks.algebra.actions.transforms import rotation
from weirdonetworks.experiments.projected_gradient import study as projected_gradient
from weirdonetworks.lab.errors import UsageError

SHORT = (
    "--examples=300",
    "--validation_size=0",
    "--epochs=2",
    "--shrink=4",
    "--width=8",
    "--turns=3",
    "--batch_size=10",
    "--examined=50",
)
SERIES = [
    *("plain, random start", "projected, random start"),
    *("plain, constant start", "projected, constant start"),
    *("plain, invariant start", "projected, invariant start"),
    *("augmentation", "penalty 10"),
]


@pytest.mark.slow
def test_it_measures_every_way_to_train(tmp_path: pathlib.Path) -> None:
    flags = ("--penalties=10", "--rates=0.2", "--lr=0.5", f"--experiment_dir={tmp_path}")
    done = run("projected_gradient", *SHORT, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    directory = only_run(tmp_path)
    assert (directory / "projected_gradient.png").read_bytes().startswith(b"\x89PNG")
    networks = {each["series"]: each for each in read(directory / "results.json")["networks"]}
    assert list(networks) == SERIES
    assert all(name in done.stdout for name in networks)
    for each in networks.values():
        assert each["rate"] == 0.1
        assert 0 < each["test_accuracy"]["mean"] <= 1 and 0 < each["turned_accuracy"]["mean"] <= 1
        assert 0 < each["variance"]["mean"] < 0.1 and 0 < each["difference"]["mean"] < 1
        assert len(each["variance_by_epoch"]) == 2
    for start in projected_gradient.STARTS:
        plain, projected = (networks[f"{way}, {start} start"]["variance"]["mean"] for way in ("plain", "projected"))
        assert projected < 0.4 * plain, start
    trainings = all_runs(directory)
    assert len(trainings) == len(SERIES)
    for training in trainings:
        assert read(training / "config.json")["learning_rate"] == 0.1
        assert "test_variance" in records(training)[0]


def test_every_way_to_train_is_tried_at_every_rate() -> None:
    config = projected_gradient.ProjectedGradientConfig(rates=(0.4, 0.2), learning_rate=0.5, penalties=(3.0, 10.0))
    tried: dict[str, list[projected_gradient.Arm]] = {}
    for arm in projected_gradient.arms(config):
        tried.setdefault(arm.series, []).append(arm)
    assert list(tried) == [*SERIES[:-1], "penalty 3", "penalty 10"]
    for name, arms in tried.items():
        assert [arm.rate for arm in arms] == [0.2, 0.1]
        assert [arm.penalty for arm in arms] == 2 * [float(name.split()[1]) if name.startswith("penalty") else 0.0]


def outputs_of(start: str) -> np.ndarray:
    """Returns what a network at a start makes of an image and its quarter turns."""
    network = projected_gradient.started(start, [6, 5], [rotation(4, 4, angle) for angle in (0, 90, 180, 270)])()
    image = np.random.default_rng(0).normal(size=(4, 4, 1)).astype(np.float32)
    return network(tf.stack([np.rot90(image, turns) for turns in range(4)])).numpy()


@pytest.mark.slow
def test_starts_are_what_they_are_called() -> None:
    constant, invariant, control = (outputs_of(start) for start in ("constant", "invariant", "random"))
    assert not constant.any()
    assert np.abs(invariant).max() > 1e-2
    np.testing.assert_allclose(invariant[1:], invariant[:-1], atol=1e-5)
    assert np.abs(control[1:] - control[:-1]).max() > 1e-2


def test_bad_input_is_refused() -> None:
    with pytest.raises(UsageError, match=r"penalties \(=-1\) must be at least 0"):
        projected_gradient.ProjectedGradientConfig(penalties=(1, -1))
    with pytest.raises(UsageError, match="rates must hold at least one number"):
        projected_gradient.ProjectedGradientConfig(rates=())
    with pytest.raises(UsageError, match=r"turns \(=1\) must be in \[2, 360\]"):
        projected_gradient.ProjectedGradientConfig(turns=1)
