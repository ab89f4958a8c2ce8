"""What is said of the machine."""

import os
import pathlib
import subprocess
import sys

import pytest

from weirdonetworks.lab import machine

REPORT = """
from weirdonetworks.lab import machine
before = machine.peak_memory()
held = bytearray(300 * 2**20)
held = None
print(before, machine.peak_memory())
"""


def test_peak_memory_counts_what_was_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", REPORT], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert 0.001 < before < 1
    assert 0.25 < after - before < 0.35


def test_there_is_a_core() -> None:
    assert 1 <= len(machine.cores()) <= (os.cpu_count() or 1)


@pytest.mark.parametrize("status", ["Name:\tpython\n", None], ids=["of other lines", "missing"])
def test_peak_memory_is_told_where_the_status_does_not(
    status: str | None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "status"
    if status is not None:
        path.write_text(status)
    monkeypatch.setattr(machine, "STATUS", path)
    assert machine.peak_memory() > 0.001


def test_a_thread_is_kept_to_some_cores_where_the_system_can(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, list[int]]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda *call: asked.append(call), raising=False)
    machine.keep_to([1, 2])
    assert asked == [(0, [1, 2])]
    monkeypatch.delattr(os, "sched_setaffinity")
    machine.keep_to([1, 2])
    assert len(asked) == 1
