"""The experiment on what relation networks are invariant to, on few points, and what it stands on."""

import itertools
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import pdist

from tests.experiments.processes import run
from weirdonetworks.algebra import items
from weirdonetworks.experiments.relation_symmetry import study as relation_symmetry
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.measure.precision import in_dtype

SHORT = relation_symmetry.RelationSymmetryConfig(
    examples=7680,  # Whole batches: a short one would be compiled beside them.
    batch_size_test=768,
    epochs=4,
    parameters=300,
    points=3,
    examined=20,
    distances=(30.0,),
)
EXACT = 1e-12
LEARNED = 1e-3  # So well no network knows a symmetry that is not built in.
SYMMETRIES = {"permutation", "translation/0", "translation/30", "mirror", "rotation"}
BUILT_IN = {
    "plain": set(),
    "deep_sets": {"permutation"},
    "relation": {"permutation"},
    "relation_of_differences": {"permutation", "translation/0", "translation/30"},
    "relation_of_distances": SYMMETRIES,
}


def check_symmetries(kind: str, figures: dict[str, float]) -> None:
    for name in SYMMETRIES:
        if name in BUILT_IN[kind]:
            assert figures[name] < EXACT, (kind, name)
        else:
            assert figures[name] > LEARNED, (kind, name)


@pytest.mark.slow
def test_it_tells_what_is_built_in_from_what_is_learned(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relation_symmetry, "NETWORKS", ("relation", "relation_of_differences"))
    experiment.main(SHORT, RunOptions(experiment_dir=str(tmp_path)))
    printed = capsys.readouterr().out
    (directory,) = tmp_path.glob("relation_symmetry-*")
    assert (directory / "relation_symmetry.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((directory / "results.json").read_text())
    means = {}
    for kind, each in found["networks"].items():
        assert 200 < each["parameters"] <= 300
        for stage in ("untrained", "trained"):
            assert f"{kind.replace('_', ' ')}, {stage}" in printed
            means[kind, stage] = {name: spread["mean"] for name, spread in each[stage].items()}
            check_symmetries(kind, means[kind, stage])
        (training,) = directory.glob(f"{kind}-*")
        last = json.loads((training / "metrics.jsonl").read_text().splitlines()[-1])
        assert means[kind, "trained"]["error/0"] == pytest.approx(last["test_avg_loss"] ** 0.5, rel=1e-4)
    moves = [means["relation", stage]["translation/0"] for stage in ("untrained", "trained")]
    assert moves[1] < moves[0] / 2
    best = means["relation_of_differences", "trained"]
    assert best["error/30"] == pytest.approx(best["error/0"]) and best["error/0"] < 0.6
    assert best["zoom_error"] < 0.6 and 0.6 < best["zoom_slope"] < 1.1
    assert means["relation", "trained"]["error/30"] > 1.5 * means["relation", "trained"]["error/0"]
    assert found["label"]["zoom_slope"] == 1 and found["label"]["zoom_error"] == 0
    assert max(found["label"][name] for name in (*SYMMETRIES, "error/0", "error/30")) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "deep_sets", "relation_of_distances"])
def test_the_other_networks_start_with_what_is_built_in(kind: str) -> None:
    task, label = relation_symmetry.make_task(SHORT)
    network = relation_symmetry.make(kind, 5, task)
    network(tf.constant(task.train.images[:1]))
    figures = relation_symmetry.Measure(task, label, SHORT)(in_dtype(network, tf.float64))
    check_symmetries(kind, figures)


@pytest.mark.slow
def test_labels_are_standardised_largest_distances() -> None:
    task, label = relation_symmetry.make_task(SHORT)
    assert task.train.images.dtype == np.float32 and task.train.images.shape == (7680, 3, 2)
    lengths = np.array([[pdist(points.astype(np.float64)).max()] for points in task.train.images])
    np.testing.assert_allclose(task.train.labels, (lengths - lengths.mean()) / lengths.std(), atol=1e-5)
    # Zoomed at the speed of its size a set has a label that grows by the largest distance.
    sets = task.test.images[:5].astype(np.float64)
    centred = sets - sets.mean(axis=1, keepdims=True)
    along = relation_symmetry.derivatives(label, sets)
    expected = [pdist(points).max() / np.linalg.norm(points) / lengths.std() for points in centred]
    np.testing.assert_allclose(along["zoom"], [expected], rtol=1e-12)


def test_velocities_are_of_length_1_and_as_they_are_called() -> None:
    sets = np.random.default_rng(0).normal(size=(4, 3, 2))
    fields = relation_symmetry.velocities(3)
    found = {name: [field(tf.constant(sets)).numpy() for field in group] for name, group in fields.items()}
    for velocity in itertools.chain.from_iterable(found.values()):
        np.testing.assert_allclose((velocity**2).sum(axis=(1, 2)), 1)
    np.testing.assert_array_equal(np.ptp(found["translation"], axis=2), 0)
    assert np.abs(found["translation"]).sum(axis=(1, 2)).astype(bool).tolist() == [[True, False], [False, True]]
    basis = np.reshape(found["any"], (6, 4, 6))[:, 0]
    np.testing.assert_array_equal(basis, np.eye(6))
    centred = sets - sets.mean(axis=1, keepdims=True)
    turned = np.stack([-centred[..., 1], centred[..., 0]], axis=2)
    for name, motion in (("zoom", centred), ("rotation", turned)):
        lengths = np.linalg.norm(motion, axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(found[name], [motion / lengths], atol=1e-15)


def test_groups_act_on_points() -> None:
    points = np.arange(6.0).reshape(3, 2)
    images = {tuple(each.ravel()) for each in items(3).apply(items(3).elements(), points[None])}
    assert images == {tuple(np.concatenate(order)) for order in itertools.permutations(points)}
    mirror = relation_symmetry.mirror(3)
    still, mirrored = mirror.apply(mirror.elements(), points[None])[:, 0]
    np.testing.assert_allclose(still, points)
    np.testing.assert_allclose(mirrored, [[4, 1], [2, 3], [0, 5]], atol=1e-12)


def test_sets_are_moved_whole_and_so_far() -> None:
    sets = np.random.default_rng(0).normal(size=(5, 3, 2)).astype(np.float32)
    moves = relation_symmetry.moved(sets, [0.0, 7.0], seed=0) - sets
    np.testing.assert_array_equal(moves[0], 0)
    np.testing.assert_allclose(np.linalg.norm(moves[1], axis=2), 7)
    np.testing.assert_allclose(np.ptp(moves[1], axis=1), 0, atol=1e-12)
    assert np.ptp(moves[1], axis=0).min() > 1


def test_a_network_whose_output_never_changes_is_invariant() -> None:
    assert relation_symmetry.share([0.0, 0.0], 0.0) == 0
    assert relation_symmetry.share([3.0, 3.0], [1.0, -1.0]) == 3


def test_a_cell_holds_the_deviation_of_several_trials() -> None:
    assert relation_symmetry._cell({"mean": 0.25, "deviation": 0.0, "values": [0.25]}) == "0.250"
    assert relation_symmetry._cell({"mean": -2e-16, "deviation": 0.0, "values": [0, 1]}) == "-2e-16 (0)"


@pytest.mark.slow
def test_other_data_are_refused(tmp_path: pathlib.Path) -> None:
    done = run("relation_symmetry", "--dataset=MNIST", f"--experiment_dir={tmp_path}")
    assert (done.returncode, done.stderr) == (2, "error: dataset (=MNIST) must be one of points.\n")
