"""Processors available to this process, and its peak memory."""

import contextlib
import os
import pathlib
import resource
import sys
from collections.abc import Iterable

STATUS = pathlib.Path("/proc/self/status")


def cores() -> list[int]:
    """Returns the processors that this process may run on; all where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def keep_to(processors: Iterable[int]) -> None:
    """Pins this thread, and those it starts later, to processors; does nothing where the system cannot.

    Args:
      processors: Some of `cores()`.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, processors)


def peak_memory() -> float:
    """Returns the peak memory of this process, in GiB."""
    # On Linux `getrusage` would count the parent's memory at the start of this process.
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2 ** (30 if sys.platform == "darwin" else 20)  # In bytes there, elsewhere in KiB.
