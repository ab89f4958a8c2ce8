"""The conditions of a measurement: the machine, the versions of packages, and the load by other processes."""

import importlib.metadata
import os
import pathlib
import platform
import resource
import time

from weirdonetworks.lab import machine
from weirdonetworks.lab.records.tables import counted

PACKAGES = ("tensorflow", "dm-sonnet", "keras", "torch", "jax", "numpy")


def describe_machine() -> str:
    """Describes the machine and the versions in one line."""
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"{processor()}, {counted(processors(), 'processor')}; {packages}"


def processors() -> int:
    """Counts the processors that this process may use."""
    return len(machine.cores())


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


class Others:
    """Monitor of the processors that processes other than this one and its children keep busy."""

    def __init__(self) -> None:
        """Begins the count; `busy()` is the mean from here on."""
        self._start = self._now()

    def busy(self) -> float:
        elapsed, busy, own = (now - start for now, start in zip(self._now(), self._start, strict=True))
        # Ticks are coarse, so it can come out below zero; this order of arguments lets NaN through.
        return max((busy - own) / elapsed, 0.0)

    @staticmethod
    def _now() -> tuple[float, float, float]:
        used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        try:
            fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        except OSError:
            fields = ["nan"] * 8
        user, nice, system, _, _, irq, softirq, steal = map(float, fields)
        ticks = user + nice + system + irq + softirq + steal
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), sum(each.ru_utime + each.ru_stime for each in used)
