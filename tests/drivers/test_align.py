"""The driver that aligns pairs of networks, on real data cut short."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pytest

from weight_symmetry import alignment
from weight_symmetry.align import AlignConfig
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training.study import spreads

SHORT = AlignConfig(
    examples=400,
    validation_size=40,
    batch_size=120,  # Whole batches: a short one would be traced beside them.
    epochs=1,
    num_trials=1,
    points=3,
    match_steps=2,
    match_batch=50,
    features=(8, 6),
    execution="graph",
)


def results(config: AlignConfig, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    experiment.main(config, RunOptions(experiment_dir=str(folder), overwrite=True))
    (directory,) = folder.glob("align-*")
    assert (directory / "align.png").read_bytes().startswith(b"\x89PNG")
    return json.loads((directory / "results.json").read_text())["widths"], capsys.readouterr().out


@pytest.mark.slow
def test_it_measures_each_method(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    widths, printed = results(SHORT, tmp_path, capsys)
    methods = widths["1"]
    assert list(methods) == ["not_aligned", *alignment.METHODS] and "straight through" in printed
    ends = {name: [each["test_loss"][at] for at in (0, -1)] for name, each in methods.items()}
    assert all(each == pytest.approx(ends["weights"], abs=1e-5) for each in ends.values())
    assert methods["weights"]["similarity"]["mean"] > methods["not_aligned"]["similarity"]["mean"]
    assert all(each["test_loss_barrier"]["mean"] >= 0 for each in methods.values())
    experiment.main(SHORT, RunOptions(experiment_dir=str(tmp_path)))
    assert "nothing was trained" in capsys.readouterr().out
    raw = dataclasses.replace(SHORT, normalise=False, match_steps=0)
    experiment.main(raw, RunOptions(experiment_dir=str(tmp_path), resume=True))
    (directory,) = tmp_path.glob("align-*")
    as_trained = json.loads((directory / "results.json").read_text())["widths"]["1"]["not_aligned"]
    rescaled = methods["not_aligned"]
    middle = [each["test_loss"][1] for each in (as_trained, rescaled)]
    assert [as_trained["test_loss"][at] for at in (0, -1)] == pytest.approx(ends["not_aligned"], abs=1e-5)
    assert middle[0] != pytest.approx(middle[1], abs=1e-4)


@pytest.mark.slow
def test_norms_are_repaired_too(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = dataclasses.replace(SHORT, model="MNIST_CNN", features=(300, 100), filters=(2, 3), match_steps=0)
    widths, printed = results(config, tmp_path, capsys)
    names = ["not_aligned", "weights", "activations"]
    assert list(widths["1"]) == [each for name in names for each in (name, f"{name}_repaired")]
    assert "activations repaired" in printed
    plain, repaired = (widths["1"][name]["test_loss"] for name in ("weights", "weights_repaired"))
    assert plain[0] == repaired[0] and plain[1] != repaired[1] and plain[2] == repaired[2]


def test_several_widths_are_shown_beside_each_other() -> None:
    from weight_symmetry.align import study

    path = alignment.Path(
        np.linspace(0, 1, 3), {f"{part}_{metric}": np.array([0.1, 0.5, 0.2]) for part, metric in KEYS}
    )
    method = spreads([study.described(path) | {"similarity": 0.3, "seconds": 2.0}] * 2)
    found = {"points": 3, "widths": {each: {"weights": method, "weights_repaired": method} for each in ("0.5", "1")}}
    config = AlignConfig(features=(8, 8))
    *_, by_width = study.draw(config, found).axes
    assert [text.get_text() for text in by_width.get_xticklabels()] == ["4", "8"]
    assert len(study.draw(config, {**found, "widths": {"1": found["widths"]["1"]}}).axes) == 2
    titles = [text for text in study.table(found) if text.startswith("width")]
    assert titles == ["width x 0.5", "width x 1"]


KEYS = [(part, metric) for part in ("train", "test") for metric in ("loss", "accuracy")]


def test_widths_are_multiplied() -> None:
    assert SHORT.widened(2).features == (16, 12) and SHORT.widened(0.01).features == (1, 1)
    assert AlignConfig(model="CIFAR10_CNN").widened(0.5).filters == (16, 16, 32, 32, 64, 64)
    with pytest.raises(UsageError, match=r"^width_factors \(=\(0\.5,\)\) must be 1 for a model of your own"):
        AlignConfig(model="mine:make", width_factors=(0.5,))
