"""Downloads run in a process of their own, which is ended when nothing arrives."""

import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO, Any

import pytest

from weirdonetworks.lab.data import download

Start = Callable[[str], list[subprocess.Popen[str]]]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Makes `prepare` start a Python text in place of TensorFlow Datasets; returns a list that will hold the process.

    The text finds the folder in `sys.argv[-1]`.
    """
    popen = subprocess.Popen

    def use(text: str) -> list[subprocess.Popen[str]]:
        started: list[subprocess.Popen[str]] = []

        def substitute(command: list[str], **options: Any) -> subprocess.Popen[str]:
            assert command[1:3] == ["-m", "weirdonetworks.lab.data.download"]
            started.append(popen([sys.executable, "-c", text, *command[3:]], **options))
            return started[-1]

        monkeypatch.setattr(download.subprocess, "Popen", substitute)
        return started

    return use


def test_success_gives_no_cause(start: Start, tmp_path: pathlib.Path) -> None:
    (child,) = [start("import sys, pathlib; pathlib.Path(sys.argv[-1], sys.argv[-2]).write_text('prepared')")]
    assert download.prepare("some_set", tmp_path) is None
    assert (tmp_path / "some_set").read_text() == "prepared"
    assert child[0].returncode == 0


def test_a_failure_gives_its_last_cause(start: Start, tmp_path: pathlib.Path) -> None:
    start("print('first cause', flush=True); print('disk full', flush=True); raise SystemExit(1)")
    assert download.prepare("some_set", tmp_path) == "disk full"


UNFINISHED = """
import pathlib, sys
folder = pathlib.Path(sys.argv[-1])
for path in ("downloads/one.tmp.0a/part", "some_set/incomplete.1_2.0/part", "downloads/whole"):
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    if path != "downloads/whole" or "keep" in sys.argv[-2]:
        (folder / path).write_text("bytes")
raise SystemExit(1)
"""


def test_a_failure_leaves_no_folder(start: Start, tmp_path: pathlib.Path) -> None:
    start(UNFINISHED)
    for folder in (tmp_path / "new" / "deep", tmp_path):
        assert download.prepare("some_set:1.0.0", folder) is not None
        assert not list(tmp_path.iterdir())
    (tmp_path / "some_set" / "0.9.0").mkdir(parents=True)
    assert download.prepare("some_set/keep", tmp_path) is not None
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    # What has arrived whole is of use to the next try; a folder that was there is not searched.
    assert found == ["downloads/whole", "some_set/incomplete.1_2.0/part"]


def test_a_silent_failure_is_a_failure(start: Start, tmp_path: pathlib.Path) -> None:
    start("raise SystemExit(3)")
    assert download.prepare("some_set", tmp_path) == "no cause given"


def test_a_cause_that_is_read_late_is_waited_for(
    start: Start, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect = download._collect

    def slowly(lines: IO[str], report: Callable[[str], None]) -> None:
        time.sleep(0.5)
        collect(lines, report)

    monkeypatch.setattr(download, "_collect", slowly)
    start("print('disk full', flush=True); raise SystemExit(1)")
    assert download.prepare("some_set", tmp_path) == "disk full"


def test_no_connection_is_given_up_soon(start: Start, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "UNREACHABLE_SECONDS", 0.3)
    child = start("import time\nfor _ in range(3): print('no route to host', flush=True)\ntime.sleep(60)")
    before = time.monotonic()
    assert download.prepare("some_set", tmp_path) == "no route to host"
    assert time.monotonic() - before < 10
    assert child[0].returncode not in (None, 0)  # ended, not left behind


@pytest.mark.slow
def test_few_failures_are_no_reason_to_give_up(
    start: Start, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "UNREACHABLE_SECONDS", 0.1)
    start("import time\nfor _ in range(2): print('try again', flush=True)\ntime.sleep(0.8)")
    assert download.prepare("some_set", tmp_path) is None


@pytest.mark.slow
def test_a_stalled_download_is_given_up(start: Start, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "STALL_SECONDS", 0.5)
    child = start("import time; time.sleep(60)")
    cause = download.prepare("some_set", tmp_path)
    assert cause is not None and cause.startswith("nothing arrived for ")
    assert child[0].returncode not in (None, 0)


@pytest.mark.slow
def test_a_slow_download_is_waited_for(start: Start, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "STALL_SECONDS", 1.0)
    (tmp_path / "downloads").mkdir()
    writes = "open(sys.argv[-1] + '/downloads/part', 'ab').write(b'x'); time.sleep(0.3)"
    start(f"import sys, time\nfor _ in range(3): {writes}\ntime.sleep(1.5)")  # Bytes, then silent work on them.
    assert download.prepare("some_set", tmp_path) is None
    assert (tmp_path / "downloads" / "part").stat().st_size == 3


@pytest.mark.slow
def test_without_a_network_the_real_download_ends_in_seconds(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # Nobody listens there.
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setattr(download, "UNREACHABLE_SECONDS", 2.0)
    before = time.monotonic()
    cause = download.prepare("kmnist", tmp_path)
    assert time.monotonic() - before < 40
    assert cause is not None and "connection" in cause
    assert "\n" not in cause
