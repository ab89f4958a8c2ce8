"""The runs of any number of experiments as one table, and what the plots ask of it.

>>> import pathlib, tempfile
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
import json
import os
import pathlib
import re
import warnings
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from analysis import records
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records.tables import counted

Path = str | os.PathLike[str]

# The first of these that a record has is its accuracy: chosen by a validation split, else after the last epoch, else,
# in the oldest records, chosen by the training loss. None is chosen by the test data.
ACCURACIES = {
    "best_validation_accuracy/test_accuracy": "at the best validation accuracy",
    "final/test_accuracy": "after the last epoch",
    "best_train_loss/test_accuracy": "at the best train loss",
}
# The three counts of symmetries, by what a record calls their logarithms.
SYMMETRIES = {
    "permutation_log10": "permutations, layer by layer",
    "live_automorphisms_log10": "exact group, live neurons",
    "automorphisms_log10": "exact group, dead neurons too",
}
# Masks that no --mask_type names.
DRIVER_MASKS = {"prune": "magnitude pruning", "train": "dense"}
MASK_ORDER = ("symmetric", "random", "per-neuron", "per-neuron-no-input-ablation", *DRIVER_MASKS.values())
# What runs of one series may differ in: the axes of the plots, the trials, and how it was computed.
_NOT_SETTINGS = {"driver", "file", "mask_type", "sparsity_range"}
_NOT_SETTINGS |= {"execution", "batch_size_test", "update_epoch", "update_iterations"}
_NOT_SETTINGS_IF = re.compile("seed|trial|sparsity$")
# Shares of the span of values: clusters are further apart than the one, and no wider than the other.
_GAP, _CLUSTER = 0.005, 0.02
# How many of the things left out a warning names.
_NAMED = 3


class SkippedWarning(UserWarning):
    """What `load` left out."""


def load(paths: Path | Iterable[Path]) -> pd.DataFrame:
    """Reads the records of runs: one row a run, named after it.

    Args:
      paths: One or more of: a summary file; the folder of an experiment or of several, searched for `summary.json`;
        the folder of one run; a glob pattern.

    Returns:
      A table with the records' keys as columns (see `records.read` for what is mended), lists as tuples, and `file`,
      the summary that a run was found in. A run that two summaries tell the same of is there once.
      `attrs["skipped"]` lists what was left out, unfinished runs among it; a `SkippedWarning` says so in one line.

    Raises:
      UsageError: If there is no summary.
      ValueError: If none could be read; the message names the first and the remedy.
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
    """Says in one line what `load` left out; empty if nothing."""
    skipped = frame.attrs.get("skipped", [])
    more = f"; and {len(skipped) - _NAMED} more, see attrs['skipped']" if len(skipped) > _NAMED else ""
    return f"skipped {len(skipped)}: {'; '.join(skipped[:_NAMED])}{more}" if skipped else ""


def _sources(paths: Iterable[str]) -> tuple[dict[pathlib.Path, set[str]], list[str]]:
    """Finds the summaries, each with the runs wanted of it (all if none is named), and says where there is none."""
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
    """Names the runs beside a summary that it has no record of, and how far they are."""
    lines = []
    for config in sorted(file.parent.glob("*/config.json")):
        run = config.parent
        if run.name in found or (wanted and run.name not in wanted):
            continue
        try:
            status = json.loads((run / "status.json").read_text(encoding="utf-8"))
            lines.append(f"{run} is {status['status']} after {counted(status['epoch'], 'epoch')}, without a record")
        except (OSError, ValueError, LookupError, TypeError):
            lines.append(f"{run} has no record")
    return lines


def _table(rows: list[dict[str, object]]) -> pd.DataFrame:
    told: dict[str, list[dict[str, object]]] = {}
    kept = []
    for row in rows:
        record = {key: value for key, value in row.items() if key != "file"}
        if record not in told.setdefault(str(row["run"]), []):
            told[str(row["run"])].append(record)
            kept.append(row)
    frame = pd.DataFrame(kept).set_index("run")
    for key in filter(records.is_measurement, frame.columns):
        if records.is_count(key):
            frame[key] = pd.Series([row.get(key) for row in kept], frame.index, dtype=object)  # exact, as they are
        else:
            frame[key] = pd.to_numeric(frame[key])
    return frame


def mask_type(frame: pd.DataFrame) -> pd.Series:
    """Names each run's kind of mask, with hyphens: its `--mask_type`, or what its driver does.

    A record that tells neither is named after its file's folder, or its file.
    """
    driver = _text(frame, "driver")
    named = _text(frame, "mask_type").map(lambda name: name.replace("_", "-"), na_action="ignore")
    for other in (driver.map(DRIVER_MASKS), driver):
        named = named.where(named.notna(), other)
    files = _text(frame, "file").where(named.isna())
    named = named.astype(object).where(named.notna(), files.map(_origin, na_action="ignore"))
    return named.where(named.notna(), "unknown")


def target_sparsity(frame: pd.DataFrame) -> pd.Series:
    """Gives the share of connections that was to be cut; NaN where it was left to chance or to a schedule."""
    target = numbers(frame, "mask_sparsity")
    target = target.mask(_text(frame, "sparsity_range").notna())
    driver = _text(frame, "driver")
    schedule = _text(frame, "pruning_schedule").fillna("")
    reached = schedule.map(lambda text: not text or text.startswith("cubic")).astype(bool)
    target = target.fillna(numbers(frame, "sparsity").where((driver == "prune") & reached))
    return target.fillna(pd.Series(0.0, frame.index).where(driver == "train"))


