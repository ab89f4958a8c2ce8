"""Experiments run as processes."""

import subprocess
import sys


def command(name: str, *flags: str) -> list[str]:
    return [sys.executable, "-m", f"weirdonetworks.experiments.{name}", *flags]


def run(name: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(name, *flags), capture_output=True, text=True, timeout=300, check=False)
