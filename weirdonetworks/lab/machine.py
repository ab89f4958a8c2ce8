"""What this process may use of the machine."""

import os


def cores() -> list[int]:
    """Returns the processors that this process may run on; where the system does not say, as many as there are."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
