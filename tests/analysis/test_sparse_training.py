"""The table and the figure of networks trained sparse."""

import json
import pathlib
from typing import Any

import pytest

from analysis import sparse_training, summaries


def write_run(folder: pathlib.Path, name: str, accuracy: float, orders: list[float], **settings: Any) -> None:
    run = folder / name
    run.mkdir(parents=True)
    records = [
        {"epoch": epoch, "test_accuracy": accuracy, "mask/live_automorphisms_log10": order}
        for epoch, order in enumerate(orders, start=1)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    summary = folder / "summary.json"
    found = json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else {}
    final = {"final/test_accuracy": accuracy, "mask/automorphisms_log10": orders[-1], "final/epoch": len(orders)}
    summary.write_text(json.dumps(found | {name: settings | final}), encoding="utf-8")


def live(*sizes: int) -> dict[str, int]:
    return {f"propagated_mask/live_size_{index}": size for index, size in enumerate(sizes)}


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    rigl = {"updater": "rigl", "mask_type": "random", "sparsity": 0.9, "mask/start_overlap": 0.5}
    write_run(tmp_path, "sparse_train-1", 0.98, [0.0, 2.0], **rigl, **live(9, 4))
    write_run(tmp_path, "sparse_train-2", 0.96, [0.0, 4.0], **rigl, **live(7, 4))
    write_run(tmp_path, "sparse_train-3", 0.9, [7.0, 7.0], updater="static", mask_type="symmetric", sparsity=0.9)
    return tmp_path


def test_runs_are_averaged_by_method_and_sparsity(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = summaries.load(folder)
    table = sparse_training.comparison(frame).set_index("method")
    assert table["accuracy"].to_dict() == pytest.approx({"rigl": 0.97, "static symmetric": 0.9})
    assert table.loc["rigl", "log10 order, all"] == 3 and table.loc["rigl", "live sizes"] == "8-4"
    along = sparse_training.by_epoch(frame).set_index(["method", "epoch"])["value"]
    assert along.to_dict() == {("rigl", 1): 0, ("rigl", 2): 3, ("static symmetric", 1): 7, ("static symmetric", 2): 7}
    sparse_training.main(folder, folder / "picture.png")
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| method | sparsity | runs | test accuracy (%) | kept from the start |")
    assert lines[2].startswith("| rigl | 90% | 2 | 97.00 ± 1.41 | 50% |")
    assert lines[3].startswith("| static symmetric | 90% | 1 | 90.00 | - |")


def test_the_figure_tells_of_living_neurons_and_names_what_lies_below_it(folder: pathlib.Path) -> None:
    write_run(folder, "sparse_train-4", 0.5, [0.0, 0.0], updater="gmp", sparsity=0.9)
    accuracy, orders = sparse_training.training(summaries.load(folder)).axes
    assert accuracy.texts[0].get_text() == "gradual pruning: ends at 50%"
    assert {line.get_label(): line.get_ydata().tolist() for line in orders.get_lines()} == {
        "gradual pruning": [0, 0],
        "RigL": [0, 3],
        "fixed, symmetric": [7, 7],
    }
    assert orders.texts[0].get_text() == "1 of the 3 methods end at 0: one ordering"


def test_other_runs_are_refused(tmp_path: pathlib.Path) -> None:
    write_run(tmp_path, "prune-1", 0.9, [1.0], model="MNIST_FC")
    with pytest.raises(ValueError, match=r"must hold finished runs of python -m weight_symmetry.sparse_train"):
        sparse_training.comparison(summaries.load(tmp_path))
