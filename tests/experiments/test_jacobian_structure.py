"""The experiment on the structure of Jacobians, on real data cut short, and what it stands on."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.experiments.processes import run
from weirdonetworks.experiments.jacobian_structure import study as jacobian_structure
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.measure.jacobian import spectrum
from weirdonetworks.measure.lie_derivatives import IMAGE_GENERATORS

SHORT = jacobian_structure.JacobianStructureConfig(
    examples=300,
    validation_size=0,
    batch_size=100,  # Whole batches: a short one would be traced beside them.
    shrink=4,
    width=5,
    channels=(3,),
    epochs=1,
    examined=30,
    execution="graph",
)
STAGES = ["convolution 0", "ReLU 0", "pooling 0", "flatten", "dense"]


@pytest.mark.slow
def test_it_measures_each_network_before_and_after_training(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment.main(SHORT, RunOptions(experiment_dir=str(tmp_path)))
    printed = capsys.readouterr().out
    (directory,) = tmp_path.glob("jacobian_structure-*")
    assert (directory / "jacobian_structure.png").read_bytes().startswith(b"\x89PNG")
    networks = json.loads((directory / "results.json").read_text())["networks"]
    before, upright, turned, *convolutions = networks
    assert all(name in printed for name in networks) and len(convolutions) == 2
    assert len(list(directory.glob("*/metrics.jsonl"))) == 3
    for name, each in networks.items():
        assert ("accuracy" in each) == ("untrained" not in name)
        assert each["spectrum"][0] == 1 and np.all(np.diff(each["spectrum"]) <= 0) and len(each["spectrum"]) == 49
        counts = [each["sensitive"][tolerance]["mean"] for tolerance in ("0.1", "0.01", "0.001")]
        assert counts == [sum(value > tolerance for value in each["spectrum"]) for tolerance in (0.1, 0.01, 0.001)]
        share = each["share/0.01"]
        assert share["by chance"]["mean"] == pytest.approx(1 - counts[1] / 49)
        assert all(0 <= found["mean"] <= 1 for found in share.values())
        assert list(each["over_another"]) == list(IMAGE_GENERATORS)
        assert min(found["mean"] for kind in ("over_noise", "over_another") for found in each[kind].values()) > 0
        if "perceptron" in name:
            assert max(counts) <= 5  # Its first layer lets no more through.
        else:
            parts = each["part_by_layer/shift right"]
            assert list(parts) == STAGES and sum(part["mean"] for part in parts.values()) == pytest.approx(1, abs=1e-4)
            assert each["size_by_layer/rotation"]["dense"]["mean"] == 0
    assert networks[before]["spectrum"] != networks[upright]["spectrum"] != networks[turned]["spectrum"]


@pytest.mark.slow
def test_a_dead_network_has_no_spectrum() -> None:
    with pytest.raises(ValueError, match=r"network must change with its input at some image"):
        images = np.ones((2, 3, 3, 1), np.float32)
        singular, directions = spectrum(lambda images: 0 * images[:, 0, :, 0], images)
        jacobian_structure.measure_directions(singular, directions, images, np.zeros((3, 3, 1), bool))


@pytest.mark.slow
def test_an_invariant_network_is_seen_to_be_one() -> None:
    def blurred_sum(images: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.square(tf.nn.avg_pool2d(images, 5, 1, "SAME")), axis=[1, 2])

    y, x = np.mgrid[-12:13, -12:13]
    places = np.random.default_rng(1).uniform(-3, 3, (6, 2))
    images = np.exp(-((x - places[:, 0, None, None]) ** 2 + (y - places[:, 1, None, None]) ** 2) / 6)
    figures = jacobian_structure.measure_derivatives(blurred_sum, images[..., None].astype(np.float32))
    over = figures["over_another"]
    assert max(over["shift right"], over["shift up"]) < 1e-3 < 0.3 < over["zoom"]


def test_smooth_noise_has_the_spectrum_of_the_image() -> None:
    images = np.random.default_rng(2).normal(size=(2, 6, 7, 1)).cumsum(axis=1).astype(np.float32)
    noise = jacobian_structure.smooth_noise(tf.constant(images)).numpy()
    powers = [np.abs(np.fft.fft2(each[..., 0])) for each in (noise, images)]
    np.testing.assert_allclose(*powers, rtol=1e-4, atol=1e-4)
    assert np.abs(noise - images).max() > 1


def test_one_image_alone_is_refused() -> None:
    with pytest.raises(UsageError, match=r"examples \(=1\) must be at least 2: each image is compared with another\."):
        jacobian_structure.JacobianStructureConfig(examples=1)


@pytest.mark.slow
def test_bad_input_is_one_line(tmp_path: pathlib.Path) -> None:
    done = run("jacobian_structure", "--channels=", f"--experiment_dir={tmp_path}")
    assert (done.returncode, done.stderr) == (2, "error: channels must hold at least one number.\n")
