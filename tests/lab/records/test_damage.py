"""Damaged records: what a killed process can leave is left out, all else is named with its file and the remedy."""

import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files, runs
from weirdonetworks.lab.training import loop

RECORDS = [{"epoch": epoch, "step": 8 * epoch, "wallclock_time": 0.5} for epoch in (1, 2, 3)]


def open_run(folder: pathlib.Path, **options: Any) -> Any:
    return runs.open_run(folder, "driver", {"epochs": 3}, unhashed={}, **options)


@pytest.fixture(params=["finished", "interrupted"])
def metrics(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """The `metrics.jsonl` of a run of three epochs."""
    with open_run(tmp_path) as run:
        for record in RECORDS:
            run.append(record)
        if request.param == "finished":
            run.finish(None)
    assert run.status["status"] == request.param
    yield run.directory / "metrics.jsonl"


def lines(path: pathlib.Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize("damage", [b"@", b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("number", [1, 2])
def test_a_damaged_line_before_the_last_is_named(
    number: int, damage: bytes, metrics: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    written = lines(metrics)
    written[number - 1] = damage + written[number - 1]
    metrics.write_bytes(b"".join(written))
    told = rf"metrics\.jsonl, line {number}, is not JSON\. Mend it, or pass --overwrite to start again\.$"
    with pytest.raises(OSError, match=told):
        open_run(tmp_path, resume=True).__enter__()
    assert lines(metrics) == written
    with open_run(tmp_path, overwrite=True) as run:
        run.append(RECORDS[0])
        run.finish(None)
    assert lines(metrics) == [json.dumps(RECORDS[0]).encode() + b"\n"]


@pytest.mark.parametrize("metrics", ["finished"], indirect=True)
@pytest.mark.parametrize("left", [[1, 2], [], None, [1, 2, 3, 3]])
def test_a_finished_run_holds_the_epochs_that_its_status_says(
    left: list[int] | None, metrics: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    written = lines(metrics)
    if left is None:
        written[2] = b"@" + written[2]
        metrics.write_bytes(b"".join(written))
    else:
        metrics.write_bytes(b"".join(written[epoch - 1] for epoch in left))
    with pytest.raises(OSError, match=r"metrics\.jsonl.* must .*, and (holds|is) .*pass --overwrite to start again"):
        open_run(tmp_path).__enter__()


def test_a_line_of_another_epoch_is_named(metrics: pathlib.Path, tmp_path: pathlib.Path) -> None:
    written = lines(metrics)
    metrics.write_bytes(written[0] + written[2] + written[1])
    with pytest.raises(OSError, match=r"metrics\.jsonl, line 2, must be the record of epoch 2, and is that of 3\."):
        open_run(tmp_path, resume=True).__enter__()


@pytest.mark.parametrize("part", [b'{"epo', b"\xff\xfe\n", b'{"epoch": "\xc3'])
def test_a_part_of_a_line_is_no_part_of_the_next(part: bytes, metrics: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with metrics.open("ab") as file:
        file.write(part)
    with open_run(tmp_path, resume=True) as run:
        assert run.records == RECORDS
        if not run.found_finished:
            run.append({"epoch": 4})
    assert files.read_records(metrics)[:3] == RECORDS
    assert runs.Run(run.directory).records == run.records


def test_another_run_that_is_damaged_is_not_the_nearest(metrics: pathlib.Path, tmp_path: pathlib.Path) -> None:
    beside = tmp_path / "driver-0123456789"
    shutil.copytree(metrics.parent, beside)
    (beside / "status.json").write_text('{"status": "interrupted"}')
    metrics.write_bytes(b"@\n@\n")
    with pytest.raises(UsageError, match="The nearest unfinished run is driver-0123456789: --epochs was 3, is 9"):
        runs.open_run(tmp_path, "driver", {"epochs": 9}, unhashed={}, resume=True).__enter__()


@pytest.mark.parametrize(
    "entry", ['"step": "x"', '"step": null', '"test_accuracy": [1]', '"mask/sparsity": {}', '"epoch": null']
)
def test_a_metric_that_is_no_number_is_named(entry: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(f'{{"epoch": 1, "name": "x"}}\n{{"epoch": 2, {entry}}}\n')
    with pytest.raises(OSError, match=r"metrics\.jsonl, line 2.* must "):
        runs.Run(tmp_path)


@pytest.mark.parametrize("line", ["{}", '{"step": 1}'])
def test_the_best_of_records_without_an_epoch_is_an_error_that_names_them(line: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(OSError, match=r"metrics\.jsonl, line 1, must hold 'epoch', and does not\. Remove or mend it"):
        loop.best_records(runs.Run(tmp_path).records)


@pytest.mark.parametrize("versions", [5, None, []])
def test_versions_of_another_shape_are_named(versions: Any, tmp_path: pathlib.Path) -> None:
    files.write_json(tmp_path / "config.json", {"versions": versions})
    with pytest.raises(OSError, match=r"config\.json: versions must hold a JSON object, and holds .*Remove or mend it"):
        runs.Run(tmp_path).record_version("kmnist", "3.0.1")


def test_surrogates_are_replaced(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "record.json"
    path.write_text('{"a\\ud800": ["\\uDFFF", "\\ud83d\\ude00", "\\u00e9", "\\\\ud800", 1e400, 0.1]}')
    assert files.read_json(path) == {"a?": ["?", "\U0001f600", "é", "\\ud800", float("inf"), 0.1]}
    files.write_text(path, str(files.read_json(path)))