def sparsity(frame: pd.DataFrame) -> pd.Series:
    """Gives the share of connections cut: as aimed at, or where nothing was aimed at, as measured."""
    measured = numbers(frame, "mask/sparsity").fillna(numbers(frame, "propagated_mask/sparsity"))
    return target_sparsity(frame).fillna(measured)


def accuracy(frame: pd.DataFrame) -> pd.Series:
    """Gives each run's test accuracy, in [0, 1]: the first of `ACCURACIES` that it has."""
    found = pd.Series(np.nan, frame.index)
    for key in ACCURACIES:
        found = found.fillna(numbers(frame, key))
    return found


def accuracy_epoch(frame: pd.DataFrame) -> str:
    """Says at which epoch `accuracy` was taken, for the label of an axis."""
    missing = pd.Series(True, frame.index)
    used = []
    for key, epoch in ACCURACIES.items():
        there = missing & numbers(frame, key).notna()
        used += [epoch] if there.any() else []
        missing &= ~there
    return " or else ".join(used)


def symmetries(frame: pd.DataFrame, count: str, of: str = "mask") -> pd.Series:
    """Gives the decimal logarithm of the number of symmetries that each run's masks have left.

    Args:
      frame: The runs.
      count: One of `SYMMETRIES`.
      of: `mask` or `propagated_mask`.
    """
    return numbers(frame, f"{of}/{count}")


def numbers(frame: pd.DataFrame, column: str) -> pd.Series:
    """Gives a column as floats; all NaN if there is none of that name."""
    if column not in frame:
        return pd.Series(np.nan, frame.index)
    return pd.to_numeric(frame[column], errors="coerce").astype(float)


def series(frame: pd.DataFrame) -> pd.Series:
    """Names the series that each run is a trial of: its kind of mask, and each setting that runs differ in.

    Runs of one name differ in sparsity and seeds only, so their means are means over trials.
    """
    names = mask_type(frame)
    for column in frame.columns:
        if records.is_measurement(column) or column in _NOT_SETTINGS or _NOT_SETTINGS_IF.search(column):
            continue
        if _text(frame, column).nunique() > 1:
            told = frame[column].astype(object).map(_setting, na_action="ignore")
            names += told.map(f", {column}={{}}".format, na_action="ignore").fillna("")
    return names


def in_order(names: Iterable[str]) -> list[str]:
    """Puts series in the order in which plots and tables show them, each once.

    >>> in_order(["random", "dense", "symmetric", "random, depth=3"])
    ['symmetric', 'random', 'random, depth=3', 'dense']
    """
    return sorted(set(names), key=lambda name: (_rank(name.split(",")[0]), name))


def _rank(kind: str) -> int:
    return MASK_ORDER.index(kind) if kind in MASK_ORDER else len(MASK_ORDER)


def levels(values: pd.Series, most: int = 12, bins: int = 8) -> pd.Series:
    """Gathers values to average over: equal ones, else those that are close, else those of bins of equally many.

    >>> levels(pd.Series([0.5, 0.5, 0.9])).tolist()
    [0.5, 0.5, 0.9]

    Args:
      values: Numbers; NaN belongs to no level.
      most: With more different values than that, close ones are taken as equal, or else all are binned.
      bins: The number of bins.

    Returns:
      For each value the level that it belongs to: the value, or the median of its cluster or bin.
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
    """Gives the sparsity that a run is averaged under: the one aimed at, or its bin (see `levels`)."""
    target = target_sparsity(frame)
    return target.fillna(levels(sparsity(frame).where(target.isna())))


def statistics(frame: pd.DataFrame) -> pd.DataFrame:
    """Takes means and sample standard deviations over the trials of each series at each sparsity.

    Returns:
      A row for each (series, sparsity); columns `("runs", "")` and, for accuracy and each count of symmetries of the
      masks, `mean` and `std`; NaN for what is not recorded, and for the deviation of one run.
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
    """Reads the epochs of runs from the `metrics.jsonl` in the folder of each, where there is one.

    Returns:
      A row an epoch, with `run`, the name, and the keys of the epochs' records as columns.
    """
    found = []
    for run, file in zip(frame.index, frame["file"], strict=True):
        path = pathlib.Path(file).parent / run / "metrics.jsonl"
        if path.is_file():
            found += [{"run": run} | record for record in _lines(path)]
    return pd.DataFrame(found, columns=None if found else ["run", "epoch"])


def _lines(path: pathlib.Path) -> Iterator[dict[str, object]]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            return  # The last line of a killed run can be a part.
        if isinstance(record, dict):
            yield record


def _text(frame: pd.DataFrame, column: str) -> pd.Series:
    """Gives a column as strings, None where there is nothing."""
    if column not in frame:
        return pd.Series(None, frame.index, dtype=object)
    return frame[column].astype(object).map(str, na_action="ignore").astype(object)


def _origin(file: str) -> str:
    path = pathlib.Path(file)
    return path.stem if path.stem != "summary" else path.resolve().parent.name


def _setting(value: object) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"
