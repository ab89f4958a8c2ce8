"""Run directories: the files of an experiment on disk.

<experiment_dir>/summary.json          run id -> one flat record, for the notebook
<experiment_dir>/<run_id>/config.json      every flag, seeds, package versions
<experiment_dir>/<run_id>/status.json      running, interrupted or finished, and the finished epochs
<experiment_dir>/<run_id>/metrics.jsonl    a line an epoch
<experiment_dir>/<run_id>/events.out.*     the same for TensorBoard
<experiment_dir>/<run_id>/checkpoints/     the state after the last finished epoch, and after the one before it
"""

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files
from weirdonetworks.lab.records.events import Events
from weirdonetworks.lab.records.tables import counted

PACKAGES = ("weirdonetworks", "tensorflow", "dm-sonnet", "numpy")
LOCKS = ".locks"


def run_id(driver: str, config: Mapping[str, Any]) -> str:
    """Names a run after its driver and a hash of its configuration, so that equal flags give equal names.

    >>> run_id("prune", {"epochs": 20}) == run_id("prune", {"epochs": 20})
    True
    >>> run_id("averaged, 4 turns", {})
    'averaged_4_turns-6f83b9b6fb'
    """
    stem = _stem(driver)
    # Names of one stem still have different ids.
    written = json.dumps(files.to_json(dict(config)), sort_keys=True) + (driver if driver != stem else "")
    return f"{stem}-{hashlib.sha256(written.encode()).hexdigest()[:10]}"


def _stem(driver: str) -> str:
    """Rewrites a name in a-z, 0-9, dashes and underscores, for every file system and shell."""
    return re.sub(r"[^a-z0-9-]+", "_", driver.lower())


class Run:
    """An open run directory, and the only writer in it.

    Attributes:
      id: The run's name.
      directory: Its path.
      records: The records in `metrics.jsonl` so far, one an epoch.
      found_finished: Whether it was finished when opened, with the settings asked for.
      remeasured: Settings that affect measuring and have changed since it was finished: name -> (old, new).
    """

    def __init__(self, directory: pathlib.Path):
        self.id = directory.name
        self.directory = directory
        status = self.status
        self.records = _read_epochs(directory / "metrics.jsonl")
        self.found_finished = _says_finished(status)
        if self.found_finished and status.get("epoch") != len(self.records):
            raise OSError(
                f"{directory}/metrics.jsonl must hold the records of {status.get('epoch')} epochs, which status.json "
                f"says, and holds {len(self.records)}. Put it back, or pass --overwrite to start again."
            )
        self.remeasured: dict[str, tuple[Any, Any]] = {}
        self._events: Events | None = None

    @property
    def status(self) -> dict[str, Any]:
        """The content of `status.json`, `{"status": ..., "epoch": ...}`; empty if there is none."""
        return _read_status(self.directory)

    @property
    def is_finished(self) -> bool:
        """Whether the run ended as planned, its summary written."""
        return _says_finished(self.status)

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file into the run's directory atomically."""
        files.write_json(self.directory / name, value)

    def record_settings(self, changed: Mapping[str, tuple[Any, Any]]) -> None:
        """Records other values of some settings: name -> (old, new)."""
        config = files.read_json(self.directory / "config.json")
        self.write_json("config.json", config | {name: new for name, (_, new) in changed.items()})

    def measure_again(self) -> None:
        """Records the settings of `remeasured`, if there are any; the run is unfinished from here on.

        Until then an interrupted measurement leaves the run finished, with its old settings and results.
        """
        if self.remeasured:
            self.set_status("running")
            self.record_settings(self.remeasured)

    def record_version(self, name: str, version: str) -> None:
        """Records the version of a data set beside those of the packages.

        Raises:
          OSError: If another version is recorded, on which the run was begun.
        """
        path = self.directory / "config.json"
        config = files.read_json(path)
        found = files.as_object(config.setdefault("versions", {}), f"{path}: versions").setdefault(name, version)
        if found != version:
            raise OSError(
                f"{self.directory} was begun on version {found} of {name}, and this machine has {version}. Pass "
                "--data_dir with the former, or --overwrite."
            )
        self.write_json("config.json", config)

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds one epoch's record to `metrics.jsonl`."""
        written = files.to_json(dict(record))
        with open(self.directory / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(written) + "\n")
        self.records.append(written)

    def log(self, record: Mapping[str, Any]) -> None:
        """Writes the numbers of an epoch's record to TensorBoard, under `training/`, and flushes its events."""
        written = files.to_json(dict(record))
        scalars = {f"training/{key}": value for key, value in written.items() if key != "step"}
        self.scalars(scalars, written["step"])
        self._flush()

    def keep_records(self, count: int) -> None:
        """Drops the records after the first `count`, those of epochs without checkpoint."""
        if count > len(self.records):
            found = f"{len(self.records)} of {counted(count, 'epoch')}"
            raise OSError(f"{self.directory}/metrics.jsonl holds {found}. Use --overwrite.")
        self.records = self.records[:count]
        lines = "".join(json.dumps(record) + "\n" for record in self.records)
        files.write_text(self.directory / "metrics.jsonl", lines)

    def scalars(self, values: Mapping[str, Any], step: int) -> None:
        """Writes the values that are numbers to TensorBoard."""
        if self._events is None:
            self._events = Events(self.directory)
        for tag, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._events.scalar(tag, float(value), step)

    def set_status(self, status: str) -> None:
        """Writes `status.json`, and flushes TensorBoard's events."""
        self._flush()
        files.write_json(self.directory / "status.json", {"status": status, "epoch": len(self.records)})

    def _flush(self) -> None:
        if self._events is not None:
            self._events.flush()

    def close(self) -> None:
        """Closes TensorBoard's file; `open_run` does so on leaving."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def finish(self, summary: Mapping[str, Any] | None) -> None:
        """Enters the flat record `summary` (none if None) under this run's id in `summary.json`, and ends the run."""
        if summary is not None:
            update_json(self.directory.parent / "summary.json", self.id, dict(summary))
        self.set_status("finished")


