"""Grids of flag values: one driver command for every combination."""

import itertools
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from weirdonetworks.lab import machine
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files, runs

RECORD = "sweep.json"
_RUNNING: "set[subprocess.Popen[str]]" = set()


class Cell(NamedTuple):
    """One command of a sweep.

    Attributes:
      driver: The driver's name.
      shared: The flags of all cells, as on a command line.
      values: The varying flags, by name, with their values in this cell.
    """

    driver: str
    shared: tuple[str, ...]
    values: tuple[tuple[str, str], ...]

    @property
    def flags(self) -> tuple[str, ...]:
        """All flags, as on a command line."""
        return (*self.shared, *(f"--{name}={value}" for name, value in self.values))

    def __str__(self) -> str:
        return " ".join([self.driver, *self.flags])


class Result(NamedTuple):
    """The result of a cell: exit status, last line on stderr, seconds taken and run ids."""

    status: int
    message: str
    seconds: float
    runs: tuple[str, ...] = ()


def cells(driver: str, grid: str, shared: str = "") -> list[Cell]:
    """Expands a grid of flag values into its cells.

    >>> [str(cell) for cell in cells("shuffled_mask", "mask_type=random,symmetric;epochs=5")]
    ['shuffled_mask --mask_type=random --epochs=5', 'shuffled_mask --mask_type=symmetric --epochs=5']

    Args:
      driver: The driver's name.
      grid: `flag=value,value,...` for each flag that varies, separated by semicolons.
      shared: Flags of every cell, as on a command line.

    Returns:
      The cells, the last flag varying fastest.

    Raises:
      UsageError: If the grid is empty or malformed, or names a flag or one of its values twice.
    """
    if not grid.strip():
        raise UsageError("grid must name at least one flag and its values, such as --grid='mask_sparsity=0.5,0.9'.")
    axes: dict[str, list[str]] = {}
    for part in grid.split(";"):
        name, equals, values = (piece.strip() for piece in part.partition("="))
        # Commas within brackets belong to the value: `features=[300,100],[50,20]`.
        listed = [value.strip() for value in re.split(r",(?![^\[\]]*\])", values)]
        listed = [value[1:-1] if re.fullmatch(r"\[[^\[\]()]*\]", value) else value for value in listed]
        if not name or not equals or not all(listed):
            raise UsageError(f"grid: {part.strip()!r} must be flag=value,value,...; semicolons separate the flags.")
        name = name.removeprefix("--").replace("-", "_")
        if name in axes:
            raise UsageError(f"grid (={grid}) must name each flag once, and names {name} twice.")
        if repeated := next((value for value in listed if listed.count(value) > 1), None):
            raise UsageError(f"grid (={grid}) must list each value once, and lists {name}={repeated} twice.")
        axes[name] = listed
    try:
        always = tuple(shlex.split(shared))
    except ValueError as error:
        raise UsageError(f"flags (={shared}) must be written as on a command line: {error}.") from error
    return [Cell(driver, always, tuple(zip(axes, values, strict=True))) for values in itertools.product(*axes.values())]


def execute(cell: Cell, experiment_dir: str, folder: str = "") -> Result:
    """Runs a cell as a process, from its checkpoint if it has one.

    Args:
      cell: The cell.
      experiment_dir: The folder of all runs.
      folder: The working directory of the sweep, if that is another process's: paths in flags are relative to it.
    """
    command = [sys.executable, "-m", f"weight_symmetry.{cell.driver}", *cell.flags]
    started = time.monotonic()
    # After SIGKILL of the sweep nobody else would end its cells.
    child = subprocess.Popen(
        [*command, f"--experiment_dir={experiment_dir}", "--resume", "--start_missing"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder if os.path.isdir(folder) else None,
        # TensorFlow would take a GPU's whole memory for one of the cells that share it.
        env={"TF_FORCE_GPU_ALLOW_GROWTH": "true", **os.environ},
        preexec_fn=machine.ends_with_parent(),
    )
    _RUNNING.add(child)
    try:
        output, errors = child.communicate()
    finally:
        _RUNNING.discard(child)
    lines = errors.strip().splitlines()
    # A run stands in the folder, or begins a line of a table; the folder may be named like one.
    where = rf"^(?:.*{re.escape(experiment_dir)}/)?({cell.driver}-[0-9a-f]{{10}})(?!\S)"
    ids = sorted(set(re.findall(where, output, re.MULTILINE)))
    return Result(child.returncode, lines[-1] if lines else "", time.monotonic() - started, tuple(ids))


def end_all() -> None:
    """Ends the processes of all cells that are running; they keep their finished epochs."""
    for child in tuple(_RUNNING):
        child.terminate()


def finished(experiment_dir: pathlib.Path, cells: Sequence[Cell]) -> set[Cell]:
    """Returns the cells that an earlier sweep into this folder finished and whose runs still exist."""

    def is_there(entry: Mapping[str, Any]) -> bool:
        ids = entry["runs"]
        return bool(ids) and all((experiment_dir / name / "config.json").exists() for name in ids)

    ended = _ended(experiment_dir, cells)
    return {cell for cell in cells if ended[str(cell)].get("status") == 0 and is_there(ended[str(cell)])}


def records(experiment_dir: pathlib.Path, cells: Sequence[Cell]) -> list[list[dict[str, Any]]]:
    """Reads the summaries of each cell's runs that are on disk."""
    ended = _ended(experiment_dir, cells)
    ids = [ended[str(cell)]["runs"] for cell in cells]
    summary = _entries(experiment_dir / "summary.json", itertools.chain(*ids))
    return [[summary[name] for name in names if name in summary] for names in ids]


def _ended(experiment_dir: pathlib.Path, cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
    """Reads what earlier sweeps recorded of cells, with the ids of their `runs`; none of cells that never ran."""
    path = experiment_dir / RECORD
    ended = _entries(path, map(str, cells))
    for name, entry in ended.items():
        where = f"{path}: {name}: runs"
        for run in files.expect(entry.setdefault("runs", []), list, "a list of run ids", where):
            files.expect(run, str, "ids of runs", where)
    return {str(cell): ended.get(str(cell), {"runs": []}) for cell in cells}


def _entries(path: pathlib.Path, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Reads the entries of a file, if there is one, that have one of the given keys; each must be a record."""
    content = files.read_json(path) if path.exists() else {}
    return {key: files.as_record(content[key], f"{path}: {key}") for key in keys if key in content}


def write_result(experiment_dir: pathlib.Path, cell: Cell, result: Result) -> None:
    """Writes a cell's result into the folder's record of sweeps; safe with concurrent sweeps."""
    entry: dict[str, Any] = result._asdict()
    runs.update_json(experiment_dir / RECORD, str(cell), entry)
