"""One file of summaries: twenty writers at a time lose nothing, and among thousands of runs one more is quick."""

import json
import multiprocessing
import pathlib
import time
from typing import Any

import pytest

from analysis import page, summaries
from weirdonetworks.lab.records import files, runs

WRITERS, ENTRIES = 20, 5


def write(path: pathlib.Path, writer: int) -> None:
    for number in range(ENTRIES):
        runs.update_json(path, f"run-{writer}-{number}", {"writer": writer, "number": number})


def test_twenty_writers_lose_nothing(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "summary.json"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write, args=(path, number)) for number in range(WRITERS)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert not any(each.exitcode for each in writers)
    expected = {
        f"run-{writer}-{number}": {"writer": writer, "number": number}
        for writer in range(WRITERS)
        for number in range(ENTRIES)
    }
    assert json.loads(path.read_text()) == expected
    assert [each.name for each in tmp_path.iterdir() if each.name != ".locks"] == ["summary.json"]


def record(number: int) -> dict[str, Any]:
    return {"mask/permutations": str(10**30)} | {f"final/metric_{index}": number + index / 7 for index in range(60)}


@pytest.mark.slow
def test_one_more_of_thousands_is_quick(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "summary.json"
    content = {f"run-{number}": record(number) for number in range(5000)}
    files.write_json(path, content)
    runs.update_json(path, "first", record(1))  # Reads what another has written.
    started = time.process_time()
    runs.update_json(path, "second", record(2))
    assert time.process_time() - started < 0.1
    assert json.loads(path.read_text()) == content | {"first": record(1), "second": record(2)}
    page.write(summaries.load(tmp_path), tmp_path / "report.html", title="thousands")
    assert time.process_time() - started < 30
    assert (tmp_path / "report.html").stat().st_size < 20e6  # A browser opens it at once.


def test_the_text_is_the_same_however_it_was_written(tmp_path: pathlib.Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    entries = {'a "quoted" key\n  "b": ': {"x": 10**20, "y": [1.5, {"z": float("nan")}]}, "b": {}, "c": {"d": {}}}
    for key, value in entries.items():
        runs.update_json(one, key, value)
        files.write_json(other, {**(files.read_json(other) if other.exists() else {}), key: value})
    runs.update_json(one, "b", {"again": 1})  # It is replaced, not added.
    files.write_json(other, {**entries, "b": {"again": 1}})
    assert one.read_text() == other.read_text()


@pytest.mark.parametrize("text", ["", "[]\n", "{\n", '{\n  "a": 1\n}\n}\n'])
def test_what_another_has_written_is_read_and_refused(text: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "summary.json"
    runs.update_json(path, "a", {"b": 1})
    path.write_text(text)
    with pytest.raises(OSError, match=r"summary\.json (is not JSON|must hold a JSON object)"):
        runs.update_json(path, "c", {"d": 1})
    assert path.read_text() == text
