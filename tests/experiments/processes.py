"""Experiments run as processes; and in this one, where nothing is left to do but to show what was found."""

import contextlib
import importlib
import inspect
import io
import pathlib
import subprocess
import types
import typing
from typing import Any

from tests import processes
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import Config, RunOptions


def run(name: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return processes.run(f"weirdonetworks.experiments.{name}", *flags)


def shown_again(name: str, folder: pathlib.Path, *flags: str) -> str:
    """Runs a study again that was finished in `folder` with those flags; returns what it says, and no file changes."""
    before = _times(folder)
    package = importlib.import_module(f"weirdonetworks.experiments.{name}")
    (settings,) = (
        value
        for value in vars(package).values()
        if inspect.isclass(value) and issubclass(value, Config) and value.__module__ == package.__name__
    )
    given = dict(flag.removeprefix("--").split("=", 1) for flag in (*flags, f"--experiment_dir={folder}"))
    configs = []
    for config in (settings, RunOptions):
        kinds = typing.get_type_hints(config)
        configs.append(config(**{key: _value(given.pop(key), kinds[key]) for key in kinds.keys() & given.keys()}))
    assert not given
    with contextlib.redirect_stdout(io.StringIO()) as said:
        experiment.main(*configs)
    assert _times(folder) == before and "nothing was trained" in said.getvalue()
    return said.getvalue()


def _times(folder: pathlib.Path) -> dict[pathlib.Path, int]:
    return {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts
    }


def _value(text: str, kind: Any) -> Any:
    if isinstance(kind, types.UnionType):
        (kind,) = (option for option in typing.get_args(kind) if option is not types.NoneType)
    if typing.get_origin(kind) is tuple:
        return tuple(typing.get_args(kind)[0](part) for part in text.split(","))
    return kind(text)
