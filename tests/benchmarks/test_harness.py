"""The harness of the benchmarks where the system has no affinity of processes: only Linux does."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import conditions

SERVE = """
import json, os, sys
del os.sched_getaffinity, os.sched_setaffinity
from benchmarks import harness

def run(contender, threads, options):
    return harness.Sample([0.5], {"threads": threads, "root": contender(options["of"])})

harness._serve(sys.argv[1])
"""


def test_the_machine_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert ", 3 processors; " in conditions.describe_machine()


def test_a_task_is_done() -> None:
    task = {"contender": "math:sqrt", "run": "__main__:run", "threads": 1, "options": {"of": 4}}
    done = subprocess.run([sys.executable, "-c", SERVE, json.dumps(task)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"seconds": [0.5], "figures": {"threads": 1, "root": 2.0}}
