"""The whole package: imports, doctests, and equal results in every run."""

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from weirdonetworks import algebra

ROOT = Path(algebra.__file__).parents[2]
MODULES = [module.name for module in pkgutil.walk_packages(algebra.__path__, "weirdonetworks.algebra.")]

PROGRAM = """
import sys
import weirdonetworks.algebra as algebra
assert "sympy" not in sys.modules, "sympy is imported before it is needed"
group = algebra.PermutationGroup([[1, 2, 3, 4, 0, 5, 6], [0, 1, 2, 4, 3, 6, 5]])
print(group.order, group.sample(4, seed=1).tolist())
print([f.as_expr() for f in algebra.fundamental_invariants(algebra.icosahedral_rotations(), 6)])
print(algebra.primary_invariants(algebra.cyclic_group(5)))
assert not any(name.split(".")[0] in ("tensorflow", "sonnet") for name in sys.modules)
"""


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    attempted = sum(len(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name)))
    assert attempted > 60


def test_everything_public_is_documented() -> None:
    for name in algebra.__all__:
        assert getattr(algebra, name).__doc__, name


@pytest.mark.slow
def test_results_are_the_same_in_every_process() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
