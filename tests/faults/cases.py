"""The faults that one program is tried with: which there are, and how one is tried."""

import dataclasses
import errno
import functools
import pathlib
import pickle
import random
import shutil
import signal
from collections.abc import Sequence
from typing import Any

from tests import processes
from tests.faults import kills, scenarios
from tests.faults.kills import Whole
from tests.faults.scenarios import SCENARIOS
from tests.faults.system_calls import GROWING

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
REFUSALS = {"disk full": errno.ENOSPC, "read-only": errno.EROFS}
COLUMNS = ("states", "SIGTERM at calls", "moments", *REFUSALS)
TIMEOUT = 900  # Seconds after which a program counts as hanging; others may be running.


@dataclasses.dataclass(frozen=True)
class Case:
    """A fault of a program.

    Attributes:
      program: The name of the scenario.
      column: One of `COLUMNS`.
      number: Of `states` which one, from 0; else the call, from 1, or 0 for the start of the program.
      sent: The signal, if one is sent.
      seconds: When it is sent, in seconds after the call.
    """

    program: str
    column: str
    number: int
    sent: signal.Signals | None = None
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """Tells cases of a program apart, and can name a folder."""
        return f"{self.column} {self.number}" + (f" {self.sent.name} {self.seconds:.4f}" if self.sent else "")

    def words(self, undisturbed: Whole) -> str:
        """Says what the fault is, and where in the program."""
        if self.column == "states":
            return f"SIGKILL before {list(undisturbed.states.values())[self.number]}"
        where = undisturbed.calls[self.number - 1] if self.number else "the start"
        if self.sent is None:
            return f"{self.column} from {where}"
        return (
            f"{self.sent.name} {self.seconds:.2f} s after {where}" if self.seconds else f"{self.sent.name} at {where}"
        )


def folder_of(base: pathlib.Path, program: str) -> pathlib.Path:
    """Returns the folder of all that is done to a program."""
    return base / program.replace(" ", "-").replace(",", "")


def prepare(base: pathlib.Path, program: str) -> Whole:
    """Runs a program undisturbed, and keeps what cases compare with; once for each folder."""
    folder = folder_of(base, program)
    kept = folder / "whole.pickle"
    if not kept.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        scenarios.make_data(folder / "data.npz")
        (folder / "equal").mkdir()
        kept.write_bytes(pickle.dumps(kills.whole(SCENARIOS[program], folder / "whole")))
    return _undisturbed(kept)


@functools.cache
def _undisturbed(kept: pathlib.Path) -> Whole:
    found: Whole = pickle.loads(kept.read_bytes())
    return found


def of_program(program: str, undisturbed: Whole, every: int, moments: int) -> list[Case]:
    """Lists the faults of a program in a random order, the same each time for the same run.

    Args:
      program: The name of the scenario.
      undisturbed: Its run.
      every: Of the states of the files, and of the calls, every so-manieth is tried; for a full disk of the calls that
        need room, and for a read-only folder of a tenth of them.
      moments: How many random moments.
    """
    drawn = random.Random(program)
    calls = range(1, 1 + len(undisturbed.calls))
    growing = [number for number in calls if undisturbed.calls[number - 1].partition(" ")[0] in GROWING]

    def some(column: str, numbers: Sequence[int], step: int, sent: signal.Signals | None = None) -> list[Case]:
        first = drawn.randrange(min(step, len(numbers)))
        return [Case(program, column, number, sent) for number in numbers[first::step]]

    listed = some("states", range(len(undisturbed.states)), every)
    listed += some("SIGTERM at calls", calls, every, signal.SIGTERM)
    listed += some("disk full", growing, every) + some("read-only", calls, every * 10)
    for turn in range(moments):
        number, seconds = kills.moment(drawn, undisturbed)
        listed.append(Case(program, "moments", number, SIGNALS[turn % len(SIGNALS)], seconds))
    drawn.shuffle(listed)
    return listed


def attempt(base: pathlib.Path, case: Case) -> dict[str, Any]:
    """Tries a case, and keeps its files if it differs.

    Files that equal those of a case before, but for times and ids of processes, are not resumed again.

    Returns:
      A record for JSON: `program`, `column`, `case` (its name), `words`; `late`, whether the program had ended before
      the signal came; `resumed`, whether it was resumed; and `found`, what is wrong.
    """
    processes.TIMEOUT = TIMEOUT
    folder, scenario = folder_of(base, case.program), SCENARIOS[case.program]
    undisturbed = _undisturbed(folder / "whole.pickle")
    place, before = folder / f"cut {case.name}", folder / f"left {case.name}"
    for left in (place, before):
        shutil.rmtree(left, ignore_errors=True)
    outcome: dict[str, Any] = {"program": case.program, "column": case.column, "case": case.name}
    outcome |= {"words": case.words(undisturbed), "late": False, "resumed": False}
    found: list[str] = []
    if case.column == "states":
        shutil.copytree(list(undisturbed.states)[case.number], place)
    elif case.column in REFUSALS:
        found = kills.refused(scenario, place, case.number, REFUSALS[case.column])
    elif case.column == "moments":
        assert case.sent is not None
        outcome["late"] = not kills.cut_after(scenario, place, case.number, case.seconds, case.sent)
    else:
        assert case.sent is not None
        kills.cut_at_call(scenario, place, case.number, case.sent)
    known = folder / "equal" / scenarios.fingerprint(place)
    if not known.exists():
        outcome["resumed"] = True
        shutil.copytree(place, before)
        found += kills.resumed(scenario, undisturbed, place)
        if not found:
            known.touch()
            shutil.rmtree(before)
    if not found:
        shutil.rmtree(place)
    return {**outcome, "found": found}
