"""What is said of the machine."""

import os
import subprocess
import sys

from weirdonetworks.lab import machine

REPORT = """
from weirdonetworks.lab import machine
before = machine.peak_memory()
held = bytearray(300 * 2**20)
held = None
print(before, machine.peak_memory())
"""


def test_peak_memory_counts_what_was_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", REPORT], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert 0.001 < before < 1
    assert 0.25 < after - before < 0.35


def test_there_is_a_core() -> None:
    assert 1 <= len(machine.cores()) <= (os.cpu_count() or 1)
