"""The picture of stability shows the measured figures of each model."""

import pathlib

import matplotlib.image
import numpy as np
import pytest

from weirdonetworks.experiments.transfer_stability import stability_plots
from weirdonetworks.lab import plots
from weirdonetworks.measure.stability import Stability

ANGLES = [0.0, 90.0, 180.0]
MODELS = {
    "dense": Stability(np.array([0.4, 0.1, 0.2]), np.ones(3), np.array([1.0, 0.25, 0.5])),
    "invariant": Stability(np.array([0.0, 1e-9, 0.0]), np.zeros(3), np.array([0.75, 0.75, 0.75])),
}


def test_accuracy_is_drawn_in_percent_by_angle() -> None:
    left = stability_plots.compared(MODELS, ANGLES).axes[0]
    lines = [np.asarray(line.get_xydata()).tolist() for line in left.get_lines()]
    assert lines == [[[0, 100], [90, 25], [180, 50]], [[0, 75], [90, 75], [180, 75]]]
    assert left.get_xlabel() == "rotation (degrees)"


def test_the_share_of_inputs_up_to_each_variance() -> None:
    right = stability_plots.compared(MODELS, ANGLES).axes[1]
    dense, invariant = right.get_lines()
    np.testing.assert_allclose(dense.get_xdata(), [0.1, 0.1, 0.2, 0.4])
    np.testing.assert_allclose(dense.get_ydata(), [0, 100 / 3, 200 / 3, 100])
    assert dense.get_drawstyle() == "steps-post"
    # A variance of 0 has its place on a logarithmic axis.
    np.testing.assert_allclose(invariant.get_xdata(), [1e-16, 1e-16, 1e-16, 1e-9])
    assert right.get_xscale() == "log" and 0 < right.get_xlim()[0] < 1e-16


def test_each_model_is_named_once() -> None:
    figure = stability_plots.compared(MODELS, ANGLES)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["dense", "invariant"]
    colours = [[line.get_color() for line in axes.get_lines()] for axes in figure.axes]
    assert colours == [list(plots.COLOURS[:2])] * 2


def test_more_models_than_colours_are_told_apart() -> None:
    models = {str(index): MODELS["dense"] for index in range(10)}
    lines = stability_plots.compared(models, ANGLES).axes[1].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 10


@pytest.mark.slow
def test_a_picture_is_written(tmp_path: pathlib.Path) -> None:
    plots.save(stability_plots.compared(MODELS, ANGLES), tmp_path / "stability.png")
    pixels = matplotlib.image.imread(tmp_path / "stability.png")
    assert pixels.shape[1] > 2 * pixels.shape[0] > 400
    assert pixels[..., :3].std() > 0.05


OUTPUTS = np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.4, 0.6], [0.7, 0.3]], [[0.8, 0.2], [0.8, 0.2]]])


def test_one_classifier_is_drawn_input_by_input() -> None:
    figure = stability_plots.input_by_input("dense", OUTPUTS, np.array([0, 1]), ANGLES)
    error, right, each = figure.axes[:3]
    assert error.get_title() == "dense: error by angle"
    assert np.asarray(error.get_lines()[0].get_xydata()).tolist() == [[0, 50], [90, 100], [180, 50]]
    (mesh,) = right.collections
    np.testing.assert_allclose(np.ravel(mesh.get_array()), [0.4, 0.3, 0.2, 0.9, 0.4, 0.8])  # The worst image first.
    (points,) = each.collections
    np.testing.assert_allclose(points.get_offsets(), [[0.14 / 3, 1 / 3], [0.02 / 3, 0.4 / 3]])
    np.testing.assert_allclose(points.get_array(), [100 / 3, 100])


@pytest.mark.slow
def test_one_input_can_be_drawn() -> None:
    figure = stability_plots.input_by_input("dense", OUTPUTS[:2, :1], np.array([0]), ANGLES[:2])
    figure.canvas.draw()
    assert len(figure.axes) == 5
