"""Command lines, of a small driver run as a process."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from weight_symmetry import sweep
from weight_symmetry.report import ReportConfig
from weight_symmetry.sweep import SweepConfig
from weirdonetworks.experiments.permutation_note import NoteConfig
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.data import user_data
from weirdonetworks.lab.errors import UsageError

DRIVER = '''
"""Does what its flags say.

usage: driver [--flag=value ...]
"""

import dataclasses, json, time

from weirdonetworks.lab import flags
from weirdonetworks.lab.config import Config, setting
from weirdonetworks.lab.errors import UsageError


class Options(Config):
    learning_rate: float = setting(0.5, "How fast.", minimum=0.0, maximum=1.0, short="lr", alias="speed")
    batch_size: int = setting(8, "How many.", minimum=1)
    features: tuple[int, ...] = setting((30, 20), "How wide.", minimum=1)
    shares: tuple[float, ...] = setting((), "Some shares.")
    data_dir: str | None = setting(None, "Where from.")
    limit: int | None = setting(None, "No more than.")
    model: str = setting("FC", "Which.", choices=("FC", "CNN"))
    dump_json: bool = setting(True, "Whether to write.")


class Ending(Config):
    ending: str = setting("good", "How it ends.")


def main(options, ending):
    if ending.ending == "usage":
        raise UsageError("that cannot be done\\nas asked.")
    if ending.ending == "value":
        raise ValueError("the run failed.")
    if ending.ending == "disk":
        raise OSError("the disk is full.")
    if ending.ending == "bug":
        raise ZeroDivisionError("division by zero")
    if ending.ending == "wait":
        print("waiting", flush=True)
        time.sleep(60)
    print(json.dumps(dataclasses.asdict(options)))


if __name__ == "__main__":
    flags.run(main, Options, Ending)
'''
DEFAULTS = {
    "learning_rate": 0.5,
    "batch_size": 8,
    "features": [30, 20],
    "shares": [],
    "data_dir": None,
    "limit": None,
    "model": "FC",
    "dump_json": True,
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that starts the driver."""
    path = tmp_path_factory.mktemp("driver") / "driver.py"
    path.write_text(DRIVER.lstrip())
    root = pathlib.Path(__file__).resolve().parents[2]
    start = "import runpy, sys; sys.path.insert(0, sys.argv[1]); sys.argv = sys.argv[2:]; "
    return [sys.executable, "-c", start + "runpy.run_path(sys.argv[0], run_name='__main__')", str(root), str(path)]


def run(driver: list[str], *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*driver, *flags], capture_output=True, text=True, timeout=60, check=False)


def assert_one_error(done: subprocess.CompletedProcess[str], status: int, message: str) -> None:
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_without_flags_the_defaults_are_taken(driver: list[str]) -> None:
    done = run(driver)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == DEFAULTS


def test_every_kind_of_flag_is_read(driver: list[str]) -> None:
    given = ("--learning_rate=0.25", "--batch-size", "16", "--features=5,4,3", "--shares=0.5,1", "--data-dir=/a-b/c_d")
    done = run(driver, *given, "--limit=3", "--model=CNN", "--nodump_json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "learning_rate": 0.25,
        "batch_size": 16,
        "features": [5, 4, 3],
        "shares": [0.5, 1.0],
        "data_dir": "/a-b/c_d",
        "limit": 3,
        "model": "CNN",
        "dump_json": False,
    }


def test_short_names_aliases_and_empty_lists(driver: list[str]) -> None:
    assert json.loads(run(driver, "--lr=0.125", "--features=").stdout) == DEFAULTS | {
        "learning_rate": 0.125,
        "features": [],
    }
    assert json.loads(run(driver, "--speed=0.75", "--dump-json=false").stdout) == DEFAULTS | {
        "learning_rate": 0.75,
        "dump_json": False,
    }


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_the_flags_of_the_driver(flag: str, driver: list[str]) -> None:
    done = run(driver, "--batch_size=4", flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Does what its flags say.\n\nusage: driver")
    for name in (*DEFAULTS, "ending", "speed"):
        assert f"--{name}:" in done.stdout or f"--[no]{name}:" in done.stdout or f",--{name}:" in done.stdout
    assert "Which. One of: FC, CNN." in done.stdout
    assert "(default: '30,20')" in done.stdout
    assert "logtostderr" not in done.stdout  # absl's own flags are for --helpfull
    assert "{" not in done.stdout  # the driver did not run


def test_help_cut_short_by_its_reader_is_no_error(driver: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*driver, "--helpfull"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_full_help_lists_the_flags_of_absl_too(driver: list[str]) -> None:
    done = run(driver, "--helpfull")
    assert done.returncode == 0
    assert "--batch_size:" in done.stdout and "verbosity" in done.stdout


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--nonsense=1", "Unknown command line flag 'nonsense'"),
        ("--batch_sise=1", "Did you mean: batch_size"),
        ("--batch_size=many", "--batch_size=many"),
        ("--batch_size", "Missing value for flag --batch_size"),
        ("--features=3,wide", "'3,wide' must be ints separated by commas"),
        ("--learning_rate=1.5", "learning_rate (=1.5) must be in [0, 1]."),
        ("--learning_rate=nan", "learning_rate (=nan) must be finite."),
        ("--features=3,0", "features (=0) must be at least 1."),
        ("--model=VGG", "model (=VGG) must be one of FC, CNN."),
        ("model=CNN", "unexpected argument 'model=CNN'; flags are written --name=value."),
        ("--ending=usage", "that cannot be done as asked."),
    ],
)
def test_a_usage_error_is_one_line_and_exits_2(flag: str, message: str, driver: list[str]) -> None:
    assert_one_error(run(driver, flag), 2, message)


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("value", "error: the run failed.\n"),
        ("disk", "error: the disk is full.\n"),
        ("bug", "error: ZeroDivisionError: division by zero (--verbosity=1 shows where.)\n"),
    ],
)
def test_a_failed_run_is_one_line_and_exits_1(ending: str, message: str, driver: list[str]) -> None:
    done = run(driver, f"--ending={ending}")
    assert_one_error(done, 1, message)
    assert done.stderr == message


