"""`--help` of every program answers at once: it imports none of the packages that take long to load."""

import json
import subprocess
import sys

import pytest

from tests import packages
from weirdonetworks.lab import programs

LISTS = ("weight_symmetry", "weirdonetworks.experiments")
NAMES = [*LISTS, *(f"{package}.{name}" for package in LISTS for name in programs.programs(package))]
# Each program runs in a fork of a process that has imported nothing yet.
PROGRAM = """
import json, os, runpy, sys

def asked_for_help(name):
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv, status = [name, "--help"], None
        try:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            status = end.code
        heavy = ("numpy", "tensorflow", "sonnet", "matplotlib", "pandas", "sympy")
        os.write(writer, json.dumps([status, [each for each in heavy if each in sys.modules]]).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        return json.loads(answer.read())

print(json.dumps({name: asked_for_help(name) for name in sys.argv[1:]}))
"""


def asked_for_help(names: list[str]) -> dict[str, list[object]]:
    """Returns each program's exit status, and the heavy packages that it has imported."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *names], cwd=packages.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_help_of_every_program_imports_nothing_heavy() -> None:
    assert len(NAMES) > 30
    assert asked_for_help(NAMES) == {name: [0, []] for name in NAMES}


def test_a_heavy_import_is_seen() -> None:
    assert asked_for_help(["weirdonetworks.algebra.groups.permutation_groups"]) == {
        "weirdonetworks.algebra.groups.permutation_groups": [None, ["numpy"]]
    }
