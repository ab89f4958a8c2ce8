"""What this process may use of the machine, and what it has used."""

import os
import pathlib
import resource
import sys


def cores() -> list[int]:
    """Returns the processors that this process may run on; where the system does not say, as many as there are."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def peak_memory() -> float:
    """Returns the most memory that this process has held at a time, in GiB."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # On Linux `getrusage` would count what the parent held when it started this process.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2 ** (30 if sys.platform == "darwin" else 20)  # In bytes there, elsewhere in KiB.
