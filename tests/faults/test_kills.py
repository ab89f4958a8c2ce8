"""The short form of `python -m tests.faults`: a few of the states that a kill leaves, and of the refused writes."""

import errno
import pathlib
import re
import shutil

import pytest

from tests.faults import kills, scenarios, system_calls
from tests.faults.scenarios import SCENARIOS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not system_calls.AVAILABLE, reason="needs Linux on x86-64"),
]
PRUNE = SCENARIOS["prune"]
WRITTEN, SAVED, SUMMARISED = (
    r"write .*/metrics\.jsonl",
    r"write .*/checkpoints/ckpt-2\.index",
    r"rename \.summary\.json\..*",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> kills.Whole:
    folder = tmp_path_factory.mktemp("faults")
    scenarios.make_data(folder / "data.npz")
    return kills.whole(PRUNE, folder / "whole", wanted=f"{WRITTEN}|{SAVED}|{SUMMARISED}")


def folder_beside(whole: kills.Whole, name: str) -> pathlib.Path:
    folder = whole.before[0][1].parents[1] / name
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("call", "clock"),
    [
        (WRITTEN, -86_400.0),  # The clock was set back by a day meanwhile.
        (SAVED, 0.0),
        (SUMMARISED, 0.0),
    ],
)
def test_what_a_kill_leaves_goes_on_to_the_same_end(call: str, clock: float, whole: kills.Whole) -> None:
    *_, state = (state for made, state in whole.before if re.fullmatch(call, made))
    folder = folder_beside(whole, f"cut {state.name}")
    shutil.copytree(state, folder, dirs_exist_ok=True)
    assert kills.resumed(PRUNE, whole, folder, clock=clock) == []


@pytest.mark.parametrize(
    ("error", "call"), [(errno.ENOSPC, "write .*ckpt-2_temp.*"), (errno.EROFS, WRITTEN)], ids=["full", "read-only"]
)
def test_a_disk_that_takes_no_more_is_one_line_and_costs_nothing(error: int, call: str, whole: kills.Whole) -> None:
    _, at, *_ = (number for number, made in enumerate(whole.calls, start=1) if re.fullmatch(call, made))
    folder = folder_beside(whole, f"refused {error}")
    assert kills.refused(PRUNE, folder, at, error) == []
    assert not (folder / scenarios.RUNS / "summary.json").exists()
    assert kills.resumed(PRUNE, whole, folder) == []


def test_the_comparison_sees_what_differs(whole: kills.Whole) -> None:
    name = next(name for name in whole.contents if name.endswith("best_metrics.json"))
    other = {**whole.contents, name: {}, "more": b""}
    found = scenarios.differences(whole.contents, other)
    assert found[0] == "more is left over" and found[1].startswith(f"{name} differs: best_")
    del other[name]
    assert scenarios.differences(whole.contents, other) == [f"{name} is missing", "more is left over"]
