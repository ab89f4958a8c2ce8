"""What this process may use of the machine, and what it has used."""

import os
import pathlib
import resource
import sys
from collections.abc import Iterable

STATUS = pathlib.Path("/proc/self/status")


def cores() -> list[int]:
    """Returns the processors that this process may run on; where the system does not say, as many as there are."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def keep_to(kept: Iterable[int]) -> None:
    """Keeps this thread, and what it starts from now on, to some of `cores()`; does nothing where no system call can.

    Args:
      kept: The numbers of the processors.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, kept)


def peak_memory() -> float:
    """Returns the most memory that this process has held at a time, in GiB."""
    # Where Linux tells it, `getrusage` would count what the parent held when it started this process.
    status = STATUS.read_text().splitlines() if STATUS.exists() else []
    for line in status:
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2 ** (30 if sys.platform == "darwin" else 20)  # In bytes there, elsewhere in KiB.
