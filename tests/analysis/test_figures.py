"""Figures: the plotted numbers are those of the runs, and missing columns are named."""

import pathlib
import shutil
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from analysis import figures, quantities, scales, summaries
from tests.analysis import invented
from weirdonetworks.lab import plots
from weirdonetworks.lab.records.tables import counted

ALL = [
    figures.accuracy_against_sparsity,
    figures.accuracy_against_symmetries,
    figures.symmetries_against_sparsity,
    figures.training_curves,
]
MEASURES = ["mask/permutation_log10", "mask/live_automorphisms_log10", "mask/automorphisms_log10"]


def points(axes: Axes) -> dict[str, npt.NDArray[np.floating]]:
    """The points drawn of each series, sorted."""
    found = {}
    for drawn in axes.collections:
        if isinstance(drawn, PathCollection):
            offsets = np.asarray(drawn.get_offsets())
            found[str(drawn.get_label())] = offsets[np.lexsort(offsets.T)]
    return found


def lines(axes: Axes) -> dict[str, npt.NDArray[np.floating]]:
    """The line drawn through the means of each series."""
    named = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    return {str(line.get_label()): np.column_stack(line.get_data()) for line in named}


def expected(frame: pd.DataFrame, name: str, x: pd.Series, y: pd.Series) -> npt.NDArray[np.floating]:
    these = summaries.series(frame) == name
    pairs = np.column_stack([x[these], y[these]])
    return pairs[np.lexsort(pairs.T)]


def texts(figure: Figure) -> str:
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def legend(figure: Figure, which: int = 0) -> list[str]:
    return [text.get_text() for text in figure.legends[which].get_texts()]


def test_accuracy_against_sparsity_is_the_data(frame: pd.DataFrame) -> None:
    figure = figures.accuracy_against_sparsity(frame)
    (axes,) = figure.axes
    accuracy = frame["best_validation_accuracy/test_accuracy"]
    target = frame["mask_sparsity"].fillna(frame["sparsity"]).fillna(0.0)
    drawn = points(axes)
    assert list(drawn) == [*invented.MASK_TYPES, "magnitude pruning", "dense"]
    for name, found in drawn.items():
        np.testing.assert_array_equal(found, expected(frame, name, target, accuracy))
    for name, found in lines(axes).items():
        these = summaries.series(frame) == name
        groups = accuracy[these].groupby(target[these])
        np.testing.assert_allclose(found, np.column_stack([groups.mean().index, groups.mean()]), rtol=1e-12)
    assert axes.get_ylabel() == "test accuracy\n(at the best validation accuracy)"
    assert axes.get_xlabel() == "sparsity (fraction removed)"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0%", "50%", "80%", "90%", "95%", "98%"]
    assert legend(figure) == [f"{name} ({counted(len(found), 'run')})" for name, found in drawn.items()]


def test_the_band_is_one_standard_deviation(frame: pd.DataFrame) -> None:
    (axes,) = figures.accuracy_against_sparsity(frame).axes
    band = next(drawn for drawn in axes.collections if not isinstance(drawn, PathCollection))
    groups = frame[frame["mask_type"] == "symmetric"].groupby("mask_sparsity")
    accuracy = groups["best_validation_accuracy/test_accuracy"]
    edges = {(round(x, 9), round(y, 9)) for x, y in band.get_paths()[0].vertices}
    for level in invented.SPARSITIES:
        for sign in (-1, 1):
            assert (level, round(accuracy.mean()[level] + sign * accuracy.std()[level], 9)) in edges


def test_symmetries_against_accuracy_are_the_data(frame: pd.DataFrame) -> None:
    figure = figures.accuracy_against_symmetries(frame)
    assert len(figure.axes) == 3
    for axes, measure in zip(figure.axes, MEASURES, strict=True):
        for name, found in points(axes).items():
            accuracy = frame["best_validation_accuracy/test_accuracy"]
            np.testing.assert_array_equal(found, expected(frame, name, frame[measure], accuracy))
        assert "mask symmetries" in axes.get_xlabel()
        assert axes.get_xticklabels()[0].get_text() == "1"
    assert len({axes.get_xlabel() for axes in figure.axes}) == 3
    assert "larger for sparser masks" in figure.legends[1].get_title().get_text()
    assert legend(figure, 1) == ["0%", "50%", "80%", "95%", "98%"]


def test_points_grow_with_sparsity(frame: pd.DataFrame) -> None:
    (axes, *_) = figures.accuracy_against_symmetries(frame).axes
    drawn = next(drawn for drawn in axes.collections if drawn.get_label() == "random")
    levels = frame.loc[frame["mask_type"] == "random", "mask_sparsity"].to_numpy()
    sizes = [set(drawn.get_sizes()[levels == level]) for level in invented.SPARSITIES]
    assert [len(size) for size in sizes] == [1] * len(sizes)
    assert sorted(sizes, key=min) == sizes


