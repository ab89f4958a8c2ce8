"""Plots show the numbers that they are given, and appear whole or not at all."""

import io
import itertools
import pathlib

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from weirdonetworks.lab import plots

RECORDS = [
    {"epoch": 1, "train_accuracy": 0.5, "validation_accuracy": 0.4, "test_accuracy": 0.3},
    {"epoch": 2, "train_accuracy": 0.75, "validation_accuracy": 0.6, "test_accuracy": 0.45},
]


def test_accuracy_is_drawn_in_percent_by_epoch() -> None:
    _, (axes,) = plots.row(1)
    plots.accuracy_by_epoch(axes, RECORDS)
    drawn = {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in axes.get_lines()}
    assert drawn == {
        "train": [[1, 50], [2, 75]],
        "validation": [[1, 40], [2, 60]],
        "test": [[1, 30], [2, 45]],
    }
    assert [to_hex(line.get_color()).upper() for line in axes.get_lines()] == list(plots.COLOURS[:3])


def test_a_split_that_is_missing_is_not_drawn() -> None:
    _, (axes,) = plots.row(1)
    plots.accuracy_by_epoch(axes, [{key: record[key] for key in ("epoch", "test_accuracy")} for record in RECORDS])
    assert [line.get_label() for line in axes.get_lines()] == ["test"]


def test_a_heat_map_holds_its_values() -> None:
    figure, (axes,) = plots.row(1)
    values = np.arange(6).reshape(2, 3)
    plots.heat_map(axes, values, "some counts", "things")
    (image,) = axes.get_images()
    np.testing.assert_array_equal(image.get_array(), values)
    assert axes.get_title() == "some counts"
    assert len(figure.axes) == 2  # the map, and the bar that tells its colours


def test_a_row_shares_its_width(tmp_path: pathlib.Path) -> None:
    figure, axes = plots.row(2, widths=(3, 1), height=2)
    assert isinstance(figure, Figure) and len(axes) == 2
    assert figure.get_size_inches().tolist() == pytest.approx([1.15 * 2 * 4, 2])
    plots.save(figure, tmp_path / "row.png")
    widths = [axis.get_position().width for axis in axes]
    assert widths[0] > 2 * widths[1]


def test_a_grid_is_as_wide_as_a_page_and_its_rows_are_filled(tmp_path: pathlib.Path) -> None:
    figure, axes = plots.grid(3, 2, heights=(1.5, 2.0))
    for one in axes:
        one.set(xticks=[], yticks=[])
    plots.save(figure, tmp_path / "grid.png")
    assert matplotlib.image.imread(tmp_path / "grid.png").shape[:2] == (525, 1200)
    top, bottom = axes[:3], axes[3:]
    assert min(one.get_position().y0 for one in top) > max(one.get_position().y1 for one in bottom)
    widths = [one.get_position().width for one in axes]
    # Before its version 3.11 matplotlib lays out the last of a row by a thirtieth wider.
    is_even = tuple(map(int, matplotlib.__version__.split(".")[:2])) >= (3, 11)
    assert widths[:3] == pytest.approx([widths[0]] * 3, rel=1e-6 if is_even else 0.04)
    assert widths[3:] == pytest.approx([1.5 * widths[0]] * 2, rel=0.1)


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (2, 1), (5, 3)])
def test_pairs_stand_two_in_a_row(count: int, rows: int) -> None:
    figure, axes = plots.pairs(count, height=1.0)
    assert len(axes) == count and figure.get_size_inches().tolist() == [plots.PAGE, rows]


def test_labels_of_lines_keep_their_order_and_do_not_overlap() -> None:
    figure, (axes,) = plots.grid(1)
    for name, end in {"highest": 1.0, "lowest": 0.0, "middle": 0.999, "lower": 0.001}.items():
        axes.plot([0, 1], [0.5, end], label=name)
    axes.errorbar([0, 1], [0.5, 0.998], yerr=[0.1, 0.1], label="with errors")
    axes.plot([0, 1], [0.5, 0.5])  # Without a label.
    plots.label_lines(axes)
    figure.canvas.draw()
    boxes = {text.get_text(): Text.get_window_extent(text) for text in axes.texts}  # Without the leaders.
    assert sorted(boxes, key=lambda name: boxes[name].y0) == ["lowest", "lower", "with errors", "middle", "highest"]
    heights = sorted((box.y0, box.y1) for box in boxes.values())
    assert all(below[1] <= above[0] for below, above in itertools.pairwise(heights))
    assert min(box.x0 for box in boxes.values()) > axes.get_window_extent().x1


