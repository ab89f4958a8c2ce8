"""The experiment on compression, on real data cut short, and its measure of invariance."""

import json
import pathlib

import numpy as np
import pytest

from tests.experiments.processes import run
from weirdonetworks.experiments.bottleneck import study as bottleneck
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions

SHORT = bottleneck.BottleneckConfig(
    examples=600,
    validation_size=0,
    shrink=4,
    betas=(1.0,),
    hidden_sizes=(12,),
    code_size=4,
    epochs=6,
    batch_size=30,  # Whole batches: a short one would be traced beside them.
    learning_rate=0.01,
    step=90,
    examined=50,
    execution="graph",
)


@pytest.mark.slow
def test_a_price_lowers_the_rate(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment.main(SHORT, RunOptions(experiment_dir=str(tmp_path)))
    assert "Share of the angle in pixels" in capsys.readouterr().out
    (directory,) = tmp_path.glob("bottleneck-*")
    assert (directory / "bottleneck.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((directory / "results.json").read_text())
    assert 0.5 < found["pixel_share"] < 1
    assert list(found["trained_on"]) == ["upright", "turned"]
    for networks in found["trained_on"].values():
        assert list(networks) == ["no noise", "1"]
        for each in networks.values():
            assert all(0 < each[key]["mean"] < 1 for key in ("test_accuracy", "code_share", "probability_share"))
        assert 0 < 2 * networks["1"]["test_rate"]["mean"] < networks["no noise"]["test_rate"]["mean"]
    assert found["trained_on"]["upright"]["no noise"]["test_accuracy"]["mean"] > 0.5
    for training in directory.glob("1_*"):
        for line in (training / "metrics.jsonl").read_text().splitlines():
            record = json.loads(line)
            expected = record["test_cross_entropy"] + record["test_rate"]
            assert record["test_avg_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_the_share_of_the_angle_is_what_an_analysis_of_variance_gives() -> None:
    rng = np.random.default_rng(0)
    images, angles = rng.normal(size=(1, 500, 2)), rng.normal(size=(400, 1, 2))
    values = images + 0.5 * angles
    between, within = (np.var(part, axis=axis).sum() for part, axis in ((images, (0, 1)), (0.5 * angles, (0, 1))))
    assert bottleneck.angle_share(values) == pytest.approx(within / (within + between))
    assert bottleneck.angle_share(7 * values + 3) == pytest.approx(bottleneck.angle_share(values))
    assert bottleneck.angle_share(np.ones([3, 4, 2])) == 0


@pytest.mark.slow
def test_empty_lists_are_refused(tmp_path: pathlib.Path) -> None:
    for name in ("betas", "hidden_sizes"):
        done = run("bottleneck", f"--{name}=", f"--experiment_dir={tmp_path}")
        assert (done.returncode, done.stderr) == (2, f"error: {name} must hold at least one number.\n")
