"""Processors and accelerators that this process has, its peak memory, and its end with the process that started it."""

import contextlib
import ctypes
import os
import pathlib
import resource
import signal
import sys
from collections.abc import Callable, Iterable

STATUS, MEMORY = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/meminfo")


def cores() -> list[int]:
    """Returns the processors that this process may run on; all where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def has_accelerator() -> bool:
    """Returns whether TensorFlow sees a GPU or a TPU."""
    import tensorflow as tf

    return any(tf.config.list_physical_devices(kind) for kind in ("GPU", "TPU"))


def devices() -> list[str]:
    """Lists the devices that networks are trained on: all GPUs or TPUs that TensorFlow sees, or else the processor."""
    import tensorflow as tf

    found = [each.name for kind in ("GPU", "TPU") for each in tf.config.list_logical_devices(kind)]
    return found or ["/device:CPU:0"]


def free_memory(device: str) -> int:
    """Returns the bytes of memory that are free on one of the `devices`."""
    import tensorflow as tf

    if "CPU" not in device:
        from tensorflow.python.client import device_lib

        (limit,) = (each.memory_limit for each in device_lib.list_local_devices() if each.name == device)
        return int(limit) - int(tf.config.experimental.get_memory_info(device)["current"])
    with contextlib.suppress(OSError):
        for line in MEMORY.read_text().splitlines():
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 2**10
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def keep_to(processors: Iterable[int]) -> None:
    """Pins this thread, and those it starts later, to processors; does nothing where the system cannot.

    Args:
      processors: Some of `cores()`.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, processors)


def ends_with_parent() -> Callable[[], None] | None:
    """Returns what a new process must call first so that SIGTERM ends it when this one ends, however this one ends.

    Returns:
      A function for `preexec_fn` of `subprocess.Popen`; None where the system has no such signal.
    """
    if not sys.platform.startswith("linux"):
        return None
    set_option, death_signal, parent = ctypes.CDLL(None).prctl, 1, os.getpid()

    def ask() -> None:
        set_option(death_signal, signal.SIGTERM)
        if os.getppid() != parent:  # It has ended already.
            os._exit(1)

    return ask


def peak_memory() -> float:
    """Returns the peak memory of this process, in GiB."""
    # On Linux `getrusage` would count the parent's memory at the start of this process.
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2 ** (30 if sys.platform == "darwin" else 20)  # In bytes there, elsewhere in KiB.