def is_finished(experiment_dir: str | os.PathLike[str], driver: str, config: Mapping[str, Any]) -> bool:
    """Returns whether there is a finished run of a configuration."""
    return _says_finished(_read_status(pathlib.Path(experiment_dir) / run_id(driver, config)))


def _read_status(directory: pathlib.Path) -> dict[str, Any]:
    path = directory / "status.json"
    return files.read_json(path) if path.exists() else {}


def _says_finished(status: Mapping[str, Any]) -> bool:
    return status.get("status") == "finished"


def _read_epochs(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the records of a run; each that says its epoch must be in the line of that number."""
    records = files.read_records(path)
    for number, record in enumerate(records, start=1):
        if record.get("epoch", number) != number:
            raise OSError(
                f"{path}, line {number}, must be the record of epoch {number}, and is that of {record['epoch']}. "
                "Mend it, or pass --overwrite to start again."
            )
    return records


def update_json(path: pathlib.Path, key: str, value: Any) -> None:
    """Sets one key of a JSON file in an experiment's folder; concurrent writers lose nothing.

    A file that is as this function left it is not parsed: of thousands of runs that would take seconds.
    """
    locks = path.parent / LOCKS
    locks.mkdir(exist_ok=True)
    with files.locked(locks / path.name):
        known = locks / f"{path.name}.known"
        ours = known.exists() and known.read_bytes() == _version(path).encode()
        text = path.read_bytes() if ours else b""
        entry = json.dumps({key: files.to_json(value)}, indent=2) + "\n"
        files.remove_parts(path.parent, path.name)
        if text.endswith(_END) and f"\n  {json.dumps(key)}: ".encode() not in text:
            files.write_bytes(path, memoryview(text)[: -len(_END)], f",{entry.removeprefix('{')}".encode())
        else:
            content = files.read_json(path) if path.exists() else {}
            try:
                files.write_json(path, {**content, key: value})
            except RecursionError as error:
                raise OSError(f"{path} is not a record: it nests too deep. Remove or mend it.") from error
        files.write_text(known, _version(path))


_END = b"\n}\n"


def _version(path: pathlib.Path) -> str:
    """Returns what changes with each writing of a file; empty if there is none."""
    if not path.exists():
        return ""
    found = path.stat()
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


@contextlib.contextmanager
def open_run(
    experiment_dir: str | os.PathLike[str],
    driver: str,
    config: Mapping[str, Any],
    *,
    unhashed: Mapping[str, Any],
    measured: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    must_exist: bool = True,
) -> Iterator[Run]:
    """Opens the run of a configuration: new, unfinished to resume, or finished to read.

    Leaving the context by an exception marks an unfinished run as interrupted, and removes one without any record (of
    its own or of a run inside it). A finished run is opened where nothing can be written, too.

    Args:
      experiment_dir: The folder of all runs; made if missing.
      driver: The driver's name.
      config: The settings that determine the result, and so the run's id.
      unhashed: Further settings to record, which do not change the id.
      measured: Settings to record that affect measuring alone, not the id. A finished run with other values is opened
        to be measured again: `Run.remeasured` holds the differences, and `Run.measure_again` records them.
      resume: Whether to resume an unfinished run.
      overwrite: Whether to replace an existing run, once the new one has a record.
      must_exist: Whether to fail if there is nothing to resume, rather than start a new run.

    Yields:
      The run: nothing is to be done if `is_finished`; it is resumed if `records` is not empty.

    Raises:
      UsageError: If there is an unfinished run and neither `resume` nor `overwrite`, or no run to resume.
      OSError: If the folder cannot be written, or another process is writing this run.
    """
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other.")
    folder = pathlib.Path(experiment_dir)
    directory = folder / run_id(driver, config)
    if resume and must_exist and not directory.exists():
        raise UsageError(_nothing_to_resume(folder, driver, config))
    try:
        (folder / LOCKS).mkdir(parents=True, exist_ok=True)
        lock = contextlib.ExitStack()
        lock.enter_context(files.locked(folder / LOCKS / directory.name, wait=False))
    except BlockingIOError:
        raise OSError(f"{directory} is being written by another process.") from None
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and not overwrite and directory.exists():
            run = Run(directory)
            if run.is_finished and not _changes(run, measured or {}):
                yield run
                return
        raise OSError(f"experiment_dir (={folder}) cannot be written: {error.strerror}.") from error
    with lock:
        replaced = folder / LOCKS / f"{directory.name}.replaced"
        if replaced.exists() and not directory.exists():
            replaced.rename(directory)  # What a killed --overwrite left.
        if directory.exists() and overwrite:
            shutil.rmtree(replaced, ignore_errors=True)
            directory.rename(replaced)
        if directory.exists():
            run = _measured_by(Run(directory), measured or {})
            if not run.is_finished and not run.remeasured and not resume:
                raise UsageError(
                    f"{directory} is unfinished ({counted(len(run.records), 'epoch')}). Pass --resume or --overwrite."
                )
        else:
            run = _create(directory, driver, config, {**unhashed, **(measured or {})})
        if run.found_finished:
            with contextlib.closing(run):
                yield run
            return
        files.remove_parts(directory)
        if not run.remeasured:
            if (directory / "metrics.jsonl").exists():
                run.keep_records(len(run.records))  # Without a part of a line, to which the next would be added.
            run.set_status("running")
        try:
            with contextlib.closing(run):
                yield run
        finally:
            if not run.is_finished:
                if run.remeasured or _holds_records(directory):
                    run.set_status("interrupted")
                else:
                    shutil.rmtree(directory)
                    if replaced.exists():
                        replaced.rename(directory)
            if directory.exists():
                shutil.rmtree(replaced, ignore_errors=True)


def _create(directory: pathlib.Path, driver: str, config: Mapping[str, Any], unhashed: Mapping[str, Any]) -> Run:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    beside = directory.parent / LOCKS / f"{directory.name}.new"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    files.write_json(beside / "config.json", {"driver": driver, **unhashed, **config, "versions": versions})
    beside.rename(directory)
    return Run(directory)


def _measured_by(run: Run, measured: Mapping[str, Any]) -> Run:
    """Records the settings of measuring; a finished run with other ones is to be measured again."""
    changed = _changes(run, measured)
    if run.found_finished and changed:
        run.found_finished, run.remeasured = False, changed
    elif changed:
        run.record_settings(changed)
    return run


def _changes(run: Run, settings: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Lists the settings that are recorded with other values: name -> (old, new)."""
    recorded, wanted = files.read_json(run.directory / "config.json"), files.to_json(dict(settings))
    return {key: (recorded.get(key), value) for key, value in wanted.items() if recorded.get(key) != value}


def _holds_records(directory: pathlib.Path) -> bool:
    return any(path.stat().st_size for path in directory.rglob("metrics.jsonl"))


def _nothing_to_resume(folder: pathlib.Path, driver: str, config: Mapping[str, Any]) -> str:
    """Formats the error that there is no such run, with the differences from the nearest unfinished run."""
    message = f"--resume: there is no run with these flags in {folder}."
    differences: list[tuple[str, dict[str, tuple[Any, Any]]]] = []
    for path in sorted(folder.glob(f"{_stem(driver)}-*/config.json")):
        with contextlib.suppress(OSError):  # A damaged run is not the one asked for.
            run = Run(path.parent)
            if not run.is_finished:
                differences.append((run.id, _changes(run, config)))
    if not differences:
        return message
    name, changed = min(differences, key=lambda difference: len(difference[1]))
    listed = ", ".join(f"--{key} was {there!r}, is {here!r}" for key, (there, here) in changed.items())
    return f"{message} The nearest unfinished run is {name}: {listed}."
