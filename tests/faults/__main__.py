"""Kills every program at every system call that changes a file, and at random moments; prints a table of the outcomes.

usage: python -m tests.faults [--every=1] [--moments=50] [--folder=FOLDER] [SCENARIO ...]

    python -m tests.faults --every=10 --moments=5 train sweep

The whole takes hours. What differs is printed at once, and the files are kept in the folder.
"""

import argparse
import errno
import pathlib
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable

from tests import processes
from tests.faults import kills, scenarios
from tests.faults.scenarios import Scenario
from weirdonetworks.lab.records.tables import table

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
COLUMNS = ("states", "signals at calls", "moments", "disk full", "read-only")
REFUSALS = {"disk full": errno.ENOSPC, "read-only": errno.EROFS}


def main() -> int:
    """Runs what the command line asks for; returns the status to exit with, 1 if anything differed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="test every so-manieth state of the files")
    parser.add_argument("--moments", type=int, default=50, help="random moments of each program")
    parser.add_argument("--folder", type=pathlib.Path, default=None, help="where to keep what differs")
    parser.add_argument("scenario", nargs="*")
    given = parser.parse_args()
    processes.TIMEOUT = 3600  # Other programs may be running.
    base = given.folder or pathlib.Path(tempfile.mkdtemp())
    base.mkdir(parents=True, exist_ok=True)
    scenarios.make_data(base / "data.npz")
    drawn, rows, failed = random.Random(0), [], 0
    for name in scenarios.names(given.scenario):
        scenario, started = scenarios.SCENARIOS[name], time.monotonic()
        try:
            tried, equal = _scenario(scenario, base / name.replace(" ", "-").replace(",", ""), given, drawn)
        except RuntimeError as error:  # Without an undisturbed run there is nothing to compare with.
            print(error, flush=True)
            failed += 1
            continue
        failed += sum(tried.values()) - sum(equal.values())
        rows.append([name, *(f"{equal[each]} of {tried[each]}" for each in COLUMNS)])
        print(f"{name}: {rows[-1][1:]} equal, {time.monotonic() - started:.0f} s", flush=True)
    print(f"\n{table(['program', *COLUMNS], rows)}\n\n{failed} differed.")
    return 1 if failed else 0


def _scenario(
    scenario: Scenario, folder: pathlib.Path, given: argparse.Namespace, drawn: random.Random
) -> tuple[Counter[str], Counter[str]]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(folder.parent / "data.npz", folder)
    undisturbed = kills.whole(scenario, folder / "whole")
    tried: Counter[str] = Counter()
    equal: Counter[str] = Counter()
    number = 0

    def judge(column: str, words: str, cut: Callable[[pathlib.Path], list[str] | None]) -> None:
        nonlocal number
        number += 1
        place = folder / f"cut {number}"
        place.mkdir()
        found = cut(place) or []
        tried[column] += 1
        found += kills.resumed(scenario, undisturbed, place)
        if found:
            print(f"{place}: {scenario.name}, {words}: {'; '.join(found)}", flush=True)
        else:
            equal[column] += 1
            shutil.rmtree(place)

    states = list(undisturbed.states.items())
    for state, call in states[drawn.randrange(min(given.every, len(states))) :: given.every]:
        judge("states", f"before {call}", lambda place, state=state: _lay(state, place))  # type: ignore[misc]
    calls = range(1, 1 + len(undisturbed.calls))
    for turn, at in enumerate(calls[drawn.randrange(given.every) :: given.every * 10]):
        sent = SIGNALS[turn % len(SIGNALS)]
        words = f"{sent.name} at {undisturbed.calls[at - 1]}"
        judge(
            "signals at calls",
            words,
            lambda place, at=at, sent=sent: kills.cut_at_call(scenario, place, at, sent),  # type: ignore[misc]
        )
    for turn, at in enumerate(calls[drawn.randrange(given.every) :: given.every * 5]):
        column = list(REFUSALS)[turn % 2]
        judge(
            column,
            f"{column} from {undisturbed.calls[at - 1]}",
            lambda place, at=at, column=column: kills.refused(scenario, place, at, REFUSALS[column]),  # type: ignore[misc]
        )
    for turn in range(given.moments):
        after, sent = kills.moment(drawn, undisturbed), SIGNALS[turn % len(SIGNALS)]
        judge(
            "moments",
            f"{sent.name} after {after:.2f} s",
            lambda place, after=after, sent=sent: kills.cut_after(scenario, place, after, sent),  # type: ignore[misc]
        )
    return tried, equal


def _lay(state: pathlib.Path, place: pathlib.Path) -> None:
    """Puts a state of the files where a program goes on with it."""
    shutil.rmtree(place)
    shutil.copytree(state, place)


if __name__ == "__main__":
    raise SystemExit(main())
