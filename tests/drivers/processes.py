"""Drivers run as processes, and what they leave."""

import json
import pathlib
import subprocess
from typing import Any

from tests import processes


def run(driver: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return processes.run(f"weight_symmetry.{driver}", *flags)


def start(driver: str, *flags: str) -> processes.Program:
    return processes.start(f"weight_symmetry.{driver}", *flags)


def all_runs(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def only_run(folder: pathlib.Path) -> pathlib.Path:
    (directory,) = all_runs(folder)
    return directory


def records(directory: pathlib.Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "wallclock_time"} for line in lines]


def read(path: pathlib.Path) -> Any:
    return json.loads(path.read_text())