@pytest.mark.slow
@pytest.mark.parametrize("of", ["mask", "propagated_mask"])
def test_symmetries_against_sparsity_are_the_data(of: str, frame: pd.DataFrame) -> None:
    frame["propagated_mask/permutation_log10"] += 1.0  # so that the two differ
    figure = figures.symmetries_against_sparsity(frame, of)
    for axes, measure in zip(figure.axes, MEASURES, strict=True):
        values = frame[measure.replace("mask", of, 1)]
        for name, found in points(axes).items():
            np.testing.assert_array_equal(found, expected(frame, name, summaries.sparsity(frame), values))
        assert axes.get_yscale() == "symlog"
        assert ("propagated mask" in axes.get_ylabel()) == (of == "propagated_mask")


@pytest.mark.slow
def test_training_curves_are_the_means_of_the_epochs(frame: pd.DataFrame) -> None:
    figure = figures.training_curves(frame)
    assert [axes.get_title() for axes in figure.axes] == [
        "sparsity 0%",
        "sparsity 50%",
        "sparsity 80%",
        "sparsity 90%",
        "sparsity 95%",
        "sparsity 98%",
    ]
    epochs = summaries.epochs(frame)
    for axes, level in zip(figure.axes[1:], invented.SPARSITIES, strict=True):
        for name, found in lines(axes).items():
            runs = frame.index[(summaries.series(frame) == name) & (summaries.sparsity(frame) == level)]
            means = epochs[epochs["run"].isin(runs)].groupby("epoch")["test_accuracy"].mean()
            np.testing.assert_allclose(found, np.column_stack([range(1, 7), means]), rtol=1e-12)
        assert len(lines(axes)) == 5
    runs = figures.training_curves(frame, "train_avg_loss", by="run")
    assert sum(len(axes.lines) for axes in runs.axes) == len(frame)
    assert runs.axes[0].get_yscale() == "log"
    assert runs.axes[0].get_ylabel() == "train avg loss"
    with pytest.raises(ValueError, match=r"by \(=epoch\) must be series or run"):
        figures.training_curves(frame, by="epoch")


