"""What drivers print of runs that have finished."""

import pathlib
from typing import Any

import pytest

from weight_symmetry.run import grid, outcome
from weirdonetworks.lab.records import files
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
    outcome.print_summary([finished(tmp_path, "train-1", *[{}] * epochs)])
    assert f"\n{written}" in capsys.readouterr().out


def test_one_value_has_a_mean_and_no_deviation(tmp_path: pathlib.Path) -> None:
    runs = [
        finished(tmp_path, "train-1", {"test_accuracy": 0.5, "validation_accuracy": 0.25}),
        finished(tmp_path, "train-2", {"test_accuracy": 0.7}),
    ]
    last = outcome.format_trials(runs).splitlines()[-1]
    assert "60.00% (14.14%)" in last and last.endswith("  25.00%")


def test_what_a_run_did_not_record_is_a_dash(tmp_path: pathlib.Path) -> None:
    (_, line) = outcome.format_stages(finished(tmp_path, "train-1", {"test_accuracy": None}).records).splitlines()
    assert line.split() == ["1", "-", "-", "-", "0.00%", "0", "-", "-"]


def test_a_sweep_ends_with_the_means_of_each_combination(tmp_path: pathlib.Path) -> None:
    cells = grid.cells("shuffled_mask", "mask_type=random,symmetric;mask_sparsity=0.5,0.9", "--epochs=1")
    accuracies = {
        "a": {"final/test_accuracy": 0.5, "final/validation_accuracy": 0.25, "mask/sparsity": 0.5},
        "b": {"final/test_accuracy": 0.7, "final/validation_accuracy": 0.75, "mask/sparsity": 0.5},
        "c": {"final/test_accuracy": 0.9, "mask/sparsity": 0.9},
        "d": {"final/test_accuracy": None},
    }
    files.write_json(tmp_path / "summary.json", accuracies)
    # The runs of the third are gone from the summary, and the fourth has never ended.
    for cell, names in zip(cells, (("a", "b"), ("c",), ("e",)), strict=False):
        grid.write_result(tmp_path, cell, grid.Result(0, "", 1.0, names))
    assert outcome.format_combinations(cells, grid.records(tmp_path, cells)).splitlines() == [
        "mask_type  mask_sparsity  trials  test at end  deviation  validation  sparsity",
        "random               0.5       2       60.00%     14.14%      50.00%    50.00%",
        "random               0.9       1       90.00%                      -    90.00%",
        "symmetric            0.5       -            -                      -         -",
        "symmetric            0.9       -            -                      -         -",
    ]
    (only,) = grid.cells("train", "epochs=1")
    assert outcome.format_combinations([only], [[accuracies["d"]]]).splitlines()[1].split() == ["1", "1", "-", "-", "-"]
    assert grid.records(tmp_path / "none", [only]) == [[]]


@pytest.mark.parametrize("runs", ["5", "[null]", "[[1]]", "null", '{"a": 1}'])
def test_a_record_of_a_sweep_of_another_shape_is_named(runs: str, tmp_path: pathlib.Path) -> None:
    cells = grid.cells("train", "epochs=1")
    (tmp_path / "sweep.json").write_text(f'{{"train --epochs=1": {{"status": 0, "runs": {runs}}}}}')
    for read in (grid.finished, grid.records):
        with pytest.raises(OSError, match=r"sweep\.json: train --epochs=1: runs must hold .*\. Remove or mend it"):
            read(tmp_path, cells)


@pytest.mark.parametrize("value", ["x", [1], {}])
def test_a_metric_in_a_summary_that_is_no_number_is_named(value: Any, tmp_path: pathlib.Path) -> None:
    (cell,) = grid.cells("train", "epochs=1")
    grid.write_result(tmp_path, cell, grid.Result(0, "", 1.0, ("train-1",)))
    files.write_json(tmp_path / "summary.json", {"train-1": {"final/test_accuracy": value}})
    with pytest.raises(OSError, match=r"summary\.json: train-1: final/test_accuracy must hold a number, and holds"):
        grid.records(tmp_path, [cell])


@pytest.mark.parametrize("line", ["{}", '{"epoch": 1, "mask/sparsity": 0.0}', '{"epoch": 1, "wallclock_time": 1.0}'])
def test_a_record_without_what_is_printed_is_named(line: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(OSError, match=r"metrics\.jsonl, line 1, must hold '.*', and does not\. Remove or mend it"):
        outcome.print_summary([Run(tmp_path)])
