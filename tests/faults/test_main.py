"""The run over all cases: what it tries again, what it goes on beside, and what it refuses."""

import concurrent.futures
import pathlib
import signal
from typing import Any

import pytest

from tests.faults import __main__ as faults, cases
from tests.faults.cases import Case
from tests.faults.kills import Whole


def test_what_differed_is_tried_again_and_a_broken_program_stops_no_other(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[int] = []

    def prepare(base: pathlib.Path, name: str) -> None:
        if name == "prune":
            raise RuntimeError("prune must end well")

    def attempt(base: pathlib.Path, case: Case) -> dict[str, Any]:
        tried.append(case.number)
        found = ["a file is missing"] if case.number and len(tried) < 3 else []
        named = {"program": case.program, "column": case.column, "case": case.name, "words": "SIGKILL"}
        return {**named, "late": False, "resumed": True, "found": found}

    monkeypatch.setattr(cases, "prepare", prepare)
    monkeypatch.setattr(cases, "attempt", attempt)
    monkeypatch.setattr(cases, "of_program", lambda name, *_: [Case(name, "states", number) for number in (0, 1)])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert faults.try_all(pool, tmp_path, ["train", "prune"], 1, 1) == 1
        printed = capsys.readouterr().out
        assert "train, SIGKILL: a file is missing" in printed and "1 of 2 / 2" in printed
        assert "prune, undisturbed: prune must end well" in printed
        assert faults.try_all(pool, tmp_path, ["train"], 1, 1) == 0
    assert tried == [0, 1, 1] and "2 of 2 / 2" in capsys.readouterr().out


def test_every_state_and_call_is_tried_and_a_full_disk_where_room_is_needed(tmp_path: pathlib.Path) -> None:
    calls = [f"{name} metrics.jsonl" for name in ("openat", "write", "fsync", "rename", "unlink") for _ in range(8)]
    before = [(call, tmp_path / str(number // 2)) for number, call in enumerate(calls)]
    undisturbed = Whole({}, calls, before, [float(number) for number in range(len(calls) + 2)])
    listed = cases.of_program("train", undisturbed, 1, 6)
    numbers = {column: sorted(each.number for each in listed if each.column == column) for column in cases.COLUMNS}
    assert numbers["states"] == list(range(20))
    assert numbers["SIGTERM at calls"] == list(range(1, 41)) and numbers["disk full"] == list(range(1, 17))
    assert len(numbers["read-only"]) == 4 and len(numbers["moments"]) == 6
    assert {each.sent for each in listed if each.column == "SIGTERM at calls"} == {signal.SIGTERM}
    assert len(cases.of_program("train", undisturbed, 4, 0)) == 5 + 10 + 4 + 1


def test_a_folder_of_other_sources_is_refused(tmp_path: pathlib.Path) -> None:
    faults.claim(tmp_path / "new", "one")
    faults.claim(tmp_path / "new", "one")
    with pytest.raises(ValueError, match=r"^folder \(=.*new\) must be empty or of the same sources"):
        faults.claim(tmp_path / "new", "other")