def test_tiles_are_square_and_bare(tmp_path: pathlib.Path) -> None:
    figure, axes = plots.tiles(2, 3, side=1.0)
    assert axes.shape == (2, 3)
    assert all(not each.get_xticks().size and not each.get_yticks().size for each in axes.flat)
    for each in axes.flat:
        each.imshow(np.zeros((4, 4)))
    assert plots.tiles(1, 20)[0].get_size_inches()[0] == pytest.approx(plots.PAGE)
    plots.save(figure, tmp_path / "tiles.png")
    boxes = [each.get_window_extent() for each in axes.flat]
    assert all(abs(box.width - box.height) < 1 for box in boxes)


def test_a_saved_plot_is_a_picture(tmp_path: pathlib.Path) -> None:
    figure, (axes,) = plots.row(1)
    plots.accuracy_by_epoch(axes, RECORDS)
    path = tmp_path / "accuracy.png"
    plots.save(figure, path)
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[0] == round(3.2 * plots.DOTS_PER_INCH)
    blue = np.array([int(plots.COLOURS[0][i : i + 2], 16) / 255 for i in (1, 3, 5)])
    assert (np.abs(pixels[..., :3] - blue).max(axis=-1) < 0.02).sum() > 20
    assert [file.name for file in tmp_path.iterdir()] == ["accuracy.png"]


def test_the_same_plot_has_the_same_bytes(tmp_path: pathlib.Path) -> None:
    for name in ("one", "other"):
        figure, (axes,) = plots.row(1)
        plots.accuracy_by_epoch(axes, RECORDS)
        plots.save(figure, tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_the_places_found_ahead_are_those_of_matplotlib() -> None:
    figures = []
    for _ in range(2):
        figure, (axes, other) = plots.grid(2)
        plots.accuracy_by_epoch(axes, RECORDS)
        plots.heat_map(other, np.eye(3), "costs $5", "in $")
        figure.suptitle("both")
        figures.append(figure)
    expected = io.BytesIO()
    figures[0].savefig(expected, dpi=100, format="png", metadata={"Software": None})
    assert plots.png(figures[1], 100) == expected.getvalue()


def test_a_plot_that_fails_leaves_the_old_one(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "accuracy.png"
    path.write_text("old")
    figure, _ = plots.row(1)

    def fail(file: object, **options: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.save(figure, path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["accuracy.png"]


def test_one_trial_has_no_error_bars() -> None:
    one = {"mean": 0.5, "deviation": None, "values": [0.5]}
    two = {"mean": 0.5, "deviation": 0.1, "values": [0.4, 0.6]}
    for horizontal in (False, True):
        _, (axes,) = plots.row(1)
        plots.error_bars(axes, [0, 1], [one, one], horizontal=horizontal)
        assert not axes.collections
        plots.error_bars(axes, [0, 1], [two, two], horizontal=horizontal)
        (bars,) = axes.collections
        points = [segment[:, 0 if horizontal else 1].tolist() for segment in bars.get_segments()]
        np.testing.assert_allclose(points, [[40, 60], [40, 60]])


@pytest.mark.parametrize("name", ["x$\\\\frac{$", "$a$_{", "$x$"])
def test_texts_are_drawn_as_they_are_and_powers_of_ten_as_formulas(name: str, tmp_path: pathlib.Path) -> None:
    figure, (axes, beside) = plots.grid(2)
    axes.plot([1, 1000], [1, 2], label=name)
    axes.set(title=name, xlabel=name, xscale="log")
    axes.text(0.5, 1.5, name)
    axes.annotate(name, (1, 1))
    plots.label_lines(axes)
    plots.name_rows(beside, [name, "b"])
    beside.bar([name, "c"], [1, 2])
    figure.suptitle(name)
    figure.legend()
    plots.save(figure, tmp_path / "plot.png")
    shown = [text for text in figure.findobj(Text) if text.get_text() == name]
    assert len(shown) >= 7 and not any(text.get_parse_math() for text in shown)
    powers = [label for label in axes.get_xticklabels() if "10^" in label.get_text()]
    assert powers and all(label.get_parse_math() for label in powers)
