"""The topology experiment: its objective, and the command as a process on real data cut short."""

import json
import pathlib
import subprocess

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.experiments.processes import run, shown_again
from weirdonetworks.experiments.topology import study as topology
from weirdonetworks.experiments.topology.study import _Pixels, reproduction
from weirdonetworks.lab.training import study
from weirdonetworks.measure.topology import denoiser

# Whole batches: a short one would be traced beside them.
SHORT = ("--examples=1500", "--validation_size=92", "--batch_size=32", "--epochs=4", "--execution=graph")
Done = tuple[pathlib.Path, subprocess.CompletedProcess[str]]


@pytest.mark.slow
@pytest.mark.parametrize("regulariser", ["noise", "ridge"])
def test_the_objective_is_least_at_the_closed_form(regulariser: str) -> None:
    strength, images = 0.1, np.random.default_rng(0).integers(0, 256, (200, 2, 3, 1), np.uint8)
    pixels = images.reshape(len(images), -1)
    standardise, layer = _Pixels(pixels), snt.Linear(pixels.shape[1], with_bias=False)
    layer(tf.zeros([1, pixels.shape[1]]))
    objective = reproduction(layer, standardise, regulariser, strength)
    repeated = tf.constant(np.tile(images, (2000, 1, 1, 1)))  # Each with its own noise.
    labels = tf.zeros([len(repeated)], tf.int32)

    def steepness(at: float) -> float:
        layer.w.assign(denoiser(standardise(pixels), at))
        with tf.GradientTape() as tape:
            figures = objective(repeated, labels, is_training=True, seed=tf.constant([1, 2]))
            loss = tf.reduce_mean(figures["loss"])
        return float(tf.norm(tape.gradient(loss, layer.w)))

    assert steepness(strength) < 0.003
    for other in (strength**2, strength / 2, strength * 2, strength**0.5):
        assert steepness(other) > 0.02


def test_there_is_no_noise_outside_training() -> None:
    images = np.random.default_rng(1).integers(0, 256, (20, 2, 3, 1), np.uint8)
    layer = snt.Linear(6, with_bias=False, w_init=snt.initializers.Identity())
    objective = reproduction(layer, _Pixels(images.reshape(20, -1)), "noise", 0.1)
    labels, seed = tf.zeros([20], tf.int32), tf.constant([1, 2])
    quiet, noisy = (objective(tf.constant(images), labels, is_training=each, seed=seed) for each in (False, True))
    assert quiet["loss"].numpy().max() < 1e-10 and noisy["loss"].numpy().min() > 1e-3


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run("topology", *SHORT, "--regulariser=ridge", f"--experiment_dir={folder}")


def only(folder: pathlib.Path) -> pathlib.Path:
    (directory,) = folder.glob("topology-*")
    return directory


@pytest.mark.slow
def test_it_finds_neighbours_among_shuffled_pixels(done: Done) -> None:
    folder, process = done
    assert (process.returncode, process.stderr) == (0, "")
    assert "regulariser: ridge\n" in process.stdout and "closed_form, ridge" not in process.stdout
    assert str(only(folder)) in process.stdout
    found = json.loads((only(folder) / "results.json").read_text())
    assert (found["regulariser"], found["strength"]) == ("ridge", 0.03)
    assert 0 < found["pixels"] < 784 and 0 < found["edges"] < 2 * 28 * 27
    for name in ("trained", "closed_form"):
        each = found[name]
        precision, recall = (np.array(each[f"{key}_curve"]) for key in ("precision", "recall"))
        assert len(found["thresholds"]) == len(precision) == len(recall)
        assert (np.diff(recall) <= 0).all()
        index = found["thresholds"].index(found["threshold"])
        assert each["precision"]["values"] == [precision[index]] and each["recall"]["values"] == [recall[index]]
        # Of all pairs of pixels, half a percent are neighbours.
        assert each["best_f1"]["mean"] > (0.5 if name == "trained" else 0.8)
        weights = {offset: mean["mean"] for offset, mean in each["mean_weights"].items()}
        assert min(weights["1,0"], weights["0,1"]) > 2 * max(weights["2,0"], weights["0,2"], 0)
        if name == "closed_form":  # The trained weights come to it later than here.
            assert max(weights["2,0"], weights["0,2"]) < 0
    assert (only(folder) / "topology.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "summary.json").read_text())[only(folder).name]["pixels"] == found["pixels"]


@pytest.mark.slow
def test_a_finished_study_trains_nothing(done: Done) -> None:
    folder, _ = done
    assert "closed_form" in shown_again("topology", folder, *SHORT, "--regulariser=ridge")


@pytest.mark.slow
def test_a_regulariser_that_there_is_not_is_refused(tmp_path: pathlib.Path) -> None:
    refused = run("topology", "--regulariser=dropout", f"--experiment_dir={tmp_path}")
    assert refused.returncode == 2
    assert refused.stderr == "error: regulariser (=dropout) must be one of noise, ridge, early_stopping.\n"


def test_a_graph_without_edges_has_no_precision() -> None:
    def shown(precision: list[float], recall: list[float]) -> dict[str, object]:
        figures = {"precision": precision, "recall": recall, "best_f1": recall}
        return {key: study.spread(values) for key, values in figures.items()}

    graphs = {"trained": shown([1.0, 1.0], [0.0, 0.0]), "closed_form": shown([1.0, 0.75], [0.0, 0.5])}
    found = {"regulariser": "noise", "strength": 0.03, "pixels": 9, "edges": 12, **graphs}
    rows = list(topology.table(found))[-1].splitlines()
    assert "no edge found" in rows[1] and "100.00%" not in rows[1]
    assert "75.00%" in rows[2] and "87.50%" not in rows[2]
