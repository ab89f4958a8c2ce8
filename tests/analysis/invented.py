"""A synthetic experiment in the format of the drivers, with plausible numbers."""

import json
import math
import pathlib
from typing import Any

import numpy as np

from weirdonetworks.lab.records import files, runs

MASK_TYPES = ("symmetric", "random", "per-neuron", "per-neuron-no-input-ablation")
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98)
HARDNESS = {"symmetric": 0.16, "random": 0.04, "per-neuron": 0.025, "per-neuron-no-input-ablation": 0.032}
DENSE_SYMMETRIES = math.factorial(300) * math.factorial(100)


def record(driver: str, mask_type: str, sparsity: float, trial: int, **settings: Any) -> dict[str, Any]:
    """Invents the record of one run of LeNet-300-100."""
    rng = np.random.default_rng([trial, round(1000 * sparsity), len(mask_type)])
    told: dict[str, Any] = {
        "driver": driver,
        "model": "MNIST_FC",
        "dataset": "MNIST",
        "features": [300, 100],
        "filters": [],
        "epochs": 6,
        "random_seed": 42 + trial,
        "execution": "graph",
    }
    if driver == "prune":
        told |= {"sparsity": sparsity, "pruning_schedule": "", "pruning_scope": "layer"}
    if driver == "shuffled_mask":
        told |= {"mask_type": mask_type, "mask_sparsity": sparsity, "mask_randomseed": trial}
    symmetric = mask_type in ("symmetric", "dense")
    dead = 0 if symmetric else round(30 * max(sparsity - 0.8, 0) * rng.uniform(0.8, 1.2))
    left = DENSE_SYMMETRIES if symmetric else math.factorial(int(rng.integers(1, 3)))
    live = left * (1 if symmetric else math.factorial(int(rng.integers(1, 4))))
    error = 0.018 + HARDNESS.get(mask_type, 0.01) * sparsity**8 + rng.normal(0, 0.0007)
    best = {"test_accuracy": 1 - error, "validation_accuracy": 1 - error - 0.002, "epoch": 6, "train_avg_loss": error}
    mask = {
        "sparsity": sparsity + rng.normal(0, 1e-5) * (sparsity > 0),
        "permutations": left,
        "permutation_log10": math.log10(left),
        "permutation_num_digits": int(math.log10(left)) + 1,
        "unique_neurons": 12 if symmetric else 410 - dead,
        "zeroed_neurons": dead,
        "total_neurons": 410,
        "automorphisms": live * math.factorial(dead),
        "automorphisms_log10": math.log10(live * math.factorial(dead)),
        "live_automorphisms_log10": math.log10(live),
    }
    return (
        told
        | settings
        | {f"{of}/{key}": value for of in ("mask", "propagated_mask") for key, value in mask.items()}
        | {f"final/{key}": value for key, value in best.items() if key != "test_accuracy"}
        | {"final/test_accuracy": 1 - error - 0.001}
        | {f"{name}/{key}": value for name in BEST for key, value in best.items()}
    )


BEST = ("best_validation_accuracy", "best_train_loss", "best_test_acc")


def experiment(folder: pathlib.Path, trials: int = 3, curves: bool = True) -> dict[str, dict[str, Any]]:
    """Writes an experiment of every kind of mask to a folder; returns its records."""
    records = {}
    for trial in range(trials):
        plans = [("shuffled_mask", kind, level) for kind in MASK_TYPES for level in SPARSITIES]
        plans += [("prune", "magnitude pruning", level) for level in SPARSITIES] + [("train", "dense", 0.0)]
        for driver, kind, level in plans:
            made = record(driver, kind, level, trial)
            records[runs.run_id(driver, made)] = made
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "summary.json", records)
    for run, made in records.items() if curves else ():
        _write_curve(folder / run, made)
    return records


def _write_curve(folder: pathlib.Path, made: dict[str, Any]) -> None:
    folder.mkdir()
    error = 1 - made["final/test_accuracy"]
    lines = []
    for epoch in range(1, made["epochs"] + 1):
        now = error * (1 + 4 * math.exp(-epoch))
        lines.append({"epoch": epoch, "step": 430 * epoch, "test_accuracy": 1 - now, "train_avg_loss": 3 * now})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    files.write_json(folder / "config.json", {"driver": made["driver"]})
    files.write_json(folder / "status.json", {"status": "finished", "epoch": made["epochs"]})
