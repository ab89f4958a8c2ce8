"""The figure of the symmetries that are left of several models."""

import json
import pathlib

import pytest

from analysis import architectures, summaries


def write_run(folder: pathlib.Path, name: str, settings: dict[str, str], orders: dict[float, float]) -> None:
    run = folder / name
    run.mkdir(parents=True)
    records = [
        {"epoch": epoch, "mask/sparsity": sparsity, "mask/live_automorphisms_log10": order}
        for epoch, (sparsity, order) in enumerate(orders.items(), start=1)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    summary = folder / "summary.json"
    found = json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else {}
    summary.write_text(json.dumps(found | {name: settings | {"final/epoch": len(records)}}), encoding="utf-8")


def test_shares_are_of_the_dense_model_of_the_same_kind(tmp_path: pathlib.Path) -> None:
    write_run(tmp_path, "prune-1", {"model": "mine:small"}, {0.0: 10.0, 0.5: 5.0, 0.9: 1.0})
    write_run(tmp_path, "prune-2", {"model": "mine:large"}, {0.0: 100.0, 0.5: 25.0})
    write_run(tmp_path, "shuffled_mask-3", {"model": "mine:small", "mask_type": "per-neuron"}, {0.5: 2.0})
    frame = summaries.load(tmp_path)
    rows = {(row.model, row.masks, row.sparsity): row.share for row in architectures.remaining(frame).itertuples()}
    assert rows == {
        ("small", "magnitude", 0.5): 0.5,
        ("small", "magnitude", 0.9): 0.1,
        ("large", "magnitude", 0.5): 0.25,
        ("small", "per-neuron", 0.5): 0.2,
    }
    architectures.main(tmp_path, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_runs_without_the_exact_group_are_refused(tmp_path: pathlib.Path) -> None:
    write_run(tmp_path, "prune-1", {"model": "mine:small"}, {})
    with pytest.raises(ValueError, match="exact symmetry group"):
        architectures.remaining(summaries.load(tmp_path))
