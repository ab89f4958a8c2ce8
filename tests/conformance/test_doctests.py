"""The examples in docstrings run and give what they show."""

import doctest
import importlib
import inspect
import runpy
import types
from collections.abc import Iterator

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests import packages

GLOBALS = {"np": np, "tf": tf, "snt": snt}


def run_examples(module: types.ModuleType) -> tuple[int, str]:
    """Runs the examples of a module; returns how many there were, and a report of those that failed."""
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    report: list[str] = []
    for test in doctest.DocTestFinder().find(module, extraglobs=GLOBALS):
        runner.run(test, out=report.append)
    return runner.tries, "".join(report)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", packages.module_names())
def test_examples_run(name: str) -> None:
    _, report = run_examples(importlib.import_module(name))
    assert not report, report


def test_examples_are_found_and_can_fail() -> None:
    tries, _ = run_examples(importlib.import_module("weirdonetworks.lab.seeds"))
    assert tries >= 3
    invented = types.ModuleType("invented", doc=">>> tf.constant(1).numpy().item()\n1\n>>> 1 + 1\n3\n")
    tries, report = run_examples(invented)
    assert tries == 2
    assert "1 + 1" in report and "tf.constant" not in report


def public_names() -> Iterator[tuple[str, object]]:
    """The functions and classes that the reference describes, by the package that the reader imports them from."""
    reference = runpy.run_path(str(packages.ROOT / "docs" / "extensions" / "reference.py"))
    for package in reference["PACKAGES"]:
        module = importlib.import_module(package)
        for name in reference["public_names"](module):
            value = getattr(module, name)
            members = (
                [(f"{name}.{each}", getattr(value, each)) for each in reference["public_names"](value)]
                if (inspect.ismodule(value))
                else [(name, value)]
            )
            for member, found in members:
                if (inspect.isclass(found) or inspect.isfunction(found)) and found.__module__.startswith(
                    packages.PACKAGES
                ):
                    yield f"{package}.{member}", found


@pytest.mark.slow
def test_every_public_name_has_an_example() -> None:
    found = dict(public_names())
    assert len(found) > 200 and "weirdonetworks.algebra.transforms.rotation" in found
    assert [name for name, value in found.items() if ">>>" not in (value.__doc__ or "")] == []
