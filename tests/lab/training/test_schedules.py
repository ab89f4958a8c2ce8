"""Schedules of the learning rate, at points computed by hand and by property."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from weirdonetworks.lab.config import TrainingConfig
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training import schedules


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
        config = TrainingConfig(lr_schedule=kind, epochs=epochs, lr_schedule_steps="[(1, 0.5), (2, 0.25)]")
        rate = schedules.learning_rate(config, steps_per_epoch)
        numbers = np.arange(steps_per_epoch * epochs)
        assert rate(numbers).shape == numbers.shape
        assert rate(numbers).tolist() == [float(rate(number)) for number in numbers]


def configured(kind: str, steps: str = "[(1, 0.5)]") -> TrainingConfig:
    return TrainingConfig(learning_rate=1.0, epochs=9, lr_schedule=kind, lr_schedule_steps=steps)


def test_learning_rates_are_told_in_epochs() -> None:
    stepped = schedules.learning_rate(configured("stepped", "[(1, 0.5), (2.5, 0.1)]"), 7)
    assert stepped == schedules.Stepped(1.0, (7, 18), (0.5, 0.1))  # 17.5 steps are rounded to even
    assert schedules.learning_rate(configured("cosine"), 7) == schedules.Cosine(1.0, 63)
    assert schedules.learning_rate(configured("cosine"), 7, epochs=2) == schedules.Cosine(1.0, 14)
    assert schedules.learning_rate(configured("constant"), 7) == schedules.Constant(1.0)


@pytest.mark.parametrize(
    ("kind", "steps", "message"),
    [
        ("linear", "[]", r"lr_schedule \(=linear\) must be one of constant, stepped, cosine"),
        ("stepped", "[]", r"lr_schedule_steps \(=\[\]\) must be a rising list"),
        ("stepped", "[(2, 0.1), (2, 0.01)]", "must be a rising list"),
        ("stepped", "[(3, 0.1), (2, 0.01)]", "must be a rising list"),
        ("stepped", "[(2, 0.1), (2.01, 0.01)]", "must be a rising list"),  # In the same step.
    ],
)
def test_a_malformed_learning_rate_is_refused(kind: str, steps: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        schedules.learning_rate(configured(kind, steps), 5)


def test_learning_rates_check_themselves() -> None:
    with pytest.raises(ValueError, match="same length"):
        schedules.Stepped(0.1, (1, 2), (0.5,))
    with pytest.raises(ValueError, match="must rise"):
        schedules.Stepped(0.1, (2, 2), (0.5, 0.1))
    with pytest.raises(ValueError, match=r"total_steps \(=0\)"):
        schedules.Cosine(0.1, 0)