def test_without_the_runs_there_are_no_curves_and_a_word_on_it(
    experiment: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.copy(experiment / "summary.json", tmp_path)
    figure = figures.training_curves(summaries.load(tmp_path))
    assert "no metrics.jsonl beside the summary holds test_accuracy" in texts(figure)


@pytest.mark.parametrize("draw", ALL)
def test_missing_columns_are_named_in_a_figure(draw: object, tmp_path: pathlib.Path) -> None:
    assert callable(draw)
    frame = pd.DataFrame({"driver": ["prune"], "file": [str(tmp_path / "summary.json")]}, index=["run"])
    figure = draw(frame)
    assert "There " in texts(figure)
    assert not figure.legends
    plots.save(figure, tmp_path / "figure.png")


def test_the_message_names_what_a_record_must_have() -> None:
    frame = pd.DataFrame({"mask/sparsity": [0.5]}, index=["run"])
    assert "no run has best_validation_accuracy/test_accuracy or" in texts(figures.accuracy_against_sparsity(frame))
    assert texts(figures.symmetries_against_sparsity(frame)).count("log10") == 3


def test_what_was_not_recorded_is_named_below_the_rest(frame: pd.DataFrame) -> None:
    without = frame.drop(columns=MEASURES[1:])  # as where igraph was not installed
    figure = figures.accuracy_against_symmetries(without)
    assert len(figure.axes) == 1
    note = "not recorded: mask/live_automorphisms_log10, mask/automorphisms_log10"
    assert note in figure.legends[1].get_title().get_text()
    assert note in figures.symmetries_against_sparsity(without).get_suptitle()


@pytest.mark.slow
def test_any_two_columns_can_be_drawn(frame: pd.DataFrame, tmp_path: pathlib.Path) -> None:
    for draw in (figures.scatter, figures.mean_with_spread):
        figure = draw(frame, "mask/permutations", ["best_train_loss/train_avg_loss", "mask/zeroed_neurons"])
        assert [axes.get_ylabel() for axes in figure.axes] == [
            "train avg loss\n(at the best train loss)",
            "zeroed neurons",
        ]
        for axes, column in zip(figure.axes, ("best_train_loss/train_avg_loss", "mask/zeroed_neurons"), strict=True):
            for name, found in points(axes).items():
                np.testing.assert_array_equal(
                    found, expected(frame, name, frame["mask/permutation_log10"], frame[column])
                )
        plots.save(figure, tmp_path / "figure.png")


def test_settings_are_series_of_their_own(frame: pd.DataFrame) -> None:
    frame["model"] = ["MNIST_FC", "MNIST_CNN"] * (len(frame) // 2)
    (axes,) = figures.accuracy_against_sparsity(frame).axes
    assert "random, model=MNIST_FC" in points(axes)
    assert sum(len(found) for found in points(axes).values()) == len(frame)


def test_curves_of_all_series_are_told_apart_without_markers(frame: pd.DataFrame) -> None:
    frame["width"] = range(len(frame))
    (shown,) = figures.training_curves(frame, by="run").legends
    looks = {(line.get_color(), line.get_linestyle()) for line in shown.get_lines()}
    assert len(looks) == figures.MOST_SERIES > len(plots.COLOURS)


def test_many_series_are_gathered(frame: pd.DataFrame) -> None:
    frame["width"] = range(len(frame))
    figure = figures.accuracy_against_sparsity(frame)
    drawn = points(figure.axes[0])
    assert len(drawn) == figures.MOST_SERIES
    assert len(drawn[figures.OTHERS]) == len(frame) - figures.MOST_SERIES + 1
    assert figures.OTHERS not in lines(figure.axes[0])
    assert legend(figure)[-1].startswith(figures.OTHERS)


@pytest.mark.slow
def test_long_names_of_series_stay_within_the_figure(frame: pd.DataFrame) -> None:
    frame["a_setting_with_a_long_name"] = [f"the value {number} of a setting" for number in np.arange(len(frame)) % 2]
    for draw in ALL:
        figure = draw(frame)
        figure.draw_without_rendering()
        for each in figure.legends:
            place = each.get_window_extent()
            assert 0 <= place.x0 < place.x1 <= figure.bbox.x1


def test_masks_of_random_sparsity_are_averaged_in_bins() -> None:
    sparsity = np.random.default_rng(1).uniform(0.5, 0.99, 200)
    frame = pd.DataFrame({"mask_type": "random", "mask/sparsity": sparsity, "final/test_accuracy": 1 - sparsity / 9})
    (axes,) = figures.accuracy_against_sparsity(frame).axes
    assert len(points(axes)["random"]) == 200
    assert len(lines(axes)["random"]) == 8


@pytest.mark.slow
def test_everything_drawn_is_within_the_axes(frame: pd.DataFrame) -> None:
    for draw in ALL:
        for axes in draw(frame).axes:
            for found in [*points(axes).values(), *lines(axes).values()]:
                for values, limits in zip(found.T, (axes.get_xlim(), axes.get_ylim()), strict=True):
                    assert limits[0] <= values.min() <= values.max() <= limits[1]


@pytest.mark.exhaustive
@pytest.mark.parametrize("scale", scales.SCALES)
@pytest.mark.parametrize("values", [[0.5], [0.0], [0.1, 0.9999], [0.0, 1.0], [0.3, np.nan, 900.0], [-1.0, 2.0], []])
def test_every_scale_takes_every_value(scale: str, values: list[float], tmp_path: pathlib.Path) -> None:
    figure, (axes,) = plots.row(1)
    axes.plot(values, values, ".")
    for which in "xy":
        scales.apply(axes, which, scale, values)
    plots.save(figure, tmp_path / "figure.png")
    assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()
    assert axes.get_xlim()[0] < axes.get_xlim()[1]


def test_shares_close_to_one_are_told_apart() -> None:
    figure, (axes,) = plots.row(1)
    axes.plot([0, 0, 0], [0.9, 0.99, 0.999], ".")
    scales.apply(axes, "y", scales.ACCURACY, [0.9, 0.99, 0.999])
    figure.draw_without_rendering()
    places = axes.transData.transform(np.column_stack([np.zeros(3), [0.9, 0.99, 0.999]]))[:, 1]
    assert np.diff(places)[0] == pytest.approx(np.diff(places)[1])
    assert {"90%", "99%", "99.9%"} <= {label.get_text() for label in axes.get_yticklabels()}


def test_scales_suit_the_columns() -> None:
    found = {name: quantities.scale_of(name) for name in ("final/test_accuracy", "final/lr", "mask/sparsity", "x/loss")}
    assert list(found.values()) == [scales.ACCURACY, scales.PLAIN, scales.SPARSITY, scales.LOG]
    assert quantities.scale_of("mask/permutation_log10") == scales.POWER


def test_equal_tables_give_equal_colours(frame: pd.DataFrame) -> None:
    first, second = (
        {drawn.get_label(): tuple(drawn.get_facecolor()[0][:3]) for drawn in draw(frame).axes[0].collections}
        for draw in (figures.accuracy_against_symmetries, partial(figures.scatter, x="sparsity", y="final/epoch"))
    )
    assert first == second
    assert len(set(first.values())) == 6
