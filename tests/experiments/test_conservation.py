"""The experiment on conserved quantities, on real data cut short, and what it stands on."""

import json
import pathlib

import numpy as np
import pytest

from tests.experiments.processes import run
from weirdonetworks.experiments.conservation import study as conservation
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions

SHORT = conservation.ConservationConfig(
    examples=600,
    validation_size=0,
    batch_size=120,  # Whole batches: a short one would be traced beside them.
    shrink=7,
    halvings=1,
    hidden_sizes=(5,),
    channels=(5,),
    epochs=2,
    execution="graph",
)


@pytest.mark.slow
def test_it_measures_the_drift_of_each_network_at_each_rate(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment.main(SHORT, RunOptions(experiment_dir=str(tmp_path)))
    printed = capsys.readouterr().out
    (directory,) = tmp_path.glob("conservation-*")
    assert (directory / "conservation.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((directory / "results.json").read_text())
    assert found["rates"] == [0.1, 0.05]
    networks = found["networks"]
    balanced = {"layer_0/balance", "layer_0/equal_units", "layer_1/class_sums"}
    assert {kind: set(quantities) for kind, quantities in networks.items()} == {
        "linear": balanced,
        "ReLU": balanced,
        "convolutions": balanced,
        "layer norm": {"layer_0/length", "layer_0/equal_units", "layer_1/class_sums"},
        "tanh (control)": balanced,
    }
    for kind, quantities in networks.items():
        for name, quantity in quantities.items():
            assert f"{kind}, {name}" in printed
            fast, slow = (drift["mean"] for drift in quantity["drift"])
            if "balance" in name or "length" in name:
                ratio = (0.9, 1.1) if kind == conservation.CONTROL else (1.7, 2.4)
                assert ratio[0] < fast / slow < ratio[1], (kind, name)
                assert quantity["power"] == pytest.approx(np.log2(fast / slow), abs=1e-5)
            else:
                assert max(fast, slow) < 1e-6 and quantity["power"] is None
    (training,) = directory.glob("relu_1-*")
    records = [json.loads(line) for line in (training / "metrics.jsonl").read_text().splitlines()]
    drifts = [record["drift/layer_0/balance"] for record in records]
    assert len(drifts) == 4 and drifts[0] > 0 and np.all(np.diff(drifts) > 0)
    assert drifts[-1] == networks["ReLU"]["layer_0/balance"]["drift"][1]["mean"]


def test_a_drift_of_rounding_has_no_power() -> None:
    assert conservation.fitted_power([0.2, 0.1], [{"mean": 4e-3}, {"mean": 1e-3}]) == 2
    assert conservation.fitted_power([0.2, 0.1], [{"mean": 4e-3}, {"mean": 1e-7}]) is None


@pytest.mark.slow
def test_bad_sizes_are_refused(tmp_path: pathlib.Path) -> None:
    for sizes, words in (
        ("1", "hidden_sizes (=1) must be at least 2."),
        ("", "hidden_sizes must hold at least one number."),
    ):
        done = run("conservation", f"--hidden_sizes={sizes}", f"--experiment_dir={tmp_path}")
        assert (done.returncode, done.stderr) == (2, f"error: {words}\n")
