"""The picture of stability shows the measured figures of each model."""

import pathlib
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from weirdonetworks.experiments.transfer_stability import stability_plots
from weirdonetworks.lab import plots
from weirdonetworks.measure.stability import Stability

ANGLES = [0.0, 90.0, 180.0]
MODELS = {
    "dense": Stability(np.array([0.4, 0.1, 0.2]), np.ones(3), np.array([1.0, 0.25, 0.5])),
    "invariant": Stability(np.array([0.0, 1e-9, 0.0]), np.zeros(3), np.array([0.75, 0.75, 0.75])),
}


def draw(models: dict[str, Stability] = MODELS, *options: Any) -> Figure:
    return stability_plots.compared(models, *options)


def test_accuracy_is_drawn_in_percent_by_transformation() -> None:
    left = draw(MODELS, ANGLES, "rotation (degrees)").axes[0]
    lines = [np.asarray(line.get_xydata()).tolist() for line in left.get_lines()]
    assert lines == [[[0, 100], [90, 25], [180, 50]], [[0, 75], [90, 75], [180, 75]]]
    assert left.get_xlabel() == "rotation (degrees)"


def test_transformations_without_places_are_numbered() -> None:
    left = draw().axes[0]
    assert [list(line.get_xdata()) for line in left.get_lines()] == [[0, 1, 2]] * 2
    assert all(float(tick).is_integer() for tick in left.get_xticks())


def test_the_share_of_inputs_up_to_each_variance() -> None:
    right = draw().axes[1]
    dense, invariant = right.get_lines()
    np.testing.assert_allclose(dense.get_xdata(), [0.1, 0.1, 0.2, 0.4])
    np.testing.assert_allclose(dense.get_ydata(), [0, 100 / 3, 200 / 3, 100])
    assert dense.get_drawstyle() == "steps-post"
    # A variance of 0 has its place on a logarithmic axis.
    np.testing.assert_allclose(invariant.get_xdata(), [1e-16, 1e-16, 1e-16, 1e-9])
    assert right.get_xscale() == "log" and 0 < right.get_xlim()[0] < 1e-16


def test_each_model_is_named_once() -> None:
    figure = draw()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["dense", "invariant"]
    colours = [[line.get_color() for line in axes.get_lines()] for axes in figure.axes]
    assert colours == [list(plots.COLOURS[:2])] * 2


def test_more_models_than_colours_are_told_apart() -> None:
    models = {str(index): MODELS["dense"] for index in range(10)}
    lines = draw(models).axes[1].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 10


def test_a_model_without_accuracy_keeps_its_colour() -> None:
    models = {"autoencoder": Stability(np.ones(2), np.ones(2)), **MODELS}
    left, right = draw(models).axes
    assert [line.get_color() for line in left.get_lines()] == list(plots.COLOURS[1:3])
    assert len(right.get_lines()) == 3
    assert len(draw({"autoencoder": Stability(np.ones(2), np.ones(2))}).axes) == 1


@pytest.mark.slow
def test_a_picture_is_written(tmp_path: pathlib.Path) -> None:
    plots.save(stability_plots.compared(MODELS, ANGLES), tmp_path / "stability.png")
    pixels = matplotlib.image.imread(tmp_path / "stability.png")
    assert pixels.shape[1] > 2 * pixels.shape[0] > 400
    assert pixels[..., :3].std() > 0.05


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        draw({})
    with pytest.raises(
        ValueError, match=r"at of shape \(2,\) must have a coordinate for each of the 3 transformations of d"
    ):
        draw(MODELS, [0.0, 1.0])


OUTPUTS = np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.4, 0.6], [0.7, 0.3]], [[0.8, 0.2], [0.8, 0.2]]])


def test_one_classifier_is_drawn_input_by_input() -> None:
    figure = stability_plots.input_by_input(OUTPUTS, np.array([0, 1]), ANGLES, "rotation (degrees)")
    error, right, each = figure.axes[:3]
    assert np.asarray(error.get_lines()[0].get_xydata()).tolist() == [[0, 50], [90, 100], [180, 50]]
    (mesh,) = right.collections
    np.testing.assert_allclose(np.ravel(mesh.get_array()), [0.4, 0.3, 0.2, 0.9, 0.4, 0.8])  # The worst image first.
    (points,) = each.collections
    np.testing.assert_allclose(points.get_offsets(), [[0.14 / 3, 1 / 3], [0.02 / 3, 0.4 / 3]])
    np.testing.assert_allclose(points.get_array(), [100 / 3, 100])


@pytest.mark.slow
def test_one_input_can_be_drawn() -> None:
    figure = stability_plots.input_by_input(OUTPUTS[:2, :1], np.array([0]), ANGLES[:2], "rotation (degrees)")
    figure.canvas.draw()
    assert len(figure.axes) == 5
