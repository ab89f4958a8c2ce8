"""The records of runs as a pandas table, and the series, sparsities and metrics derived from it.

>>> import json, pathlib, tempfile
>>> folder = pathlib.Path(tempfile.mkdtemp())
>>> record = {"mask_type": "random", "mask/permutations": "1" + 700 * "0", "final/test_accuracy": "0.98"}
>>> _ = (folder / "summary.json").write_text(json.dumps({"shuffled_mask-1": record}))
>>> frame = load(folder)
>>> frame.loc["shuffled_mask-1", "mask/permutation_log10"].item()
700.0
>>> accuracy(frame).tolist()
[0.98]
"""

import glob
import os
import pathlib
import re
import warnings
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from analysis import records
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files
from weirdonetworks.lab.records.tables import counted

Path = str | os.PathLike[str]

# Keys of the test accuracy, the first that a record has: at the epoch with the best validation accuracy, else the last
# epoch, else, in old records, the epoch with the best training loss. None is selected on test data.
ACCURACIES = {
    "best_validation_accuracy/test_accuracy": "at the best validation accuracy",
    "final/test_accuracy": "after the last epoch",
    "best_train_loss/test_accuracy": "at the best train loss",
}
# Labels of the three counts of symmetries, by the record keys of their logarithms.
SYMMETRIES = {
    "permutation_log10": "permutations within layers",
    "live_automorphisms_log10": "exact group, live neurons",
    "automorphisms_log10": "exact group, with dead neurons",
}
# Mask types of drivers without --mask_type.
DRIVER_MASKS = {"prune": "magnitude pruning", "train": "dense"}
MASK_ORDER = ("symmetric", "random", "per-neuron", "per-neuron-no-input-ablation", *DRIVER_MASKS.values())
# Columns that do not distinguish series: the axes of plots, trials and seeds, and the execution.
_NOT_SETTINGS = {"driver", "file", "mask_type", "sparsity_range"}
_NOT_SETTINGS |= {"execution", "batch_size_test", "update_epoch", "update_iterations"}
_NOT_SETTINGS_IF = re.compile("seed|trial|sparsity$")
# As fractions of the range of values: the least gap between clusters, and the largest width of one.
_GAP, _CLUSTER = 0.005, 0.02
_SAME = 0.03
# The number of skipped entries that a warning lists.
_NAMED = 3


class SkippedWarning(UserWarning):
    """Warns of runs or entries that `load` skipped."""


def load(paths: Path | Iterable[Path]) -> pd.DataFrame:
    """Loads the records of runs as a table, one row per run, indexed by run id.

    Args:
      paths: One or more summary files, folders of experiments (searched recursively for `summary.json`), folders of
        single runs, or glob patterns.

    Returns:
      A table with the keys of the records as columns (cleaned as by `records.read`), lists as tuples, and `file`, the
      summary file of the run. Runs with equal records in several summaries appear once. `attrs["skipped"]` lists what
      was skipped, unfinished runs included, and a `SkippedWarning` is issued if that is anything.

    Raises:
      UsageError: If no summary is found.
      ValueError: If no summary could be read; the message names the first and the remedy.
    """
    listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    sources, skipped = _sources([os.path.expanduser(path) for path in listed])
    if not sources:
        raise UsageError(" ".join(skipped) or "paths must name at least one summary.")
    rows: list[dict[str, object]] = []
    refused: Exception | None = None
    for file, wanted in sources.items():
        try:
            found, complaints = records.read(file)
        except (ValueError, OSError) as error:
            refused = refused or error
            skipped.append(str(error))
            continue
        skipped += complaints + _unrecorded(file, wanted, found)
        rows += [
            {"run": run, **record, "file": str(file)} for run, record in found.items() if not wanted or run in wanted
        ]
    if not rows:
        raise refused or UsageError(" ".join(skipped))
    frame = _table(rows)
    frame.attrs["skipped"] = skipped
    if skipped:
        warnings.warn(skipped_line(frame), SkippedWarning, stacklevel=2)
    return frame


