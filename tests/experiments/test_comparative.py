"""The experiment that compares digits: its pairs, and the command as a process on real data cut short."""

import json
import pathlib
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from tests.experiments.processes import run, shown_again
from weirdonetworks.experiments.comparative.study import _classify, comparison, draw_partners, measure
from weirdonetworks.lab.data import datasets
from weirdonetworks.nets.small.comparative_mlp import ComparativeMLP

# Whole batches: a short one would be traced beside them.
SHORT = ("--examples=1500", "--batch_size=125", "--epochs=2", "--stored=1,4", "--draws=2", "--execution=graph")
SHORT += ("--code_sizes=64,32",)
Done = tuple[pathlib.Path, subprocess.CompletedProcess[str]]


def partners(labels: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    return draw_partners(tf.constant(labels, tf.int32), tf.constant(seed, tf.int32)).numpy()


def test_pairs_are_balanced_and_of_two_different_images() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 200)
    found = partners(labels, (1, 2))
    np.testing.assert_array_equal(labels[found] == labels, np.arange(200) % 2 == 0)
    assert (found != np.arange(200)).all()
    np.testing.assert_array_equal(found, partners(labels, (1, 2)))
    assert (found != partners(labels, (1, 3))).mean() > 0.8


@pytest.mark.slow
def test_each_partner_is_as_likely_as_any_other() -> None:
    labels, seeds = tf.constant([0, 0, 0, 0, 1, 1]), tf.stack([tf.range(2000), tf.zeros([2000], tf.int32)], axis=1)
    every = tf.function(lambda seeds: tf.map_fn(lambda seed: draw_partners(labels, seed), seeds), autograph=False)
    drawn = every(seeds).numpy()
    for place, allowed in ((0, [1, 2, 3]), (1, [4, 5]), (4, [5]), (5, [0, 1, 2, 3])):
        counts = np.bincount(drawn[:, place], minlength=6)
        assert np.flatnonzero(counts).tolist() == allowed
        np.testing.assert_allclose(counts[allowed], 2000 / len(allowed), rtol=0.12)


@pytest.mark.exhaustive
@pytest.mark.parametrize("labels", [[3], [1, 2], [4, 4]])
def test_without_a_fitting_partner_there_is_one_all_the_same(labels: list[int]) -> None:
    found = partners(np.array(labels), (1, 2))
    assert ((found >= 0) & (found < len(labels))).all()


@pytest.mark.slow
def test_objective_measures_the_pairs_that_are_drawn(digits: datasets.Dataset) -> None:
    network = ComparativeMLP([6], [3], is_symmetric=False)
    split, seed = digits.train[np.arange(50)], tf.constant([3, 4])
    figures = comparison(network, digits.standardisation)(
        tf.constant(split.images), tf.constant(split.labels), is_training=True, seed=seed
    )
    chosen = partners(split.labels, (3, 4))
    images = digits.standardisation(tf.constant(split.images))
    forth = network(tf.stack([images, tf.gather(images, chosen)], axis=1)).numpy().astype(np.float64)
    back = network(tf.stack([tf.gather(images, chosen), images], axis=1)).numpy()
    is_same = split.labels == split.labels[chosen]
    np.testing.assert_allclose(figures["loss"], np.log1p(np.exp(np.where(is_same, -forth, forth))), rtol=1e-4)
    np.testing.assert_array_equal(figures["accuracy"], (forth > 0) == is_same)
    np.testing.assert_array_equal(figures["swapped"], (forth > 0) != (back > 0))


class Distances:
    """Compares images by their distance, as a trained network might."""

    def encode(self, images: tf.Tensor) -> tf.Tensor:
        return tf.reshape(images, [images.shape[0], -1])

    def compare(self, codes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_mean(tf.square(codes - others), axis=-1)


@pytest.mark.slow
def test_each_class_is_judged_by_its_own_stored_examples(digits: datasets.Dataset) -> None:
    k, network = 3, Distances()
    stored = digits.train[np.concatenate([np.flatnonzero(digits.train.labels == each)[:k] for each in range(10)])]
    codes, others = (
        network.encode(digits.standardisation(tf.constant(split.images))).numpy().astype(np.float64)
        for split in (digits.test, stored)
    )
    logits = -np.square(codes[:, np.newaxis] - others).mean(axis=2)
    expected = np.stack([logits[:, stored.labels == each].mean(axis=1) for each in range(10)]).argmax(axis=0)
    np.testing.assert_array_equal(_classify(network, digits, stored, k), expected)
    # Grouped the other way round, they would say something else.
    assert (logits.reshape(-1, k, 10).mean(axis=1).argmax(axis=1) != expected).mean() > 0.5
    found = measure({"network": network}, digits, k, 0, 0)
    assert 0.5 < found["network"] < 1 and set(found) == {"network", "k_nearest", "nearest"}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run("comparative", *SHORT, f"--experiment_dir={folder}")


def only(folder: pathlib.Path) -> pathlib.Path:
    (directory,) = folder.glob("comparative-*")
    return directory


@pytest.mark.slow
def test_it_compares_and_classifies(done: Done) -> None:
    folder, process = done
    assert (process.returncode, process.stderr) == (0, "")
    assert "symmetric network" in process.stdout and "k nearest" in process.stdout
    found = json.loads((only(folder) / "results.json").read_text())
    assert found["stored"] == [1, 4]
    assert found["pairs"]["symmetric"]["mean"] > 0.6
    assert found["swapped"]["symmetric"]["values"] == [0.0] and found["swapped"]["ordered"]["mean"] > 0
    for by_k in found["classified"].values():
        assert list(by_k) == ["1", "4"] and all(0.1 < each["mean"] < 1 for each in by_k.values())
    assert found["classified"]["nearest"]["1"] == found["classified"]["k_nearest"]["1"]
    assert found["classified"]["nearest"]["4"]["mean"] > found["classified"]["nearest"]["1"]["mean"]
    assert (only(folder) / "comparative.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_finished_study_trains_nothing(done: Done) -> None:
    folder, _ = done
    assert "k nearest" in shown_again("comparative", folder, *SHORT)


@pytest.mark.slow
def test_more_stored_examples_than_there_are_is_refused(tmp_path: pathlib.Path) -> None:
    refused = run("comparative", "--examples=300", "--stored=1,99", f"--experiment_dir={tmp_path}")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: stored (=99) must be at most ") and refused.stderr.count("\n") == 1
