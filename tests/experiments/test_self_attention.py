"""The experiment on attention over pixels, as a process on real data cut short."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.drivers.processes import only_run, read, records
from tests.experiments.processes import run, shown_again
from weirdonetworks.experiments.self_attention.study import central_pixel

# Whole batches: a short one would be traced beside them.
SHORT = ("--examples=110", "--validation_size=14", "--epochs=1", "--size=4", "--window=1")
Done = tuple[pathlib.Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run("self_attention", *SHORT, f"--experiment_dir={folder}")


@pytest.mark.slow
def test_it_leaves_results_and_a_picture(finished: Done) -> None:
    folder, done = finished
    assert (done.returncode, done.stderr) == (0, "")
    study = only_run(folder)
    found = read(study / "results.json")
    assert found["epochs"][-1]["test_accuracy"] == found["test_accuracy"]["mean"]
    assert 0.1 < found["peak_memory_gib"] < 4
    assert found["peak_memory_gib"] == max(record["peak_memory_gib"] for record in records(only_run(study)))
    assert "peak_memory_gib" not in found["epochs"][-1]
    assert f"{found['peak_memory_gib']:.1f} GiB" in done.stdout
    assert (study / "self_attention.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_finished_study_trains_nothing(finished: Done) -> None:
    folder, _ = finished
    shown_again("self_attention", folder, *SHORT)


STEP = """
import tensorflow as tf
from weirdonetworks.experiments.self_attention import SelfAttentionConfig
from weirdonetworks.lab import machine
from weirdonetworks.nets.small.pixel_attention import PixelTransformer

config = SelfAttentionConfig()

def step(batch, **options):
    network = PixelTransformer(10, config.size, config.num_blocks, config.num_heads, config.window, **options)
    images = tf.ones([batch, 28, 28, 1])
    network(images[:1])

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(images) ** 2)
        return tape.gradient(loss, network.trainable_variables)

    gradients()
    return machine.peak_memory()

print(step(1), step(64), step(64, rows=28))
"""


@pytest.mark.slow
def test_a_step_holds_no_whole_map() -> None:
    """All pixels by all, in both heads of 64 images, would take 0.29 GiB, more than once."""
    done = subprocess.run([sys.executable, "-c", STEP], capture_output=True, text=True, timeout=300, check=True)
    start, chunked, whole = map(float, done.stdout.split())
    assert chunked - start < 0.29
    assert whole - start > 2 * 0.29


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "status", "message"),
    [
        ("--window=-1", 2, "window (=-1) must be at least 0."),
        ("--size=5", 2, "size (=5) must be divisible by num_heads (=2)."),
    ],
)
def test_bad_input_is_one_clear_line(flag: str, status: int, message: str, tmp_path: pathlib.Path) -> None:
    done = run("self_attention", flag, f"--experiment_dir={tmp_path}/runs")
    assert (done.returncode, done.stderr) == (status, f"error: {message}\n")


def test_the_central_pixel_is_inked_and_nearest_to_the_centre() -> None:
    image = np.zeros((7, 7), np.uint8)
    image[0, 0], image[5, 2], image[3, 3] = 200, 150, 99
    assert central_pixel(image) == (5, 2)
    image[3, 3] = 100
    assert central_pixel(image) == (3, 3)
