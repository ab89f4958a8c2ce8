"""The short form of `python -m tests.faults.fuzz`: some wrong input of each kind."""

import pathlib
import random
from collections.abc import Callable

import pytest

from tests.faults import fuzz

CASES = {"flags": 60, "schedules": 100, "archives": 60, "records": 20, "functions": 40}


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.slow
def test_wrong_input_is_answered(kind: str) -> None:
    assert list(fuzz.failures(kind, CASES[kind], seed=7)) == []


def raising(error: BaseException) -> Callable[[], object]:
    def run() -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "fails"),
    [(ValueError("rate (=2) must be in [0, 1]."), False), (KeyError("rate"), True), (ValueError(), True)],
)
def test_what_is_no_answer_fails(error: Exception, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def case(drawn: random.Random, folder: pathlib.Path) -> fuzz.Case:
        return "a rate of 2", raising(error)

    monkeypatch.setitem(fuzz.DRAW, "schedules", case)
    found = list(fuzz.failures("schedules", 2, seed=0))
    assert [line.startswith("a rate of 2: ") for line in found] == [True] * (2 * fails)
