"""What drivers print of runs that have finished."""

import pathlib
from typing import Any

import pytest

from weight_symmetry import outcome
from weirdonetworks.lab.records.runs import Run

FIGURES = {"test_accuracy": 0.5, "mask/sparsity": 0.0, "mask/zeroed_neurons": 0, "wallclock_time": 2.0}


def finished(folder: pathlib.Path, name: str, *records: dict[str, Any]) -> Run:
    run = Run(folder / name)
    run.records = [{"epoch": epoch, **FIGURES, **record} for epoch, record in enumerate(records, start=1)]
    return run


@pytest.mark.parametrize(("epochs", "written"), [(1, "1 epoch in 2.0 s."), (2, "2 epochs in 4.0 s.")])
def test_one_epoch_is_an_epoch(
    epochs: int, written: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome.show([finished(tmp_path, "train-1", *[{}] * epochs)])
    assert f"\n{written}" in capsys.readouterr().out


def test_one_value_has_a_mean_and_no_deviation(tmp_path: pathlib.Path) -> None:
    runs = [
        finished(tmp_path, "train-1", {"test_accuracy": 0.5, "validation_accuracy": 0.25}),
        finished(tmp_path, "train-2", {"test_accuracy": 0.7}),
    ]
    last = outcome.trials(runs).splitlines()[-1]
    assert "60.00% (14.14%)" in last and last.endswith("  25.00%")
