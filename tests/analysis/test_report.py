"""The report driver, run as a process."""

import pathlib
import subprocess
import sys

import pytest

from tests import processes
from tests.analysis import invented
from tests.packages import ROOT
from weirdonetworks.lab.records import files


def report(*arguments: str, isolated: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the driver; with `isolated`, in an interpreter in which that module cannot be imported."""
    if not isolated:
        return processes.run("weight_symmetry.report", *arguments)
    code = "import runpy, sys; sys.modules[sys.argv.pop(1)] = None; "
    code += "runpy.run_module('weight_symmetry.report', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", code, isolated, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An experiment of three runs, one of which has no record."""
    folder = tmp_path_factory.mktemp("small") / "runs"
    records = [invented.record("shuffled_mask", "random", 0.9, trial) for trial in range(3)]
    folder.mkdir()
    files.write_json(folder / "summary.json", {f"shuffled_mask-{index}": one for index, one in enumerate(records[:2])})
    (folder / "shuffled_mask-2").mkdir()
    (folder / "shuffled_mask-2" / "config.json").write_text("{}")
    return folder


@pytest.mark.slow
def test_where_nothing_can_be_written_the_flag_is_named(small: pathlib.Path) -> None:
    done = report(str(small), "--output=/proc/report.html")
    assert done.returncode == 1 and done.stderr.count("\n") == 2  # The other is the warning.
    assert "output (=/proc/report.html) cannot be written: " in done.stderr and "Pass --output=FILE." in done.stderr


@pytest.mark.slow
def test_a_page_is_written_and_its_place_told(small: pathlib.Path) -> None:
    done = report(str(small))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"2 runs, plots and tables: {small}/report.html\n"
    assert done.stderr == f"warning: skipped 1: {small}/shuffled_mask-2 has no record\n"
    text = (small / "report.html").read_text()
    assert "<title>runs: symmetry and sparsity</title>" in text
    assert text.count("<img") == 5


@pytest.mark.slow
def test_the_output_can_be_chosen(small: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = report(f"--output={tmp_path}/page.html", str(small))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f": {tmp_path}/page.html\n")
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "EXPERIMENT_DIR is missing; --help describes it."),
        (["{here}", "{here}"], 2, "unexpected argument '{here}'; flags are written --name=value."),
        (["{here}", "--nonsense=1"], 2, "Unknown command line flag 'nonsense'"),
        (["--experiment_dir={here}"], 2, "Unknown command line flag 'experiment_dir'"),
        (["{here}/nowhere"], 2, "EXPERIMENT_DIR (={here}/nowhere) must be a folder of runs"),
        (["{here}/summary.json"], 2, "EXPERIMENT_DIR (={here}/summary.json) must be a folder of runs"),
        (["{here}", "--output={here}/nowhere/page.html"], 2, "must be a file in a folder that exists."),
        (["--output={here}", "{here}"], 2, "must be a file in a folder that exists."),
        (["{here}/empty"], 2, "{here}/empty holds no summary.json"),
        (["{here}"], 1, "{here}/summary.json is not JSON"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: list[str], status: int, message: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "summary.json").write_text('{"run": {')
    done = report(*[argument.format(here=tmp_path) for argument in arguments])
    assert done.returncode == status
    assert done.stderr.startswith("error: ")
    assert message.format(here=tmp_path) in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not list(tmp_path.rglob("*.html"))


@pytest.mark.exhaustive
@pytest.mark.parametrize("package", ["pandas", "jinja2"])
def test_a_missing_extra_is_named_with_the_remedy(package: str, small: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = report(str(small), f"--output={tmp_path}/page.html", isolated=package)
    assert done.returncode == 1
    expected = f"error: {package} is not installed, and reports need it: pip install weirdonetworks[analysis].\n"
    assert done.stderr == expected


@pytest.mark.parametrize("arguments", [["--help"], ["nowhere"]])
def test_help_and_bad_input_are_answered_without_the_heavy_packages(arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "weight_symmetry.report", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert {"absl", "weirdonetworks"} <= imported
    assert {"pandas", "numpy", "matplotlib", "jinja2", "tensorflow"}.isdisjoint(imported)


def test_help_tells_of_the_argument_and_the_flag() -> None:
    done = report("--help")
    assert done.returncode == 0
    assert "EXPERIMENT_DIR: The folder of the runs" in done.stdout
    assert "--output" in done.stdout
    assert "--experiment_dir" not in done.stdout
