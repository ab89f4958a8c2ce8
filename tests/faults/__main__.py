"""Kills every program at every system call that changes a file, and at random moments; prints a table of the outcomes.

usage: python -m tests.faults [--every=1] [--moments=50] [--at_once=2] [--folder=FOLDER] [SCENARIO ...]

    python -m tests.faults --every=10 --moments=5 train sweep

The whole takes hours; called again with the same folder, it goes on where it was stopped. What differs is printed at
once, and its files are kept in the folder.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.faults import cases, scenarios
from tests.faults.cases import COLUMNS, Case
from weirdonetworks.lab import machine
from weirdonetworks.lab.records.tables import table


def main() -> int:
    """Runs what the command line asks for; returns the status to exit with, 1 if anything differed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="test every so-manieth state of the files")
    parser.add_argument("--moments", type=int, default=50, help="random moments of each program")
    parser.add_argument("--at_once", type=int, default=2, help="how many cases at the same time")
    parser.add_argument("--folder", type=pathlib.Path, default=None, help="where to keep outcomes, and what differs")
    parser.add_argument("scenario", nargs="*")
    given = parser.parse_args()
    base, names = (given.folder or pathlib.Path(tempfile.mkdtemp())).resolve(), scenarios.names(given.scenario)
    base.mkdir(parents=True, exist_ok=True)
    outcomes = base / "outcomes.jsonl"
    ours = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(given.at_once, ours, _begin, (machine.ends_with_parent(),)) as pool:
        undisturbed = dict(zip(names, pool.map(cases.prepare, [base] * len(names), names), strict=True))
        listed = [cases.of_program(name, undisturbed[name], given.every, given.moments) for name in names]
        done = _read(outcomes)
        tried = {(each["program"], each["case"]) for each in done}
        left = [case for case in _evenly(listed) if (case.program, case.name) not in tried]
        print(f"{len(left)} cases in {base}", flush=True)
        try:
            for future in concurrent.futures.as_completed([pool.submit(cases.attempt, base, case) for case in left]):
                done.append(future.result())
                with open(outcomes, "a", encoding="utf-8") as file:
                    file.write(json.dumps(done[-1]) + "\n")
                if done[-1]["found"]:
                    print(_shown(done[-1]), flush=True)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
    print(_table(names, done, listed))
    return 1 if any(each["found"] for each in done) else 0


def _begin(end_with_parent: Callable[[], None] | None) -> None:
    """Begins a worker that ends with this process; the terminal's Ctrl-C does not reach it and its programs."""
    os.setpgid(0, 0)
    if end_with_parent is not None:
        end_with_parent()


def _evenly(listed: Sequence[Sequence[Case]]) -> Iterator[Case]:
    """Mixes the cases of programs so that of each the same part is done whenever it is stopped."""
    placed = [((number + 0.5) / len(each), case) for each in listed for number, case in enumerate(each)]
    return (case for _, case in sorted(placed, key=lambda pair: pair[0]))


def _read(outcomes: pathlib.Path) -> list[dict[str, Any]]:
    lines = outcomes.read_text().splitlines() if outcomes.exists() else []
    return [json.loads(line) for line in lines]


def _shown(outcome: dict[str, Any]) -> str:
    return f"{outcome['program']}, {outcome['words']}: {'; '.join(outcome['found'])}"


def _table(names: Sequence[str], done: Sequence[dict[str, Any]], listed: Sequence[Sequence[Case]]) -> str:
    """Shows the counts of equal cases, of those tried, and of how many there are where not all were."""
    counts = {key: Counter[tuple[str, str]]() for key in ("tried", "equal", "resumed")}
    for each in done:
        if not each["late"]:
            here = (each["program"], each["column"])
            counts["tried"][here] += 1
            counts["equal"][here] += not each["found"]
        counts["resumed"][each["program"], ""] += each["resumed"]
    planned = Counter((case.program, case.column) for each in listed for case in each)
    rows = [
        [
            name,
            *(
                f"{counts['equal'][name, each]} of {counts['tried'][name, each]} / {planned[name, each]}"
                for each in COLUMNS
            ),
            str(counts["resumed"][name, ""]),
        ]
        for name in names
    ]
    failed = [_shown(each) for each in done if each["found"]]
    late = sum(each["late"] for each in done)
    ending = f"{len(failed)} differed; {late} signals came after the end and do not count."
    return "\n".join([table(["program", *COLUMNS, "resumed"], rows), "", *failed, ending])


if __name__ == "__main__":
    raise SystemExit(main())