def skipped_line(frame: pd.DataFrame) -> str:
    """Formats what `load` skipped as one line; empty if nothing was."""
    skipped = frame.attrs.get("skipped", [])
    more = f"; and {len(skipped) - _NAMED} more, see attrs['skipped']" if len(skipped) > _NAMED else ""
    return f"skipped {len(skipped)}: {'; '.join(skipped[:_NAMED])}{more}" if skipped else ""


def _sources(paths: Iterable[str]) -> tuple[dict[pathlib.Path, set[str]], list[str]]:
    """Finds summary files, each with the selected runs (an empty set for all), and lists paths without any."""
    sources: dict[pathlib.Path, set[str]] = {}
    skipped = []
    for path in paths:
        matches = [pathlib.Path(path)] if os.path.exists(path) else _matches(path)
        if not matches:
            skipped.append(f"{path} does not exist.")
        for match in matches:
            found = list(_summaries(match))
            if not found:
                skipped.append(f"{match} holds no summary.json: no run in it has finished. Name a folder of runs.")
            for file, run in found:
                if run is None:
                    sources[file] = set()
                elif sources.get(file, {run}):
                    sources.setdefault(file, set()).add(run)
    return sources, skipped


def _matches(pattern: str) -> list[pathlib.Path]:
    found = [pathlib.Path(match) for match in sorted(glob.glob(pattern, recursive=True))]
    return [match for match in found if match.is_dir() or match.suffix == ".json"]


def _summaries(path: pathlib.Path) -> Iterator[tuple[pathlib.Path, str | None]]:
    """Finds the summaries in a path; for the folder of one run, its experiment's, and the run's name."""
    if path.is_file():
        yield path, None
    elif (path / "summary.json").is_file():
        yield path / "summary.json", None
    elif (path / "config.json").is_file():
        path = path if path.name.strip(".") else path.resolve()
        if (path.parent / "summary.json").is_file():
            yield path.parent / "summary.json", path.name
    else:
        for file in sorted(path.rglob("summary.json")):
            yield file, None


def _unrecorded(file: pathlib.Path, wanted: set[str], found: records.Records) -> list[str]:
    """Lists the runs beside a summary that have no record in it, with their status."""
    lines = []
    for config in sorted(file.parent.glob("*/config.json")):
        run = config.parent
        if run.name in found or (wanted and run.name not in wanted):
            continue
        try:
            status = files.read_json(run / "status.json")
            lines.append(f"{run} is {status['status']} after {counted(status['epoch'], 'epoch')}, without a record")
        except (OSError, ValueError, LookupError, TypeError):
            lines.append(f"{run} has no record")
    return lines


def _table(rows: list[dict[str, object]]) -> pd.DataFrame:
    seen: dict[str, list[dict[str, object]]] = {}
    distinct = []
    for row in rows:
        record = {key: value for key, value in row.items() if key != "file"}
        if record not in seen.setdefault(str(row["run"]), []):
            seen[str(row["run"])].append(record)
            distinct.append(row)
    frame = pd.DataFrame(distinct).set_index("run")
    for key in filter(records.is_measurement, frame.columns):
        if records.is_count(key):
            frame[key] = pd.Series([row.get(key) for row in distinct], frame.index, dtype=object)  # exact, as they are
        else:
            frame[key] = pd.to_numeric(frame[key])
    return frame


def mask_type(frame: pd.DataFrame) -> pd.Series:
    """Returns the mask type of each run, with hyphens: its `--mask_type`, or else that of its driver.

    Runs with neither are named after the folder of their summary, or the file.
    """
    driver = _text(frame, "driver")
    named = _text(frame, "mask_type").map(lambda name: name.replace("_", "-"), na_action="ignore")
    for other in (driver.map(DRIVER_MASKS), driver):
        named = named.where(named.notna(), other)
    files = _text(frame, "file").where(named.isna())
    named = named.astype(object).where(named.notna(), files.map(_origin, na_action="ignore"))
    return named.where(named.notna(), "unknown")


