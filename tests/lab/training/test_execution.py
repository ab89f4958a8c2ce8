"""How an epoch is compiled where nobody says how."""

import os
from collections.abc import Callable

import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training.trainer import resolve_execution


def dense() -> snt.Module:
    layer = snt.Linear(2)
    layer(tf.zeros([1, 4]))
    return layer


def convolution() -> snt.Module:
    layer = snt.Conv2D(2, 3)
    layer(tf.zeros([1, 4, 4, 1]))
    return layer


@pytest.mark.parametrize(
    ("execution", "cores", "accelerator", "network", "resolved"),
    [
        ("xla", 1, None, convolution, "xla"),
        ("graph", 8, "GPU", dense, "graph"),
        ("auto", 1, None, dense, "graph"),
        ("auto", 2, None, dense, "xla"),
        ("auto", 2, None, convolution, "graph"),
        ("auto", 1, "GPU", convolution, "xla"),
        ("auto", 1, "TPU", dense, "xla"),
    ],
)
def test_auto_is_what_was_measured_fastest(
    execution: str,
    cores: int,
    accelerator: str | None,
    network: Callable[[], snt.Module],
    resolved: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = network()
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] if kind == accelerator else [])
    assert resolve_execution(execution, built) == resolved


def test_auto_compiles_nothing_by_xla_for_little_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    assert [resolve_execution("auto", dense(), examples) for examples in (4999, 5000)] == ["graph", "xla"]
    assert resolve_execution("xla", dense(), 1) == "xla"


def test_auto_needs_no_word_of_the_system_on_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Linux has `os.sched_getaffinity`."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert resolve_execution("auto", dense()) == "xla"


def test_another_execution_is_refused() -> None:
    with pytest.raises(UsageError, match=r"execution \(=eager\) must be one of auto, xla, graph"):
        resolve_execution("eager", dense())
