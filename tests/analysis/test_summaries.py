"""Summaries: loading, cleaning, series and statistics, and what is skipped."""

import json
import math
import pathlib
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from analysis import records, summaries
from tests.analysis import invented
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files

RECORD = {"mask_type": "random", "mask_sparsity": 0.9, "mask/sparsity": 0.9, "final/test_accuracy": 0.97}


def write(path: pathlib.Path, value: Any) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def quietly(paths: Any) -> pd.DataFrame:
    """Loads without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", summaries.SkippedWarning)
        return summaries.load(paths)


def test_every_record_is_a_row_under_its_own_keys(experiment: pathlib.Path) -> None:
    frame = summaries.load(experiment)
    written = json.loads((experiment / "summary.json").read_text())
    assert frame.index.tolist() == list(written)
    assert frame.index.name == "run"
    assert frame["file"].unique().tolist() == [str(experiment / "summary.json")]
    assert frame.attrs["skipped"] == []
    for run, record in written.items():
        for key, value in record.items():
            found = frame.loc[run, key]
            assert found == (tuple(value) if isinstance(value, list) else value), (run, key)


def test_paths_lead_to_the_same_runs(
    experiment: pathlib.Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = frame.index[3]
    for path in (experiment / "summary.json", experiment.parent, f"{experiment.parent}/*", [str(experiment)] * 2):
        assert summaries.load(path).index.tolist() == frame.index.tolist(), path
    assert summaries.load(experiment / run).index.tolist() == [run]
    assert summaries.load([experiment / run, experiment / frame.index[0]]).index.tolist() == [frame.index[0], run]
    assert len(summaries.load([experiment / run, experiment])) == len(frame)
    monkeypatch.chdir(experiment / run)
    assert summaries.load(".").index.tolist() == [run]


def test_old_and_partial_records_are_mended(tmp_path: pathlib.Path) -> None:
    digits = "7" + 5000 * "0"
    path = tmp_path / "summary.json"
    write(
        path,
        '{"old": {"mask": {"sparsity": "0.5", "permutations": ' + digits + '}, "lr": "1e-3", "features": [300, 100]},'
        '"partial": {"mask/permutations": "24", "final/test_accuracy": NaN, "mask_type": null},'
        '"empty": {}, "wrong": 3, "odd": {"mask/sparsity": "a half", "final/loss": [1]}}',
    )
    with pytest.warns(summaries.SkippedWarning, match=r"^skipped 3: .*wrong is not a record") as caught:
        frame = summaries.load(path)
    assert "\n" not in str(caught[0].message)
    assert frame.index.tolist() == ["old", "partial", "empty", "odd"]
    assert frame["mask/sparsity"].tolist()[0] == 0.5
    assert frame["mask/sparsity"].isna().tolist() == [False, True, True, True]
    assert frame.loc["old", "mask/permutations"] == digits
    assert frame.loc["partial", "mask/permutations"] == 24
    assert records.exact(frame.loc["old", "mask/permutations"]) == 7 * 10**5000
    expected = [5000 + math.log10(7), math.log10(24), np.nan, np.nan]
    np.testing.assert_allclose(frame["mask/permutation_log10"], expected, rtol=1e-12)
    assert (frame.loc["old", "lr"], frame.loc["old", "features"]) == (0.001, (300, 100))
    assert pd.isna(frame.loc["partial", "final/test_accuracy"])
    assert any("mask/sparsity (='a half') is not a number" in line for line in frame.attrs["skipped"])
    assert repr(frame)  # Python refuses to write out an integer of 5,001 digits.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON: .* Remove or repair it"),
        ("", "is not JSON"),
        ("\x00", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1, 2]", "must map run ids to records, as a driver's summary.json does; it holds a list"),
        ("{}", "must map run ids to records, .* it is empty, so no run has finished yet"),
        ('{"epoch": 3, "test_accuracy": 0.9}', "must map run ids to records, .* its values are no records"),
    ],
)
def test_unreadable_summary_is_named_or_skipped(text: str, message: str, tmp_path: pathlib.Path) -> None:
    bad = write(tmp_path / "bad" / "summary.json", text)
    with pytest.raises(ValueError, match=message) as caught:
        summaries.load(bad)
    assert not isinstance(caught.value, UsageError)
    assert str(bad) in str(caught.value)
    assert "\n" not in str(caught.value)
    good = write(tmp_path / "good" / "summary.json", {"run": RECORD})
    with pytest.warns(summaries.SkippedWarning, match=message):
        frame = summaries.load([bad, good])
    assert frame.index.tolist() == ["run"]
    assert [str(bad) in line for line in frame.attrs["skipped"]] == [True]


def test_bytes_that_are_no_text_are_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "summary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not JSON"):
        summaries.load(tmp_path)


def test_nothing_to_load_is_a_usage_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        summaries.load(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no summary"):
        summaries.load(tmp_path)
    with pytest.raises(UsageError, match="at least one"):
        summaries.load([])


def test_unfinished_runs_are_named(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "summary.json", {"prune-1": RECORD})
    write(tmp_path / "prune-1" / "config.json", {})
    write(tmp_path / "prune-2" / "config.json", {})
    write(tmp_path / "prune-2" / "status.json", {"status": "interrupted", "epoch": 3})
    write(tmp_path / "prune-3" / "config.json", {})
    with pytest.warns(summaries.SkippedWarning, match="prune-2 is interrupted after 3 epochs"):
        frame = summaries.load(tmp_path)
    assert len(frame.attrs["skipped"]) == 2
    assert "prune-3 has no record" in frame.attrs["skipped"][1]
    with pytest.raises(UsageError, match="prune-2 is interrupted"):
        summaries.load(tmp_path / "prune-2")
    assert summaries.load(tmp_path / "prune-1").attrs["skipped"] == []


def test_a_long_list_of_skipped_things_is_cut_in_the_warning_only(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "summary.json", {"run": RECORD} | {f"bad{index}": index for index in range(9)})
    with pytest.warns(summaries.SkippedWarning, match=r"^skipped 9: .*bad2 is not a record; and 6 more"):
        frame = summaries.load(tmp_path)
    assert len(frame.attrs["skipped"]) == 9


def test_the_same_record_in_two_summaries_counts_once(tmp_path: pathlib.Path) -> None:
    first = write(tmp_path / "a" / "summary.json", {"1": RECORD, "2": RECORD})
    second = write(tmp_path / "b" / "summary.json", {"1": RECORD, "2": RECORD | {"final/test_accuracy": 0.5}})
    frame = summaries.load([first, second])
    assert frame.index.tolist() == ["1", "2", "2"]
    assert frame["file"].tolist() == [str(first), str(first), str(second)]
    assert summaries.statistics(frame)["runs"].tolist() == [3]
    assert summaries.series(frame).tolist() == ["random"] * 3


KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda key: key != "run")
COUNT_KEYS = st.sampled_from([f"mask/{name}" for name in records.COUNTS])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
TOLD = st.text(st.characters(exclude_categories=("Nd", "Cs")), max_size=8) | NUMBERS | st.booleans() | st.none()
RECORDS = st.builds(
    lambda told, measured, counts: told | measured | counts,
    st.dictionaries(KEYS.filter(lambda key: "/" not in key and key != "file"), TOLD, max_size=4),
    st.dictionaries(KEYS.map(lambda key: f"final/{key}"), NUMBERS | st.none(), max_size=4),
    st.dictionaries(COUNT_KEYS, st.integers(1, 10**400), max_size=2),
)


@pytest.mark.slow
@given(st.dictionaries(KEYS, RECORDS, min_size=1, max_size=4))
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, written: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("trip")
    files.write_json(folder / "summary.json", written)
    frame = quietly(folder)
    assert frame.index.tolist() == list(written)
    for position, record in enumerate(written.values()):
        row = frame.iloc[position]
        for key, value in record.items():
            if value is None:
                assert pd.isna(row[key])
            elif key.rpartition("/")[2] in records.COUNTS:
                assert records.exact(row[key]) == value
                within, _, name = key.rpartition("/")
                assert row[f"{within}/{records.COUNTS[name]}"] == pytest.approx(math.log10(value))
            else:
                assert row[key] == value


@given(st.integers(1, 10**3000))
def test_logarithms_of_digits(number: int) -> None:
    assert records.log10(str(number)) == pytest.approx(math.log10(number), rel=1e-14, abs=1e-14)
    assert records.log10(number) == pytest.approx(math.log10(number))


def test_what_has_no_logarithm() -> None:
    assert all(math.isnan(records.log10(count)) for count in (0, -1, "0", "-5", ""))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_levels_lie_among_their_values(values: list[float]) -> None:
    given_values = pd.Series(values)
    found = summaries.levels(given_values)
    assert found.nunique() <= 12
    assert found.notna().all()
    for level, members in given_values.groupby(found):
        assert members.min() <= level <= members.max()
    if given_values.nunique() <= 12:
        assert found.tolist() == values


def test_measured_sparsities_count_as_the_target_that_they_are_close_to() -> None:
    targets = [{"driver": "prune", "pruning_schedule": "", "sparsity": value} for value in (0.0, 0.9)]
    measured = [{"mask/sparsity": value} for value in (0.9005, 0.9016, 0.91, 0.9101, 0.02)]
    frame = pd.DataFrame([*targets, *measured])
    assert summaries.sparsity_level(frame).tolist() == [0.0, 0.9, 0.9, 0.9, 0.91, 0.91, 0.02]


def test_levels_gather_what_was_measured_around_one_target() -> None:
    values = np.repeat([0.5, 0.8, 0.9], 20) + np.random.default_rng(0).normal(0, 1e-5, 60)
    found = summaries.levels(pd.Series([*values, np.nan]))
    assert found[:60].nunique() == 3
    np.testing.assert_allclose(found[:60], np.repeat([0.5, 0.8, 0.9], 20), atol=1e-4)
    assert pd.isna(found[60])
    spread = summaries.levels(pd.Series(np.linspace(0.5, 0.99, 100)))
    assert spread.nunique() == 8  # the control: no clusters in these


def test_masks_are_named_by_flag_driver_or_file() -> None:
    frame = pd.DataFrame(
        {
            "mask_type": ["per_neuron", None, None, None, None],
            "driver": ["shuffled_mask", "prune", "train", None, None],
            "file": ["a/summary.json"] * 3 + ["structured/summary.json", "unstructured.json"],
        }
    )
    expected = ["per-neuron", "magnitude pruning", "dense", "structured", "unstructured"]
    assert summaries.mask_type(frame).tolist() == expected
    assert summaries.mask_type(pd.DataFrame({"mask/sparsity": [0.5]})).tolist() == ["unknown"]


def test_target_sparsity_is_what_was_aimed_at() -> None:
    frame = pd.DataFrame(
        {
            "driver": ["shuffled_mask", "prune", "prune", "prune", "train", "random_mask", None],
            "mask_sparsity": [0.8, *[None] * 6],
            "sparsity": [None, 0.9, 0.9, 0.95, *[None] * 3],
            "pruning_schedule": [None, "", "[(2, 0.3)]", "cubic(1, 4)", *[None] * 3],
            "sparsity_range": [*[None] * 5, (0.5, 0.99), None],
            "mask/sparsity": [0.8001, 0.9001, 0.3, 0.95, 0.0, 0.61, 0.4],
        }
    )
    np.testing.assert_allclose(summaries.target_sparsity(frame), [0.8, 0.9, np.nan, 0.95, 0.0, np.nan, np.nan])
    assert summaries.sparsity(frame).tolist() == [0.8, 0.9, 0.3, 0.95, 0.0, 0.61, 0.4]
    assert summaries.sparsity(pd.DataFrame(index=["run"])).isna().all()


def test_accuracy_is_never_chosen_by_the_test_data() -> None:
    frame = pd.DataFrame(
        {
            "best_validation_accuracy/test_accuracy": [0.9, np.nan, np.nan],
            "final/test_accuracy": [0.8, 0.7, np.nan],
            "best_test_acc/test_accuracy": [0.99, 0.99, 0.99],
        }
    )
    np.testing.assert_array_equal(summaries.accuracy(frame), [0.9, 0.7, np.nan])
    both = "at the best validation accuracy or else after the last epoch"
    assert summaries.accuracy_epoch(frame) == both
    assert summaries.accuracy_epoch(frame.iloc[1:]) == "after the last epoch"
    assert summaries.accuracy_epoch(pd.DataFrame(index=["run"])) == ""


def test_series_differ_in_settings_not_in_seeds() -> None:
    runs = [invented.record("shuffled_mask", "random", level, trial) for level in (0.5, 0.9) for trial in (0, 1)]
    runs += [invented.record("prune", "magnitude pruning", 0.5, 0), invented.record("train", "dense", 0.0, 0)]
    runs += [invented.record("shuffled_mask", "random", 0.9, 0, epochs=9, features=[50])]
    frame = pd.DataFrame([files.to_json(run) for run in runs])
    frame["features"] = frame["features"].map(tuple)
    assert summaries.series(frame[:6]).tolist() == ["random"] * 4 + ["magnitude pruning", "dense"]
    assert summaries.series(frame)[6] == "random, features=50, epochs=9"
    assert summaries.series(frame)[0] == "random, features=300-100, epochs=6"


def test_statistics_are_those_of_the_trials(frame: pd.DataFrame) -> None:
    found = summaries.statistics(frame)
    trials = frame[(frame["mask_type"] == "random") & (frame["mask_sparsity"] == 0.9)]
    accuracies = trials["best_validation_accuracy/test_accuracy"]
    row = found.loc[("random", 0.9)]
    assert row["runs", ""] == len(trials) == 3
    assert row["accuracy", "mean"] == pytest.approx(np.mean(accuracies))
    assert row["accuracy", "std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert row["permutation_log10", "mean"] == pytest.approx(np.mean(trials["mask/permutation_log10"]))
    names = list(dict.fromkeys(found.index.get_level_values("series")))
    assert names == [*invented.MASK_TYPES, "magnitude pruning", "dense"]
    assert found["runs"].to_numpy().sum() == len(frame)


def test_epochs_are_read_as_far_as_they_go(tmp_path: pathlib.Path) -> None:
    records_written = invented.experiment(tmp_path / "runs", trials=1)
    frame = summaries.load(tmp_path / "runs")
    first, second = list(records_written)[:2]
    metrics = tmp_path / "runs" / first / "metrics.jsonl"
    metrics.write_text(metrics.read_text()[:-5])  # as a killed run leaves it
    (tmp_path / "runs" / second / "metrics.jsonl").unlink()
    counts = summaries.epochs(frame)["run"].value_counts()
    assert (counts[first], second in counts) == (5, False)
    assert set(counts.drop(first)) == {6}
    assert summaries.epochs(frame.iloc[:0]).empty


def test_a_run_with_a_damaged_line_has_no_epochs_and_is_named(tmp_path: pathlib.Path) -> None:
    first = next(iter(invented.experiment(tmp_path / "runs", trials=1)))
    frame = summaries.load(tmp_path / "runs")
    metrics = tmp_path / "runs" / first / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace("{", "@{", 2))
    with pytest.warns(summaries.SkippedWarning, match=rf"^skipped the epochs of {first}: .*line 1, is not JSON"):
        epochs = summaries.epochs(frame)
    assert set(epochs["run"]) == set(frame.index) - {first}
