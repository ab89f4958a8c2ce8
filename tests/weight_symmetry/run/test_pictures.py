"""The picture of a run shows the figures of its records and masks."""

import itertools
import pathlib
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from weight_symmetry.run import pictures
from weirdonetworks.lab import plots

RECORDS = [
    {"epoch": 1, "train_accuracy": 0.5, "test_accuracy": 0.4, "mask/sparsity": 0.0, "mask/permutation_log10": 7.2},
    {
        "epoch": 2,
        "train_accuracy": 0.6,
        "test_accuracy": 0.5,
        "mask/sparsity": 0.75,
        "mask/permutation_log10": 1.25,
        "masked_test_accuracy": 0.1,
    },
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Receives the figures that are saved."""
    figures: list[Any] = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    return figures


def draw(drawn: list[Any], masks: list[np.ndarray]) -> list[Any]:
    pictures.save(pathlib.Path("training.png"), RECORDS, masks)
    return drawn[-1].axes


def test_accuracy_and_the_time_of_pruning(drawn: list[Any]) -> None:
    left = draw(drawn, [np.ones((4, 2), bool)])[0]
    lines = {line.get_label(): line.get_xydata().tolist() for line in left.get_lines()}
    assert lines["train"] == [[1, 50], [2, 60]] and lines["test"] == [[1, 40], [2, 50]]
    assert [list(line.get_xdata()) for line in left.get_lines() if line.get_linestyle() == ":"] == [[1, 1]]
    (note,) = left.texts
    assert "75.0% cut" in note.get_text() and "10^1.2 orderings left" in note.get_text()
    assert {text.get_text() for text in left.get_legend().get_texts()} == {"train", "test"}


def test_one_ordering_is_called_so(drawn: list[Any]) -> None:
    pictures.save(
        pathlib.Path("training.png"), [{**RECORDS[1], "mask/permutation_log10": 0.0}], [np.ones((4, 2), bool)]
    )
    assert drawn[-1].axes[0].texts[0].get_text() == "75.0% cut,\n1 ordering left"


def test_what_was_cut_early_and_often_can_be_read(drawn: list[Any]) -> None:
    cut = [{**RECORDS[1], "epoch": epoch, "mask/permutation_log10": 772.4} for epoch in range(1, 13)]
    pictures.save(pathlib.Path("training.png"), cut, [np.ones((4, 2), bool)])
    left = drawn[-1].axes[0]
    drawn[-1].canvas.draw()
    places = [text.get_window_extent() for text in left.texts]
    assert len(places) == 12
    assert all(left.bbox.x0 <= place.x0 and left.bbox.y0 <= place.y0 for place in places)
    assert all(place.x1 < following.x0 for place, following in itertools.pairwise(places))
    assert left.get_legend().get_window_extent().y0 >= left.bbox.y1


def test_the_share_of_each_layer(drawn: list[Any]) -> None:
    masks = [np.ones((4, 2), bool), np.arange(8).reshape(2, 4) < 2, np.zeros((4, 1), bool)]
    middle = draw(drawn, masks)[1]
    assert [bar.get_height() for bar in middle.patches] == [100, 25, 0]
    assert [text.get_text() for text in middle.texts] == ["100%", "25%", "0%"]
    assert [text.get_text() for text in middle.get_xticklabels()] == ["1", "2", "output"]


def test_the_pixels_of_a_dense_first_layer(drawn: list[Any]) -> None:
    mask = np.zeros((9, 3), bool)
    mask[4], mask[0, 1] = True, True
    (image,) = draw(drawn, [mask])[2].get_images()
    np.testing.assert_array_equal(image.get_array(), [[1, 0, 0], [0, 3, 0], [0, 0, 0]])


def test_the_kernel_of_a_first_convolution(drawn: list[Any]) -> None:
    mask = np.zeros((2, 2, 3, 4), bool)
    mask[0, 1, :, :2] = True
    (image,) = draw(drawn, [mask])[2].get_images()
    np.testing.assert_array_equal(image.get_array(), [[0, 6], [0, 0]])


def test_inputs_that_are_no_square_have_no_map(drawn: list[Any]) -> None:
    right = draw(drawn, [np.ones((6, 2), bool)])[2]
    assert not right.get_images() and not right.axison


def test_a_picture_is_written(tmp_path: pathlib.Path) -> None:
    pictures.save(tmp_path / "training.png", RECORDS, [np.ones((784, 5), bool), np.ones((5, 10), bool)])
    pixels = matplotlib.image.imread(tmp_path / "training.png")
    assert pixels.shape[:2] == (900, 1200)
    assert pixels[..., :3].std() > 0.05
