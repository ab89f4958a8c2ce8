"""The driver on symmetry in effect, on real data cut short."""

import json
import pathlib

import pytest

from weight_symmetry.effective_symmetry import EffectiveSymmetryConfig
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.errors import UsageError


@pytest.mark.slow
def test_it_counts_what_is_left_in_effect(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = EffectiveSymmetryConfig(
        examples=300,
        batch_size=55,  # Whole batches: a short one would be traced beside them.
        epochs=1,
        features=(6, 5),
        sparsities=(0.0, 0.8),
        tolerances=(0.1, 100.0),
        execution="graph",
    )
    experiment.main(config, RunOptions(experiment_dir=str(tmp_path)))
    printed = capsys.readouterr().out
    (directory,) = tmp_path.glob("effective_symmetry-*")
    assert (directory / "effective_symmetry.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((directory / "results.json").read_text())
    assert found["all"] == pytest.approx(4.9366, abs=1e-3) and "10^4.9" in printed  # log10(6! 5!)
    for weights in ("trained", "untrained"):
        dense, sparse = (found["sparse"][name][weights] for name in ("0", "0.8"))
        assert dense["exact"]["mean"] == pytest.approx(found["all"])
        assert sparse["exact"]["mean"] <= sparse["0.1"]["mean"] <= sparse["100"]["mean"]
        assert dense["distance_correlation"]["mean"] == 0 < sparse["distance_correlation"]["mean"] <= 1
        assert sparse["100"]["mean"] == pytest.approx(found["all"]) != sparse["exact"]["mean"]


def test_lists_name_each_value_once() -> None:
    with pytest.raises(UsageError, match=r"^tolerances \(=\(0\.1, 0\.1\)\) must name each once"):
        EffectiveSymmetryConfig(tolerances=(0.1, 0.1))
