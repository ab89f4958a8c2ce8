"""The watch over system calls: it sees each change of a file, and can refuse it or end the program there."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.faults import system_calls
from tests.faults.system_calls import Call

pytestmark = pytest.mark.skipif(not system_calls.AVAILABLE, reason="needs Linux on x86-64")

# In another thread, in another process, and with files elsewhere.
CODE = """
import os, subprocess, sys, threading
from tests.faults import system_calls
system_calls.submit(sys.argv[1])
def write():
    os.mkdir("watched/folder")
    with open("watched/folder/one", "w") as file:
        file.write("content")
thread = threading.Thread(target=write)
thread.start()
thread.join()
open("watched/folder/one").read()
open("elsewhere", "w").write("content")
os.replace("watched/folder/one", "watched/two")
subprocess.run(["rm", "watched/two"], check=True)
print("done")
"""
CALLS = [
    "mkdir watched/folder",
    "openat watched/folder/one",
    "write watched/folder/one",
    "rename watched/folder/one",
    "unlinkat watched/two",
]


def watched(
    folder: pathlib.Path, decide: Callable[[Call], int | None]
) -> tuple["subprocess.CompletedProcess[str]", list[str]]:
    seen = []

    def look(call: Call) -> int | None:
        seen.append(f"{call.name} {call.path.relative_to(folder.resolve())}")
        return decide(call)

    (folder / "watched").mkdir()
    with system_calls.watching(folder / "watched", look) as address:
        done = subprocess.run(
            [sys.executable, "-c", CODE, address],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )
    return done, seen


def test_all_changes_are_seen_and_no_others(tmp_path: pathlib.Path) -> None:
    done, seen = watched(tmp_path, lambda call: None)
    assert (done.stdout, seen) == ("done\n", CALLS)


def test_a_program_can_be_ended_at_a_call(tmp_path: pathlib.Path) -> None:
    def end(call: Call) -> int | None:
        if call.name != "rename":
            return None
        os.kill(call.process, signal.SIGKILL)
        return errno.EINTR  # Else it may still be done.

    done, seen = watched(tmp_path, end)
    assert (done.returncode, seen) == (-signal.SIGKILL, CALLS[:4])
    assert (tmp_path / "watched" / "folder" / "one").read_text() == "content"


def test_a_call_can_be_refused(tmp_path: pathlib.Path) -> None:
    done, seen = watched(tmp_path, lambda call: errno.ENOSPC if call.name == "rename" else None)
    assert "No space left on device" in done.stderr and done.returncode == 1
    assert seen == CALLS[:4]
