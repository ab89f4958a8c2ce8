"""A plugin of pytest that prints each failure when it happens, on one line: `pytest -p benchmarks.failures`."""

import sys

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Prints the name of a failed test, and the first line of its error."""
    if report.failed:
        print(f"\n{described(report)}", file=sys.__stdout__, flush=True)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Prints the name of a module that could not be imported, and the error's last line."""
    if report.failed:
        print(f"\n{described(report)}", file=sys.__stdout__, flush=True)


def described(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Describes a failure in one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    error = crash.message if crash else str(report.longrepr)
    lines = [line.removeprefix("E ").strip() for line in error.splitlines() if line.strip()] or ["no message"]
    message = lines[0] if crash else lines[-1]
    return f"FAILED {report.nodeid} ({getattr(report, 'when', 'collect')}): {message[:300]}"