def target_sparsity(frame: pd.DataFrame) -> pd.Series:
    """Returns the target sparsity of each run; NaN where it is random or set by a schedule."""
    target = numbers(frame, "mask_sparsity")
    target = target.mask(_text(frame, "sparsity_range").notna())
    driver = _text(frame, "driver")
    schedule = _text(frame, "pruning_schedule").fillna("")
    reached = schedule.map(lambda text: not text or text.startswith("cubic")).astype(bool)
    target = target.fillna(numbers(frame, "sparsity").where((driver == "prune") & reached))
    return target.fillna(pd.Series(0.0, frame.index).where(driver == "train"))


def sparsity(frame: pd.DataFrame) -> pd.Series:
    """Returns the sparsity of each run, the fraction of connections removed: the target, or else the measured one."""
    measured = numbers(frame, "mask/sparsity").fillna(numbers(frame, "propagated_mask/sparsity"))
    return target_sparsity(frame).fillna(measured)


def accuracy(frame: pd.DataFrame) -> pd.Series:
    """Returns the test accuracy of each run, in [0, 1]: the first of `ACCURACIES` that is recorded."""
    found = pd.Series(np.nan, frame.index)
    for key in ACCURACIES:
        found = found.fillna(numbers(frame, key))
    return found


def accuracy_epoch(frame: pd.DataFrame) -> str:
    """Describes the epoch that `accuracy` is taken at, for axis labels."""
    missing = pd.Series(True, frame.index)
    used = []
    for key, epoch in ACCURACIES.items():
        there = missing & numbers(frame, key).notna()
        used += [epoch] if there.any() else []
        missing &= ~there
    return " or else ".join(used)


def symmetries(frame: pd.DataFrame, count: str, of: str = "mask") -> pd.Series:
    """Returns the decimal logarithm of the number of symmetries of the masks of each run.

    Args:
      frame: The runs.
      count: One of `SYMMETRIES`.
      of: `mask`, or `propagated_mask` for masks without dead connections.
    """
    return numbers(frame, f"{of}/{count}")


def numbers(frame: pd.DataFrame, column: str) -> pd.Series:
    """Returns a column as floats; all NaN if there is no such column."""
    if column not in frame:
        return pd.Series(np.nan, frame.index)
    return pd.to_numeric(frame[column], errors="coerce").astype(float)


def series(frame: pd.DataFrame) -> pd.Series:
    """Returns the series of each run: its mask type, and each setting in which the runs differ.

    Runs of a series differ only in sparsity and seeds, so means over them at one sparsity are means over trials.
    """
    names = mask_type(frame)
    for column in frame.columns:
        if records.is_measurement(column) or column in _NOT_SETTINGS or _NOT_SETTINGS_IF.search(column):
            continue
        if _text(frame, column).nunique() > 1:
            values = frame[column].astype(object).map(_setting, na_action="ignore")
            names += values.map(f", {column}={{}}".format, na_action="ignore").fillna("")
    return names


def in_order(names: Iterable[str]) -> list[str]:
    """Sorts distinct series into the order of plots and tables.

    >>> in_order(["random", "dense", "symmetric", "random, depth=3"])
    ['symmetric', 'random', 'random, depth=3', 'dense']
    """
    return sorted(set(names), key=lambda name: (_rank(name.split(",")[0]), name))


def _rank(kind: str) -> int:
    return MASK_ORDER.index(kind) if kind in MASK_ORDER else len(MASK_ORDER)


