"""Schedules of sparsity, at points computed by hand and by property."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from weight_symmetry.updaters import schedules
from weirdonetworks.lab.errors import UsageError

rising_epochs = st.lists(st.integers(0, 50), min_size=1, max_size=6, unique=True).map(sorted)


@given(rising_epochs, st.data())
def test_stepped_sparsity_rises_within_its_bounds(epochs: list[int], data: st.DataObject) -> None:
    levels = sorted(data.draw(st.lists(st.floats(0, 1), min_size=len(epochs), max_size=len(epochs))))
    schedule = schedules.SteppedSparsity(tuple(epochs), tuple(levels))
    values = [schedule(epoch) for epoch in range(60)]
    assert values == sorted(values)
    assert set(values) <= {0.0, *levels}
    for epoch, level in zip(epochs, levels, strict=True):
        assert schedule(epoch) == level
    assert all(value == 0 for value in values[: epochs[0]])
    assert schedule.last_change == epochs[-1]
    assert set(values[schedule.last_change :]) == {levels[-1]}


@pytest.mark.parametrize(
    ("epoch", "share"), [(0, 0), (2, 0), (3, 1 - 0.75**3), (4, 0.875), (5, 1 - 0.25**3), (6, 1), (9, 1)]
)
def test_cubic_sparsity_at_known_points(epoch: int, share: float) -> None:
    assert schedules.CubicSparsity(0.8, 2, 6)(epoch) == pytest.approx(0.8 * share, rel=1e-15)


@given(st.floats(0, 1), st.integers(0, 30), st.integers(1, 30))
def test_cubic_sparsity_rises_ever_slower(final: float, begin: int, length: int) -> None:
    schedule = schedules.CubicSparsity(final, begin, begin + length)
    values = np.array([schedule(epoch) for epoch in range(begin + length + 3)])
    assert values[begin] == 0 and values[begin + length] == final == values[-1]
    rises = np.diff(values)
    assert (rises >= 0).all() and values.max() <= 1
    assert (np.diff(rises[begin:]) <= 1e-12).all()
    assert schedule.last_change == begin + length


@pytest.mark.parametrize(
    ("epochs", "sparsities", "message"),
    [
        ((), (), "at least one"),
        ((-1,), (0.5,), "epoch -1 must be at least 0"),
        ((1,), (1.2,), r"sparsity 1.2 must be in \[0, 1\]"),
        ((1,), (math.nan,), r"sparsity nan must be in \[0, 1\]"),
        ((3, 2), (0.5, 0.6), r"must rise: \(2, 0.6\) follows \(3, 0.5\)"),
        ((2, 2), (0.5, 0.6), "must rise"),
        ((2, 3), (0.6, 0.5), "A sparsity is the total reached"),
        ((1, 2), (0.5,), r"^sparsities \(=\(0.5,\)\) must be as many as epochs \(=\(1, 2\)\)\.$"),
        (1, 0.5, r"^epochs \(=1\) of a pruning schedule must be a tuple of numbers\.$"),
        ((1,), ("a",), r"^sparsities \(=\('a',\)\) of a pruning schedule must be a tuple of numbers\.$"),
    ],
)
def test_a_malformed_stepped_sparsity_is_refused(
    epochs: tuple[int, ...], sparsities: tuple[float, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        schedules.SteppedSparsity(epochs, sparsities)


@pytest.mark.parametrize(
    ("final", "begin", "end", "message"),
    [
        (1.5, 0, 3, r"sparsity \(=1.5\) must be in \[0, 1\]"),
        (0.5, 3, 3, r"begin \(=3\) must be in \[0, end \(=3\)\)"),
        (0.5, -1, 3, r"begin \(=-1\)"),
        ("a", 0, 3, r"final \(='a'\) must be a number"),
        (0.5, 0, "b", r"end \(='b'\) must be a number"),
    ],
)
def test_a_malformed_cubic_sparsity_is_refused(final: float, begin: int, end: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        schedules.CubicSparsity(final, begin, end)
