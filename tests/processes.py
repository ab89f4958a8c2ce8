"""Programs run as processes, forked from one that has imported TensorFlow: to import it takes seconds each time.

The programs that these start by `python -m` in turn, as a sweep does, are forked from them.

usage: python -m tests.processes    runs what stdin asks for, a line of JSON a program
"""

import atexit
import contextlib
import functools
import gc
import gzip
import importlib
import json
import os
import pathlib
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from absl import flags

from tests import packages
from tests.faults import system_calls

# Whatever takes long to import and belongs to others: our own modules are imported by the program, as always.
HEAVY = (
    "tensorflow",
    "sonnet",
    "tensorboard.plugins.scalar.summary_v2",
    "scipy.optimize",
    "sympy",
    "pandas",
    "igraph",
    "tqdm",
)
HEAVY += ("matplotlib.pyplot", "matplotlib.backends.backend_agg")
MNIST = packages.ROOT / "weirdonetworks" / "lab" / "data" / "mnist"
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
    return start(module, *arguments, folder=folder, watcher=watcher, clock=clock).end()


def start(module: str, *arguments: str, **options: Any) -> "Program":
    """Starts what `run` runs. No other can be started before it has ended."""
    server, output = _server(), tempfile.mkdtemp()
    assert server.stdin is not None and server.stdout is not None
    folder = options.pop("folder", None)
    request = {
        "argv": [module, *arguments],
        "output": output,
        "environment": dict(os.environ),
        "folder": os.fspath(folder) if folder is not None else None,
        "watcher": options.pop("watcher", None),
        "timeout": TIMEOUT,
        "clock": options.pop("clock", 0.0),
    }
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    return Program(request["argv"], pathlib.Path(output), int(server.stdout.readline()))


class Program:
    """A program that has been started."""

    def __init__(self, argv: list[str], output: pathlib.Path, process: int):
        self._argv, self._output, self._process = argv, output, process

    def send(self, sent: signal.Signals) -> None:
        """Sends it a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process, sent)

    def end(self) -> subprocess.CompletedProcess[str]:
        """Waits for its end; returns its exit status and output."""
        server = _server()
        assert server.stdout is not None
        status = int(server.stdout.readline())
        said, errors = ((self._output / name).read_text() for name in ("stdout", "stderr"))
        shutil.rmtree(self._output)
        return subprocess.CompletedProcess(self._argv, status, said, errors)


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
        print(child, flush=True)
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
    signal.signal(signal.SIGINT, signal.default_int_handler)  # What a shell puts in the background ignores it.
    if folder is not None:
        os.chdir(folder)
    if clock:
        now = time.time
        time.time = lambda: now() + clock
    if watcher is not None:
        system_calls.submit(watcher)
    subprocess.Popen = Forking  # type: ignore[misc]
    status = 1
    try:
        status = _status_of(argv)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    finally:
        _leave(status)


def _status_of(argv: list[str]) -> int:
    """Runs a module as Python would; returns the exit status."""
    sys.argv = argv
    try:
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _leave(status: int) -> NoReturn:
    """Ends this process at once: Python would free each object first, and so copy all pages of the process forked."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


class Forking(subprocess.Popen[Any]):
    """Forks where it is asked for `python -m module`."""

    def __init__(self, args: Any, **options: Any):
        if list(args[:2]) == [sys.executable, "-m"]:
            options["preexec_fn"] = functools.partial(_instead, list(args[2:]), options.get("preexec_fn"))
        super().__init__(args, **options)


def _instead(argv: list[str], first: Callable[[], None] | None) -> None:
    """Becomes another program in a process just forked, as `exec` would; does not return."""
    status, outer = 1, (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)  # What these hold is the parent's.
    try:
        if first is not None:
            first()
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # One of these tells the parent that the program has begun.
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, name in ((1, "stdout"), (2, "stderr")):
            stream = os.fdopen(number, "w", closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        for name in [name for name in sys.modules if name.partition(".")[0] in packages.PACKAGES]:
            del sys.modules[name]
        flags.FLAGS.remove_flag_values(set(flags.FLAGS) - FLAGS)
        flags.FLAGS.unparse_flags()
        status = _status_of(argv)
    except BaseException:
        traceback.print_exc()
    finally:
        del outer
        _leave(status)


if __name__ == "__main__":
    for name in HEAVY:
        importlib.import_module(name)
    FLAGS = frozenset(flags.FLAGS)  # Those of the libraries, which every program has.
    gzip.decompress = functools.cache(gzip.decompress)  # type: ignore[assignment]  # Digits take each a tenth of a second.
    for path in MNIST.glob("*.gz"):
        gzip.decompress(path.read_bytes())
    sys.dont_write_bytecode = False  # What one program has compiled the next ones read.
    gc.freeze()  # Else each program looks through all of this for garbage, and so copies it.
    request = _serve()
    if request is not None:
        _become(**request)
