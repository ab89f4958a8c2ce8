"""Kills every program at every system call that changes a file, and at random moments; prints a table of the outcomes.

usage: python -m tests.faults [--every=1] [--moments=50] [--at_once=2] [--folder=FOLDER] [SCENARIO ...]

    python -m tests.faults --every=10 --moments=5 train sweep

The whole takes hours; called again with the same folder and the same sources, it goes on where it was stopped, and
tries again what differed. What differs is printed at once, and its files are kept in the folder.
"""

import argparse
import concurrent.futures
import hashlib
import json
import multiprocessing
import os
import pathlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests import packages
from tests.faults import cases, scenarios
from tests.faults.cases import COLUMNS, Case
from weirdonetworks.lab import machine
from weirdonetworks.lab.records.tables import table


def main() -> int:
    """Runs what the command line asks for; returns the status to exit with, 1 if anything differed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="try every so-manieth state of the files and call")
    parser.add_argument("--moments", type=int, default=50, help="random moments of each program")
    parser.add_argument("--at_once", type=int, default=2, help="how many cases at the same time")
    parser.add_argument("--folder", type=pathlib.Path, default=None, help="where to keep outcomes, and what differs")
    parser.add_argument("scenario", nargs="*")
    given = parser.parse_args()
    base, names = (given.folder or pathlib.Path(tempfile.mkdtemp())).resolve(), scenarios.names(given.scenario)
    try:
        claim(base, _sources())
    except ValueError as error:
        parser.error(str(error))
    ours = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(given.at_once, ours, _begin, (machine.ends_with_parent(),)) as pool:
        return try_all(pool, base, names, given.every, given.moments)


def claim(base: pathlib.Path, sources: str) -> None:
    """Makes the folder for what is found of some sources; raises ValueError if it holds what was found of others."""
    base.mkdir(parents=True, exist_ok=True)
    known = base / "sources"
    if any(base.iterdir()) and (not known.exists() or known.read_text() != sources):
        raise ValueError(f"folder (={base}) must be empty or of the same sources, and is of others: pass another.")
    known.write_text(sources)


def _sources() -> str:
    """Computes a digest of what is tried and of what tries it."""
    found = hashlib.sha256()
    for folder in ("weirdonetworks", "weight_symmetry", "tests/faults"):
        for path in sorted((packages.ROOT / folder).rglob("*.py")):
            found.update(f"{path.relative_to(packages.ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()


def try_all(
    pool: concurrent.futures.Executor, base: pathlib.Path, names: Sequence[str], every: int, moments: int
) -> int:
    """Tries all cases of some programs, but for those found equal before; prints the outcomes, and returns the status.

    A program whose undisturbed run fails is named, and those beside it are tried.
    """
    outcomes = base / "outcomes.jsonl"
    done: dict[tuple[str, str], dict[str, Any]] = {}
    broken: list[str] = []
    listed: list[list[Case]] = []
    for name, future in [(name, pool.submit(cases.prepare, base, name)) for name in names]:
        try:
            listed.append(cases.of_program(name, future.result(), every, moments))
        except RuntimeError as error:
            broken.append(f"{name}, undisturbed: {error}")
            print(broken[-1], flush=True)
    for each in _read(outcomes):  # The last outcome of a case counts.
        done[each["program"], each["case"]] = each
    equal = {key for key, each in done.items() if not each["found"]}
    left = [case for case in _evenly(listed) if (case.program, case.name) not in equal]
    print(f"{len(left)} cases in {base}", flush=True)
    try:
        for future in concurrent.futures.as_completed([pool.submit(cases.attempt, base, case) for case in left]):
            outcome = future.result()
            done[outcome["program"], outcome["case"]] = outcome
            with open(outcomes, "a", encoding="utf-8") as file:
                file.write(json.dumps(outcome) + "\n")
            if outcome["found"]:
                print(_shown(outcome), flush=True)
    except KeyboardInterrupt:
        pool.shutdown(cancel_futures=True)
    print("\n".join([_table(names, list(done.values()), listed), *broken]))
    return 1 if broken or any(each["found"] for each in done.values()) else 0


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
