"""Programs run as processes, forked from one that has imported TensorFlow: to import it takes seconds each time.

usage: python -m tests.processes    runs what stdin asks for, a line of JSON a program
"""

import atexit
import functools
import gc
import importlib
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from tests import packages
from tests.faults import system_calls

# Whatever takes long to import and belongs to others: our own modules are imported by the program, as always.
HEAVY = ("tensorflow", "sonnet", "matplotlib.pyplot", "scipy.optimize", "sympy", "pandas")
TIMEOUT = 300


def run(
    module: str,
    *arguments: str,
    folder: os.PathLike[str] | None = None,
    watcher: str | None = None,
    clock: float = 0.0,
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m module`, but for the start of Python; returns its exit status and output.

    Args:
      module: The module.
      *arguments: Its command line.
      folder: The working directory, by default that of the project.
      watcher: The address of a watcher of system calls.
      clock: Seconds by which its clock is ahead.
    """
    server = _server()
    assert server.stdin is not None and server.stdout is not None
    with tempfile.TemporaryDirectory() as output:
        request = {
            "argv": [module, *arguments],
            "output": output,
            "environment": dict(os.environ),
            "folder": os.fspath(folder) if folder is not None else None,
            "watcher": watcher,
            "timeout": TIMEOUT,
            "clock": clock,
        }
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        said, errors = ((pathlib.Path(output) / name).read_text() for name in ("stdout", "stderr"))
    return subprocess.CompletedProcess([module, *arguments], status, said, errors)


@functools.cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.processes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=packages.ROOT,
    )
    atexit.register(server.communicate)  # Closes its input, which ends it.
    return server


def _serve() -> dict[str, Any] | None:
    """Forks for each request; returns the request in the child, and None in the parent once there are no more."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            return json.loads(line)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


def _become(
    argv: list[str],
    output: str,
    environment: dict[str, str],
    folder: str | None,
    watcher: str | None,
    timeout: int,
    clock: float,
) -> None:
    signal.alarm(timeout)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate((os.devnull, f"{output}/stdout", f"{output}/stderr")):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    sys.argv = argv
    if folder is not None:
        os.chdir(folder)
    if clock:
        now = time.time
        time.time = lambda: now() + clock
    if watcher is not None:
        system_calls.submit(watcher)
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for name in HEAVY:
        importlib.import_module(name)
    gc.freeze()  # Else each program looks through all of this for garbage when it ends, for more than a second.
    request = _serve()
    if request is not None:
        _become(**request)
