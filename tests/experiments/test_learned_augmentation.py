"""The learned augmentation experiment: its objective, and the command as a process on real data cut short."""

import json
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.experiments.processes import run
from weirdonetworks.experiments.learned_augmentation import study as learned_augmentation
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.training import study


@pytest.mark.slow
def test_widths_are_rewarded_in_training_alone(digits: Dataset) -> None:
    network = learned_augmentation.maker(digits, 4, strength=2.0)()
    assert network.elements.fill == pytest.approx(digits.standardisation(tf.zeros([1])).numpy().item())
    objective, figures = learned_augmentation.objective(network, digits), {}
    for is_training in (False, True):
        # Black images are the same however they are turned.
        batch = tf.zeros([3, 28, 28, 1], tf.uint8), tf.constant([1, 2, 3])
        figures[is_training] = objective(*batch, is_training=is_training, seed=tf.constant([1, 2]))
    np.testing.assert_allclose(figures[True]["loss"] - figures[False]["loss"], 3 * [-2.0 * 0.1], rtol=1e-4)
    np.testing.assert_array_equal(figures[True]["accuracy"], figures[False]["accuracy"])


@pytest.mark.slow
def test_it_tells_the_width_learned_for_each_range(tmp_path: pathlib.Path) -> None:
    # Whole batches: a short one would be traced beside them.
    short = ("--examples=300", "--batch_size=55", "--epochs=2", "--shrink=4", "--execution=graph", "--hidden_size=4")
    done = run("learned_augmentation", *short, "--ranges=45", "--strengths=9", f"--experiment_dir={tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    (directory,) = tmp_path.glob("learned_augmentation-*")
    (found,) = json.loads((directory / "results.json").read_text())["networks"]
    width = found["width"]["mean"]
    assert (found["range"], found["strength"], found["by_epoch"][-1]) == (45, 9, width)
    assert len(found["by_epoch"]) == 3 and found["by_epoch"][0] == pytest.approx(math.degrees(0.1)) and width > 5.75
    assert f"  {width:.1f}  " in done.stdout and "(0.0)" not in done.stdout
    assert (directory / "learned_augmentation.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(directory.glob("within_45_strength_9-*"))) == 1


@pytest.mark.slow
def test_a_range_beyond_half_a_turn_is_refused(tmp_path: pathlib.Path) -> None:
    refused = run("learned_augmentation", "--ranges=0,190", f"--experiment_dir={tmp_path}")
    assert (refused.returncode, refused.stderr) == (2, "error: ranges (=190) must be in [0, 180].\n")


@pytest.mark.parametrize(("values", "written"), [([20.0], "20.0"), ([20.0, 40.0], "30.0 (14.1)")])
def test_one_trial_has_no_deviation_in_the_table(values: list[float], written: str) -> None:
    each = {"strength": 0.1, "range": 30, "width": study.spread(values), "test_accuracy": study.spread([0.5])}
    (table,) = learned_augmentation.table({"networks": [each]})
    assert f"  {written}  " in table
