"""Ctrl-C while a compiled function runs, which Python cannot interrupt: says what it waits for, or ends at once."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

PATIENCE = 2.0  # Seconds to end by itself before a line is due.


@contextlib.contextmanager
def watched(saved: str = "") -> Iterator[None]:
    """Watches over Ctrl-C: if the program goes on for long after it, stderr says why; a second one ends it at once.

    An epoch is one compiled function, so Python hears of Ctrl-C only after it; the system tells this watch. Does
    nothing outside the main thread.

    Args:
      saved: A sentence on what is on disk, which the line ends with.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ended = threading.Event()
    told, tells = os.pipe()
    os.set_blocking(tells, False)
    before = signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(told, ended, saved), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        os.close(tells)


def _watch(told: int, ended: threading.Event, saved: str) -> None:
    count = 0
    while signals := os.read(told, 1):
        if signals[0] != signal.SIGINT or ended.is_set():
            continue
        count += 1
        if count > 1:
            os._exit(130)
        if not ended.wait(PATIENCE):
            line = f"waiting for the end of the epoch; Ctrl-C again ends at once.{saved}"
            print(f"interrupted: {line}", file=sys.stderr, flush=True)
    os.close(told)
