"""The short form of `python -m tests.faults.fuzz`: some wrong input of each kind."""

import inspect
import pathlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults import functions, fuzz

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


@pytest.mark.parametrize(
    "message", ["rate (=2) must be at most 1.", "share (=2) must be at most 1.", "rates must be few."]
)
def test_an_answer_names_the_argument_that_is_wrong(message: str) -> None:
    def function(rate: float, share: float = 0.0) -> None:
        raise ValueError(message)

    call = functions.Call("function", function, lambda: {"rate": 0.5}, inspect.signature(function).parameters)
    expected = ValueError if message.startswith("rate ") else functions.UnnamedError
    with pytest.raises(expected, match="must be"):
        call(rate=2.0)


def test_arguments_of_any_number_are_called_with_what_is_wrong() -> None:
    def function(first: int, *rest: int, last: int = 3) -> tuple[Any, ...]:
        return first, rest, last

    call = functions.Call(
        "function", function, lambda: {"first": 1, "rest": (2,)}, inspect.signature(function).parameters
    )
    assert [call(), call(rest=None), call(last=0)] == [(1, (2,), 3), (1, (None,), 3), (1, (2,), 0)]


@pytest.mark.exhaustive
def test_right_values_are_right() -> None:
    assert len(functions.calls()) > 200
    for call in functions.calls():
        call()
