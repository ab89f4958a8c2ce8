"""Configurations check themselves."""

import dataclasses
import math
from typing import Any

import pytest

from weirdonetworks.lab.config import Config, RunOptions, StudyConfig, TrainingConfig, setting
from weirdonetworks.lab.errors import UsageError


class Invented(Config):
    share: float = setting(0.5, "A share.", minimum=0.0, maximum=1.0)
    widths: tuple[int, ...] = setting((3, 2), "Some widths.", minimum=1)
    limit: float | None = setting(None, "A limit.", minimum=2)
    steps: tuple[int, ...] = setting((1,), "Some steps, one at least.", may_be_empty=False)
    kind: str = setting("one", "A kind.", choices=("one", "two"))
    load: float = setting(0.5, "A load.", maximum=1.0)


def test_the_defaults_obey_their_own_rules() -> None:
    assert Invented() == Invented(0.5, (3, 2), None, (1,), "one", 0.5)
    TrainingConfig()
    RunOptions()


@pytest.mark.parametrize(
    "values", [{"share": 0.0}, {"share": 1}, {"widths": ()}, {"limit": 2}, {"load": -3.0}, {"kind": "two"}]
)
def test_bounds_are_allowed(values: dict[str, Any]) -> None:
    Invented(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.2}, "share (=1.2) must be in [0, 1]."),
        ({"share": -1e-9}, "share (=-1e-09) must be in [0, 1]."),
        ({"share": math.nan}, "share (=nan) must be finite."),
        ({"widths": (3, 0, 5)}, "widths (=0) must be at least 1."),
        ({"limit": 1.5}, "limit (=1.5) must be at least 2."),
        ({"limit": math.nan}, "limit (=nan) must be finite."),
        ({"steps": ()}, "steps must hold at least one number."),
        ({"load": 1.5}, "load (=1.5) must be at most 1.0."),
        ({"kind": "three"}, "kind (=three) must be one of one, two."),
    ],
)
def test_a_broken_rule_is_told_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Invented(**values)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("validation_size", -1),
        ("examples", 0),
        ("epochs", 0),
        ("epochs", 10**12),
        ("batch_size", 0),
        ("batch_size_test", 0),
        ("optimizer", "SGD"),
        ("learning_rate", -0.1),
        ("weight_decay", -0.1),
        ("momentum", 1.5),
        ("nesterov", True),
        ("lr_schedule", "linear"),
        ("execution", "eager"),
        ("update_epoch", 0),
        ("update_iterations", 0),
    ],
)
def test_training_is_refused_what_it_cannot_do(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^{name} \(={value}\) must be "):
        TrainingConfig(**{name: value})


def test_more_trials_than_can_be_listed_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^num_trials \(=1000000000\) must be at most 10000"):
        StudyConfig(num_trials=10**9)


def test_each_optimizer_has_its_own_default_weight_decay() -> None:
    assert TrainingConfig().decay == 0.2
    assert TrainingConfig(optimizer="Momentum").decay == 0.0
    assert TrainingConfig(optimizer="Momentum", weight_decay=0.5).decay == 0.5
    assert TrainingConfig(weight_decay=0.0).decay == 0.0
    assert dataclasses.replace(TrainingConfig(), optimizer="Momentum").decay == 0.0


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingConfig().epochs = 3  # type: ignore[misc]
    assert dataclasses.replace(TrainingConfig(), epochs=3).epochs == 3
    with pytest.raises(UsageError):
        dataclasses.replace(TrainingConfig(), epochs=0)


class InventedStudy(StudyConfig):
    size: int = setting(3, "A size.", minimum=1)


def test_trials_differ_in_their_seed_alone() -> None:
    trials = InventedStudy(num_trials=3, random_seed=7, size=5).trials()
    assert [trial.random_seed for trial in trials] == [7, 8, 9]
    assert all(dataclasses.replace(trial, random_seed=7) == trials[0] for trial in trials)
    assert {type(trial) for trial in trials} == {InventedStudy} and trials[0].size == 5


def test_one_trial_is_the_configuration_itself() -> None:
    assert StudyConfig().trials() == [StudyConfig()]


def test_there_is_at_least_one_trial() -> None:
    with pytest.raises(UsageError, match=r"^num_trials \(=0\) must be at least 1\.$"):
        StudyConfig(num_trials=0)


def test_the_order_of_trials_changes_ids_only_if_it_is_shared() -> None:
    own, shared = StudyConfig(num_trials=2), StudyConfig(num_trials=2, trials_order="shared")
    assert not {"order_seed", "trials_order"} & own.affecting("training").keys()
    first, second = shared.trials()
    # The first trial is the training that it is alone; its record says the order's seed all the same.
    assert "order_seed" not in first.affecting("training") and first.affecting("nothing")["order_seed"] == 42
    assert second.affecting("training")["order_seed"] == 42 != second.random_seed
    assert [trial.order_seed for trial in StudyConfig(order_seed=5, trials_order="shared", num_trials=2).trials()] == [
        5,
        5,
    ]
