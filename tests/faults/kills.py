"""Cuts programs off, or refuses their writes, at system calls that change files, resumes them, and compares.

Nothing of a process outlives SIGKILL but its files. So what SIGKILL leaves at each call is taken from one run, which
waits at each call while its files are copied; signals that a program may handle, and random moments, are real.
"""

import bisect
import contextlib
import dataclasses
import errno
import hashlib
import os
import pathlib
import random
import re
import shutil
import signal
import threading
import time
from typing import Any

from tests.faults import scenarios, system_calls
from tests.faults.scenarios import RUNS, Scenario
from tests.faults.system_calls import GROWING, Call


@dataclasses.dataclass
class Whole:
    """A run that nothing disturbed.

    Attributes:
      contents: What it left.
      calls: The calls that changed files, as "name path".
      before: Calls, each with a folder of the state of the files before it, one for equal states.
      times: When it began, made each call, and ended, in seconds of its own, without those in which it waited.
    """

    contents: dict[str, Any]
    calls: list[str]
    before: list[tuple[str, pathlib.Path]]
    times: list[float]

    @property
    def states(self) -> dict[pathlib.Path, str]:
        """The distinct states of the files: folder -> the first call that found it so."""
        return {folder: call for call, folder in reversed(self.before)}


def whole(scenario: Scenario, folder: pathlib.Path, wanted: str = ".*") -> Whole:
    """Runs a scenario undisturbed in a folder made for it beside the data, and keeps states of its files.

    Args:
      scenario: The program.
      folder: The folder.
      wanted: Matches the calls before which the state is kept.
    """
    folder.mkdir()
    calls: list[str] = []
    before: list[tuple[str, pathlib.Path]] = []
    found: dict[str, pathlib.Path] = {}
    times: list[float] = []
    waited = 0.0

    def look(call: Call) -> None:
        nonlocal waited
        began = time.monotonic()
        times.append(began - waited)
        keep(call)
        waited += time.monotonic() - began

    def keep(call: Call) -> None:
        calls.append(f"{call.name} {call.path.relative_to((folder / RUNS).resolve())}")
        if re.fullmatch(wanted, calls[-1]):
            beside = folder / f"state {len(calls)}"
            for _ in range(9):
                shutil.rmtree(beside, ignore_errors=True)
                with contextlib.suppress(shutil.Error, FileNotFoundError):  # Another thread's last call is under way.
                    scenarios.copy(folder / RUNS, beside)
                    break
            kept = found.setdefault(_digest(beside), beside)
            before.append((calls[-1], kept))
            if kept != beside:
                shutil.rmtree(beside)

    with system_calls.watching(folder / RUNS, look, lambda process: times.append(time.monotonic())) as watcher:
        done = scenarios.run(scenario, folder, watcher=watcher)
    times.append(time.monotonic() - waited)
    if done.returncode:
        raise RuntimeError(f"{scenario.name} must end well, and says {done.stderr}")
    return Whole(scenarios.contents(folder), calls, before, times)


def resumed(scenario: Scenario, undisturbed: Whole, folder: pathlib.Path, **options: Any) -> list[str]:
    """Goes on with what was cut off in a folder; returns how it then differs from the undisturbed run."""
    done = scenarios.go_on(scenario, folder, **options)
    if done.returncode:
        return [f"status {done.returncode}: {done.stderr.strip()[-300:]}"]
    return scenarios.differences(undisturbed.contents, scenarios.contents(folder))


def refused(scenario: Scenario, folder: pathlib.Path, number: int, error: int) -> list[str]:
    """Runs a scenario whose calls are refused from one on; returns what is wrong with how it ends.

    Args:
      scenario: The program.
      folder: Its working directory.
      number: The first call that is refused, from 1.
      error: `ENOSPC`, a full disk, on which files can be removed and renamed; or `EROFS`, for all calls.
    """
    count = 0

    def decide(call: Call) -> int | None:
        nonlocal count
        count += 1
        return error if count >= number and (error != errno.ENOSPC or call.name in GROWING) else None

    with system_calls.watching(folder / RUNS, decide) as watcher:
        done = scenarios.run(scenario, folder, watcher=watcher)
    lines = done.stderr.splitlines()
    one = len(lines) == 1 and lines[0].startswith("error: ") and done.returncode == 1
    return [] if one or (not lines and not done.returncode) else [f"status {done.returncode}: {done.stderr[-600:]}"]


def cut_at_call(scenario: Scenario, folder: pathlib.Path, number: int, sent: signal.Signals) -> None:
    """Runs a scenario, and sends it a signal at one of the calls that change files; the call is done if it lives on."""
    count = 0

    def decide(call: Call) -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(call.process, sent)

    with system_calls.watching(folder / RUNS, decide) as watcher:
        scenarios.run(scenario, folder, watcher=watcher)


def cut_after(scenario: Scenario, folder: pathlib.Path, number: int, seconds: float, sent: signal.Signals) -> bool:
    """Runs a scenario, and sends it a signal some time after a call; returns whether it had not ended before.

    Args:
      scenario: The program.
      folder: Its working directory.
      number: The call, from 1; 0 is the start of the program.
      seconds: The time since the call.
      sent: The signal.
    """
    ids: list[int] = []
    timers: list[threading.Timer] = []
    sent_to: list[int] = []

    def send() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(ids[0], sent)
            sent_to.append(ids[0])

    def start() -> None:
        timers.append(threading.Timer(seconds, send))
        timers[0].start()

    def begin(process: int) -> None:
        ids.append(process)
        if not number:
            start()

    count = 0

    def decide(call: Call) -> None:
        nonlocal count
        count += 1
        if count == number:
            start()

    with system_calls.watching(folder / RUNS, decide, begin) as watcher:
        scenarios.run(scenario, folder, watcher=watcher)
    for timer in timers:
        timer.cancel()
        timer.join()
    return bool(sent_to)


def moment(drawn: random.Random, undisturbed: Whole) -> tuple[int, float]:
    """Draws a moment of a run, all equally likely: a call (0 for the start) and the time since then.

    As a time since the start it would come too early where a run is slower than the undisturbed one was.
    """
    at = drawn.uniform(undisturbed.times[0], undisturbed.times[-1])
    number = bisect.bisect_right(undisturbed.times, at) - 1
    return number, at - undisturbed.times[number]


def _digest(folder: pathlib.Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(f"{path.relative_to(folder)}\0".encode())
        if path.is_file():
            found.update(path.read_bytes() + b"\0")
    return found.hexdigest()
