"""The experiment on data and symmetry, as a process on real data cut short, and what it draws and finds."""

import pathlib

import numpy as np
import pytest

from tests.drivers.processes import all_runs, only_run, read, records
from tests.experiments.processes import run
from weirdonetworks.experiments.data_savings import study as data_savings
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.errors import UsageError

SHORT = ("--examples=400", "--validation_size=0", "--epochs=2", "--batch_size=100", "--shrink=4", "--execution=graph")
NETWORKS = ["plain", "plain + augmentation", "synchronous", "invariant"]


@pytest.mark.slow
def test_it_trains_every_network_on_every_size(tmp_path: pathlib.Path) -> None:
    flags = ("--parameters=3000", "--sizes=20,200", "--targets=0,0.99", f"--experiment_dir={tmp_path}")
    done = run("data_savings", *SHORT, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    directory = only_run(tmp_path)
    assert (directory / "data_savings.png").read_bytes().startswith(b"\x89PNG")
    found = read(directory / "results.json")
    assert found["sizes"] == [20, 200] and list(found["networks"]) == NETWORKS
    for name, each in found["networks"].items():
        assert name in done.stdout
        assert 2000 < each["parameters"] <= 3000
        assert len(each["test_accuracy"]) == 2
        assert each["images_needed"] == [20, None]
    trainings = all_runs(directory)
    assert len(trainings) == 8
    # As many steps on few images as on many: 2 x 200 / 100.
    assert {records(training)[-1]["step"] for training in trainings} == {4}


def test_sets_are_drawn_out_of_larger_ones_and_repeated(digits: Dataset) -> None:
    drawn = {size: data_savings.some(digits.train, size, 60, seed=1) for size in (20, 50)}
    distinct = {size: {image.tobytes() for image in split.images} for size, split in drawn.items()}
    assert {size: len(split) for size, split in drawn.items()} == {20: 60, 50: 60}
    assert {size: len(images) for size, images in distinct.items()} == {20: 20, 50: 50}
    assert distinct[20] < distinct[50]
    labels = {image.tobytes(): label for image, label in zip(digits.train.images, digits.train.labels, strict=True)}
    assert [labels[image.tobytes()] for image in drawn[20].images] == drawn[20].labels.tolist()
    counts = np.unique(drawn[20].images, axis=0, return_counts=True)[1]
    assert counts.tolist() == [3] * 20
    other = {image.tobytes() for image in data_savings.some(digits.train, 20, 60, seed=2).images}
    assert other != distinct[20]


def test_images_needed_are_counted_after_the_last_size_that_misses() -> None:
    sizes, accuracies = [10, 100, 1000, 10_000], [0.5, 0.9, 0.8, 1.0]
    assert data_savings.images_needed(sizes, accuracies, 0.9) == pytest.approx(1000 * 10**0.5)
    assert data_savings.images_needed(sizes, accuracies, 0.8) == pytest.approx(10 * 10**0.75)
    assert data_savings.images_needed(sizes, accuracies, 0.5) == 10
    assert data_savings.images_needed(sizes, accuracies, 1.0) == 10_000
    assert data_savings.images_needed(sizes, [*accuracies[:3], 0.95], 0.96) is None


@pytest.mark.slow
def test_bad_input_is_refused(tmp_path: pathlib.Path) -> None:
    for sizes in ((100, 100), (300, 100), ()):
        with pytest.raises(UsageError, match=r"must rise, and hold at least one"):
            data_savings.DataSavingsConfig(sizes=sizes)
    config = data_savings.DataSavingsConfig(examples=400, sizes=(100, 1000))
    with pytest.raises(UsageError, match="sizes: 1000 must be at most 367, the training images"):
        experiment.main(config, RunOptions(experiment_dir=str(tmp_path)))