def levels(values: pd.Series, most: int = 12, bins: int = 8) -> pd.Series:
    """Groups values to average over: equal ones, else clusters of close ones, else quantile bins.

    >>> levels(pd.Series([0.5, 0.5, 0.9])).tolist()
    [0.5, 0.5, 0.9]

    Args:
      values: Numbers; NaN belongs to no group.
      most: The largest number of distinct values, or of clusters, above which values are clustered or binned.
      bins: The number of quantile bins.

    Returns:
      The level of each value: the value itself, or the median of its cluster or bin.
    """
    if values.nunique() <= most:
        return values
    ordered = np.sort(values.dropna().unique())
    span = ordered[-1] - ordered[0]
    starts = np.append(True, np.diff(ordered) > _GAP * span)
    widths = np.append(ordered[:-1][starts[1:]], ordered[-1]) - ordered[starts]
    if starts.sum() <= most and widths.max() <= _CLUSTER * span:
        labels = np.searchsorted(ordered[starts], values, side="right")
    else:
        labels = pd.qcut(values, bins, labels=False, duplicates="drop").to_numpy()
    return values.groupby(labels).transform("median").where(values.notna())


def sparsity_level(frame: pd.DataFrame) -> pd.Series:
    """Returns the sparsity under which each run is averaged: the target, or else its level (see `levels`).

    A measured sparsity that differs from a target, or from another measured one, by at most 3% of the connections kept
    and of those cut counts as the same: 90.05% and 90.16% as 90%.
    """
    target = target_sparsity(frame)
    measured = sparsity(frame).where(target.isna())
    names = sorted(target.dropna().unique())
    merged: dict[float, float] = {}
    for value in sorted(measured.dropna().unique()):
        margin = _SAME * min(value, 1 - value)
        close = [name for name in names if abs(name - value) <= margin]
        merged[value] = min(close, key=lambda name: abs(name - value)) if close else value
        names += [] if close else [value]
    nearest = measured.map(merged)
    is_target = nearest.isin(target.dropna())
    return target.fillna(nearest.where(is_target)).fillna(levels(nearest.where(~is_target)))


def statistics(frame: pd.DataFrame) -> pd.DataFrame:
    """Computes means and sample standard deviations over the runs of each series at each sparsity.

    Returns:
      One row per (series, sparsity); columns `("runs", "")` and, for accuracy and each count of symmetries of the
      masks, `mean` and `std`; NaN for what is not recorded, and for the deviation of a single run.
    """
    measured = {"accuracy": accuracy(frame)} | {key: symmetries(frame, key) for key in SYMMETRIES}
    values = pd.DataFrame({"series": series(frame), "sparsity": sparsity_level(frame)} | measured)
    values["rank"] = values["series"].map(in_order(values["series"]).index)
    values = values.sort_values(["rank", "sparsity"], kind="stable")
    groups = values.groupby(["series", "sparsity"], sort=False, dropna=False)
    found = groups[list(measured)].agg(["mean", "std"])
    found.insert(0, ("runs", ""), groups.size())
    return found


def epochs(frame: pd.DataFrame) -> pd.DataFrame:
    """Loads the metrics of all epochs from the `metrics.jsonl` of each run, if it exists.

    Returns:
      One row per epoch, with the run id as `run` and the keys of `metrics.jsonl` as columns. Of a damaged file there is
      none, and a `SkippedWarning` names it.
    """
    found = []
    for run, file in zip(frame.index, frame["file"], strict=True):
        try:
            lines = files.read_records(pathlib.Path(file).parent / run / "metrics.jsonl")
        except OSError as error:
            warnings.warn(f"skipped the epochs of {run}: {error}", SkippedWarning, stacklevel=2)
            continue
        found += [{"run": run} | record for record in lines]
    return pd.DataFrame(found, columns=None if found else ["run", "epoch"])


def _text(frame: pd.DataFrame, column: str) -> pd.Series:
    """Returns a column as strings, None where values are missing."""
    if column not in frame:
        return pd.Series(None, frame.index, dtype=object)
    return frame[column].astype(object).map(str, na_action="ignore").astype(object)


def _origin(file: str) -> str:
    path = pathlib.Path(file)
    return path.stem if path.stem != "summary" else files.readable(path.resolve().parent.name)


def _setting(value: object) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"