@pytest.mark.parametrize(("ending", "status"), [("usage", 2), ("bug", 1)])
def test_verbosity_shows_where(ending: str, status: int, driver: list[str]) -> None:
    done = run(driver, f"--ending={ending}", "--verbosity=1")
    assert done.returncode == status
    assert "Traceback (most recent call last)" in done.stderr and "in main" in done.stderr


def test_interruption_ends_with_one_line(driver: list[str]) -> None:
    child = subprocess.Popen([*driver, "--ending=wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 130
    assert errors == "error: interrupted.\n"


@pytest.mark.parametrize(
    "redirection", ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", "| true"]
)
@pytest.mark.parametrize("flag", ["--limit=3", "--limit=none", "--help"])
def test_output_that_is_closed_or_full_changes_nothing(redirection: str, flag: str, driver: list[str]) -> None:
    command = f'"$@" {redirection}'.replace("| true", "| { exec <&-; sleep 0.5; }")
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}", "-", *driver, flag], capture_output=True, text=True, check=False
    )
    assert done.returncode == (2 if flag == "--limit=none" else 0), done.stderr
    assert "Error" not in done.stdout + done.stderr and "Exception" not in done.stdout + done.stderr


def test_closed_output_goes_into_no_file(driver: list[str], tmp_path: pathlib.Path) -> None:
    """A file that is opened while stderr is closed would be given its number."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from weirdonetworks.lab import startup\n"
        "startup.keep_output()\n"
        "file = open(sys.argv[2], 'w')\n"
        "os.write(2, b'log of a library'); print('said', file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, driver[3], str(tmp_path / "data")]
    subprocess.run(["bash", "-c", '"$@" 2>&-', "-", *command], check=True)
    assert (tmp_path / "data").read_text() == ""


def test_a_tilde_in_a_path_is_the_home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    options = RunOptions(experiment_dir="~/runs", data_dir="~")
    assert (options.experiment_dir, options.data_dir) == (f"{tmp_path}/runs", str(tmp_path))
    assert ReportConfig("~/runs", output="~/page.html") == ReportConfig(f"{tmp_path}/runs", f"{tmp_path}/page.html")
    assert SweepConfig("train", experiment_dir="~/runs").experiment_dir == f"{tmp_path}/runs"
    assert NoteConfig(json="~/counts.json").json == f"{tmp_path}/counts.json"


def test_a_name_that_is_not_utf_8_is_refused(driver: list[str]) -> None:
    command = [os.fsencode(part) for part in driver]
    done = subprocess.run([*command, b"--data_dir=/tmp/\xff"], capture_output=True, text=True, check=False)
    assert_one_error(done, 2, "data_dir (='/tmp/\\udcff') must be text in UTF-8.")


def test_what_a_path_becomes_must_be_utf_8_too(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    with pytest.raises(UsageError, match=r"^experiment_dir \(='.*caf\\udce9/runs'\) must be text in UTF-8\.$"):
        RunOptions(experiment_dir="~/runs")
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match=r"^experiment_dir \(='.*caf\\udce9/runs'\) must be text in UTF-8\.$"):
        sweep.main(SweepConfig("train", grid="epochs=1", experiment_dir="runs"))
    for path in ("~/mine.npz", "./mine.npz"):
        with pytest.raises(UsageError, match=r"^dataset \(='.*caf\\udce9/mine\.npz'\) must be text in UTF-8\.$"):
            user_data.identified(path)
    assert not list(folder.iterdir())
