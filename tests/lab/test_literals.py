"""Flags that are written as Python lists."""

import pytest
from hypothesis import given, strategies as st

from weirdonetworks.lab import literals
from weirdonetworks.lab.errors import UsageError

numbers = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))


@pytest.mark.slow
@given(st.lists(st.tuples(numbers, numbers)))
def test_what_python_writes_is_read_back(pairs: list[tuple[float, float]]) -> None:
    assert literals.pairs("steps", repr(pairs)) == pairs
    assert literals.pairs("steps", repr([list(pair) for pair in pairs])) == pairs


@pytest.mark.parametrize("text", ["[(3, 0.5", "", "import os", "[(3, x)]", "print(1)", "[(1, 2)];", "\0", "(" * 500])
def test_what_is_no_literal_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^steps \(=") as caught:
        literals.parse("steps", text)
    assert str(caught.value).endswith("must be a list such as [(2, 0.3), (5, 0.6)].")


def test_nothing_is_executed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError):
        literals.pairs("steps", "[(print('executed'), 1)]")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("text", ["3", "'ab'", "{1: 2}", "[1, 2]", "[(1, 2, 3)]", "[(1,)]", "['ab']", "None"])
def test_what_is_no_list_of_pairs_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^steps \(=.*\) must be a list of pairs, such as"):
        literals.pairs("steps", text)


@pytest.mark.parametrize(
    ("text", "shown"), [("[(1, 'a')]", "'a'"), ("[(True, 0.5)]", "True"), ("[(1, None)]", "None"), ("[(1, 2j)]", "2j")]
)
def test_what_is_no_number_is_refused(text: str, shown: str) -> None:
    with pytest.raises(UsageError, match=rf"must hold numbers only, not {shown}\.$"):
        literals.pairs("steps", text)
