"""Schedules, at points computed by hand and by property."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training import schedules, sparsity_schedules

rising_epochs = st.lists(st.integers(0, 50), min_size=1, max_size=6, unique=True).map(sorted)


def test_constant() -> None:
    assert schedules.Constant(0.3)(7) == 0.3
    assert schedules.Constant(0.3)([0, 5]).tolist() == [0.3, 0.3]


@pytest.mark.parametrize(("step", "rate"), [(0, 0.2), (9, 0.2), (10, 0.1), (19, 0.1), (20, 0.02), (10**9, 0.02)])
def test_stepped_jumps_at_its_boundaries(step: int, rate: float) -> None:
    assert schedules.Stepped(0.2, (10, 20), (0.5, 0.1))(step) == pytest.approx(rate, rel=1e-15)


@pytest.mark.parametrize(
    ("step", "share"), [(0, 1.0), (25, (1 + math.sqrt(0.5)) / 2), (50, 0.5), (75, (1 - math.sqrt(0.5)) / 2), (100, 0.0)]
)
def test_cosine_at_known_points(step: int, share: float) -> None:
    assert schedules.Cosine(0.4, 100)(step) == pytest.approx(0.4 * share, abs=1e-16)


@given(st.integers(1, 500), st.floats(1e-6, 10))
def test_cosine_falls_from_base_to_zero_and_stays(total: int, base: float) -> None:
    rates = schedules.Cosine(base, total)(np.arange(total + 10))
    assert rates[0] == base
    assert (np.diff(rates) <= 0).all()
    assert (rates[total:] == rates[total]).all() and rates[total] == pytest.approx(0, abs=1e-15 * base)
    middle = rates[: total + 1] + rates[total::-1]
    np.testing.assert_allclose(middle, base, rtol=1e-12)


@given(st.integers(1, 60), st.integers(1, 30))
def test_a_schedule_of_an_array_is_the_array_of_the_schedule(steps_per_epoch: int, epochs: int) -> None:
    for kind in ("constant", "stepped", "cosine"):
        rate = schedules.learning_rate(
            kind, 0.1, steps_per_epoch=steps_per_epoch, epochs=epochs, steps=[(1, 0.5), (2, 0.25)]
        )
        numbers = np.arange(steps_per_epoch * epochs)
        assert rate(numbers).shape == numbers.shape
        assert rate(numbers).tolist() == [float(rate(number)) for number in numbers]


def test_learning_rates_are_told_in_epochs() -> None:
    stepped = schedules.learning_rate("stepped", 1.0, steps_per_epoch=7, epochs=9, steps=[(1, 0.5), (2.5, 0.1)])
    assert stepped == schedules.Stepped(1.0, (7, 18), (0.5, 0.1))  # 17.5 steps are rounded to even
    cosine = schedules.learning_rate("cosine", 1.0, steps_per_epoch=7, epochs=9)
    assert cosine == schedules.Cosine(1.0, 63)
    assert schedules.learning_rate("constant", 2.0, steps_per_epoch=7, epochs=9) == schedules.Constant(2.0)


@pytest.mark.parametrize(
    ("kind", "steps", "message"),
    [
        ("linear", (), r"lr_schedule \(=linear\) must be constant, stepped or cosine"),
        ("stepped", (), r"lr_schedule_steps \(=\[\]\) must be a rising list"),
        ("stepped", [(2, 0.1), (2, 0.01)], "must be a rising list"),
        ("stepped", [(3, 0.1), (2, 0.01)], "must be a rising list"),
    ],
)
def test_a_malformed_learning_rate_is_refused(kind: str, steps: list[tuple[float, float]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        schedules.learning_rate(kind, 0.1, steps_per_epoch=5, epochs=3, steps=steps)


def test_learning_rates_check_themselves() -> None:
    with pytest.raises(ValueError, match="same length"):
        schedules.Stepped(0.1, (1, 2), (0.5,))
    with pytest.raises(ValueError, match="must rise"):
        schedules.Stepped(0.1, (2, 2), (0.5, 0.1))
    with pytest.raises(ValueError, match=r"total_steps \(=0\)"):
        schedules.Cosine(0.1, 0)


@given(rising_epochs, st.data())
def test_stepped_sparsity_rises_within_its_bounds(epochs: list[int], data: st.DataObject) -> None:
    levels = sorted(data.draw(st.lists(st.floats(0, 1), min_size=len(epochs), max_size=len(epochs))))
    schedule = sparsity_schedules.SteppedSparsity(tuple(epochs), tuple(levels))
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
    assert sparsity_schedules.CubicSparsity(0.8, 2, 6)(epoch) == pytest.approx(0.8 * share, rel=1e-15)


@given(st.floats(0, 1), st.integers(0, 30), st.integers(1, 30))
def test_cubic_sparsity_rises_ever_slower(final: float, begin: int, length: int) -> None:
    schedule = sparsity_schedules.CubicSparsity(final, begin, begin + length)
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
    ],
)
def test_a_malformed_stepped_sparsity_is_refused(
    epochs: tuple[int, ...], sparsities: tuple[float, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        sparsity_schedules.SteppedSparsity(epochs, sparsities)


@pytest.mark.parametrize(
    ("final", "begin", "end", "message"),
    [
        (1.5, 0, 3, r"sparsity \(=1.5\) must be in \[0, 1\]"),
        (0.5, 3, 3, r"begin \(=3\) must be in \[0, end \(=3\)\)"),
        (0.5, -1, 3, r"begin \(=-1\)"),
    ],
)
def test_a_malformed_cubic_sparsity_is_refused(final: float, begin: int, end: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sparsity_schedules.CubicSparsity(final, begin, end)
