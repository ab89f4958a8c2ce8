"""The driver on symmetry in effect, on real data cut short."""

import json
import math
import pathlib

import pytest

from weight_symmetry.effective_symmetry import EffectiveSymmetryConfig
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.errors import UsageError

pytestmark = pytest.mark.usefixtures("undrawn")  # The study's own picture is drawn.


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
    (found,) = json.loads((directory / "results.json").read_text())["networks"]
    assert found["all"] == pytest.approx(4.9366, abs=1e-3) and "10^4.9" in printed  # log10(6! 5!)
    for weights in ("trained", "untrained"):
        dense, sparse = (found["sparse"][name][weights] for name in ("0", "0.8"))
        assert dense["exact"]["mean"] == pytest.approx(found["all"])
        assert sparse["exact"]["mean"] <= sparse["0.1"]["mean"] <= sparse["100"]["mean"]
        assert dense["distance_correlation"]["mean"] == 0 < sparse["distance_correlation"]["mean"] <= 1
        assert sparse["100"]["mean"] == pytest.approx(found["all"]) != sparse["exact"]["mean"]


@pytest.mark.slow
def test_widths_and_dimensions_are_compared(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = EffectiveSymmetryConfig(
        examples=300,
        batch_size=55,
        epochs=1,
        num_trials=1,
        features=(6, 5),
        width_factors=(0.5, 1.0),
        components=(2, 0),
        sparsities=(0.8,),
        tolerances=(0.1,),
        test_images=50,
        execution="graph",
    )
    experiment.main(config, RunOptions(experiment_dir=str(tmp_path)))
    printed = capsys.readouterr().out
    assert [line.split(", dense")[0] for line in printed.splitlines() if ", dense" in line] == [
        "3-2, 2 components",
        "6-5, 2 components",
        "3-2",
        "6-5",
    ]
    (directory,) = tmp_path.glob("effective_symmetry-*")
    networks = json.loads((directory / "results.json").read_text())["networks"]
    logarithms = [math.log10(math.factorial(3) * 2), math.log10(math.factorial(6) * math.factorial(5))] * 2
    assert [each["all"] for each in networks] == pytest.approx(logarithms)
    accuracies = [each["dense"]["mean"] for each in networks]
    assert accuracies[0] != accuracies[2] and accuracies[1] != accuracies[3]  # Other data, other networks.
    assert len(list(directory.glob("train-*"))) == 4
    assert (directory / "effective_symmetry.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_of_ones_own_needs_no_widths() -> None:
    assert EffectiveSymmetryConfig(model="mine:make").is_users
    with pytest.raises(UsageError, match=r"^features \(=\(5,\)\) is for MNIST_FC"):
        EffectiveSymmetryConfig(model="mine:make", features=(5,))


def test_lists_name_each_value_once() -> None:
    with pytest.raises(UsageError, match=r"^tolerances \(=\(0\.1, 0\.1\)\) must name each once"):
        EffectiveSymmetryConfig(tolerances=(0.1, 0.1))
