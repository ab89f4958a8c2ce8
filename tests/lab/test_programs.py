"""The lists of what can be run."""

import pathlib
import subprocess
import sys

import pytest

from tests import packages
from weight_symmetry import sweep
from weirdonetworks.lab import programs


def run(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", package, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=packages.ROOT)


def test_every_driver_and_experiment_is_listed() -> None:
    assert set(programs.programs("weight_symmetry")) == {
        *sweep.DRIVERS,
        "align",
        "carry_ticket",
        "effective_symmetry",
        "sweep",
        "report",
    }
    folder = pathlib.Path(packages.ROOT / "weirdonetworks" / "experiments")
    assert set(programs.programs("weirdonetworks.experiments")) == {
        path.parent.name for path in folder.glob("*/__main__.py")
    }


@pytest.mark.parametrize("package", ["weight_symmetry", "weirdonetworks.experiments"])
def test_the_list_says_what_each_is_for(package: str) -> None:
    for arguments in ((), ("--help",)):
        done = run(package, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        for name, purpose in programs.programs(package).items():
            assert f"  {name:20}  {purpose}\n" in done.stdout


def test_a_name_as_an_argument_is_refused_with_the_remedy() -> None:
    done = run("weight_symmetry", "prune", "--sparsity=0.9")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: a program is run as python -m weight_symmetry.NAME --flag=value ...\n"
