"""The digest of what a fault leaves: equal only where resuming starts from the same."""

import pathlib
from collections.abc import Mapping

import pytest

from tests.faults import scenarios

FIRST, SECOND = '{"epoch": 1, "wallclock_time": 0.5}\n', '{"epoch": 2, "wallclock_time": 0.6}\n'


def fingerprint(folder: pathlib.Path, files: Mapping[str, str]) -> str:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return scenarios.fingerprint(folder)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"metrics.jsonl": FIRST}, {}),
        ({"metrics.jsonl": FIRST}, {"metrics.jsonl": ""}),
        ({"metrics.jsonl": FIRST}, {"metrics.jsonl": FIRST + SECOND}),
        ({"metrics.jsonl": FIRST + SECOND}, {"metrics.jsonl": (FIRST + SECOND).rstrip("\n")}),
        ({"metrics.jsonl": FIRST + SECOND}, {"metrics.jsonl": FIRST + SECOND[:-2]}),
        ({"config.json": '{"epochs": 1}\n'}, {"config.json": '{"epochs": 2}\n'}),
        ({"config.json": '{"epochs": 1}\n'}, {"config.json": '{"epochs": 1}'}),
        ({"config.json": '{"epochs": 1}\n'}, {".config.json.7": '{"epochs": 1}\n'}),
        ({"ckpt-1.index": "whole"}, {"ckpt-1.index": "whol"}),
    ],
)
def test_states_that_differ_have_other_fingerprints(
    one: Mapping[str, str], other: Mapping[str, str], tmp_path: pathlib.Path
) -> None:
    assert fingerprint(tmp_path / "one", one) != fingerprint(tmp_path / "other", other)


def test_times_and_processes_do_not_count(tmp_path: pathlib.Path) -> None:
    one = fingerprint(tmp_path / "one", {"metrics.jsonl": FIRST, ".config.json.7": ""})
    later = FIRST.replace("0.5", "0.75")
    assert fingerprint(tmp_path / "other", {"metrics.jsonl": later, ".config.json.8": ""}) == one


def test_seconds_do_not_count_wherever_they_stand(tmp_path: pathlib.Path) -> None:
    found = []
    for seconds, loss in ((0.5, 1), (0.7, 1), (0.7, 2)):
        folder = tmp_path / str(len(found))
        (folder / scenarios.RUNS).mkdir(parents=True)
        (folder / scenarios.RUNS / "summary.json").write_text(f'{{"a/seconds/mean": {seconds}, "b/mean": {loss}}}')
        found.append(scenarios.contents(folder))
    assert found[0] == found[1] != found[2]
