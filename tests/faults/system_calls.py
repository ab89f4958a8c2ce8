"""Watches the system calls by which a program changes files, in all its threads and processes, C++ code included.

A filter of Linux (seccomp) makes each of these calls of the watched program wait until the watching one has answered.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import pathlib
import platform
import select
import socket
import stat
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

# Of x86-64: number, and where its path is: "path" or "at" (folder and path), "fd", or a pair of these for two of them.
CALLS: dict[str, tuple[int, str]] = {
    "write": (1, "fd"),
    "open": (2, "path"),
    "pwrite64": (18, "fd"),
    "writev": (20, "fd"),
    "sendfile": (40, "fd"),
    "fsync": (74, "fd"),
    "fdatasync": (75, "fd"),
    "truncate": (76, "path"),
    "ftruncate": (77, "fd"),
    "rename": (82, "path"),
    "mkdir": (83, "path"),
    "rmdir": (84, "path"),
    "creat": (85, "path"),
    "link": (86, "path"),
    "unlink": (87, "path"),
    "symlink": (88, "second path"),
    "openat": (257, "at"),
    "mkdirat": (258, "at"),
    "unlinkat": (263, "at"),
    "renameat": (264, "at"),
    "linkat": (265, "at"),
    "symlinkat": (266, "second at"),
    "fallocate": (285, "fd"),
    "pwritev": (296, "fd"),
    "renameat2": (316, "at"),
    "copy_file_range": (326, "third fd"),
    "pwritev2": (328, "fd"),
}
NAMES = {number: name for name, (number, _) in CALLS.items()}
# Calls that may take space on the disk.
GROWING = {"write", "pwrite64", "writev", "sendfile", "mkdir", "mkdirat", "creat", "openat", "open", "fallocate"}
_OPENED_FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

AVAILABLE = platform.system() == "Linux" and platform.machine() == "x86_64"

_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER_MODE, _NEW_LISTENER = 38, 317, 1, 8
_RECEIVE, _SEND, _CONTINUE = 0xC0502100, 0xC0182101, 1
_PASS, _NOTIFY = 0x7FFF0000, 0x7FC00000


class Call(NamedTuple):
    """A system call that waits to be answered.

    Attributes:
      name: Its name.
      path: The file that it changes, or the one that it renames.
      process: The id of the process.
    """

    name: str
    path: pathlib.Path
    process: int


# Maps a call to the error number that it fails with, or None to let it be done.
Decide = Callable[[Call], int | None]


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def submit(address: str) -> None:
    """Puts this process, and all that it starts, under the watch of `watching`.

    Args:
      address: What `watching` yields.
    """
    load, equal, bits, end = 0x20, 0x15, 0x45, 0x06
    listed: list[tuple[int, int, int, int]] = [(load, 0, 0, 0)]
    for name, (number, _) in CALLS.items():
        if name in ("open", "openat"):
            flags = 16 + 8 * (1 if name == "open" else 2)
            listed += [(equal, 0, 4, number), (load, 0, 0, flags), (bits, 0, 1, _OPENED_FOR_WRITING)]
            listed += [(end, 0, 0, _NOTIFY), (end, 0, 0, _PASS)]
        else:
            listed += [(equal, 0, 1, number), (end, 0, 0, _NOTIFY)]
    listed.append((end, 0, 0, _PASS))
    program = _Program(len(listed), (_Instruction * len(listed))(*(_Instruction(*each) for each in listed)))
    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket(socket.AF_UNIX) as watcher:
        watcher.connect(address)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        listener = libc.syscall(_SECCOMP, _FILTER_MODE, _NEW_LISTENER, ctypes.byref(program))
        if listener < 0:
            raise OSError(ctypes.get_errno(), "this system cannot watch a process")
        socket.send_fds(watcher, [str(os.getpid()).encode()], [listener])
    os.close(listener)


@contextlib.contextmanager
def watching(folder: pathlib.Path, decide: Decide, started: Callable[[int], None] | None = None) -> Iterator[str]:
    """Watches the program that gives the address yielded to `submit`.

    Args:
      folder: Calls that change files elsewhere pass.
      decide: Answers a call; meanwhile the program has changed no file since.
      started: Called with the id of the process once it is watched.

    Yields:
      The address, for one program.
    """
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    said, (listener, *_), *_ = socket.recv_fds(connection, 64, 1)
                if started is not None:
                    started(int(said))
                try:
                    _answer(listener, folder.resolve(), decide)
                finally:
                    os.close(listener)
        except BaseException as error:
            failures.append(error)

    with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX) as server:
        address = f"{place}/watcher"
        server.bind(address)
        server.listen(1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield address
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # Nothing may have come.
            thread.join()
    if failures:
        raise failures[0]


def _answer(listener: int, folder: pathlib.Path, decide: Decide) -> None:
    """Answers all calls, until the last watched process has ended."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        ((_, events),) = poll.poll()
        if not events & select.POLLIN:
            return
        received = bytearray(80)
        try:
            fcntl.ioctl(listener, _RECEIVE, received)
        except OSError:
            continue  # It was killed meanwhile.
        which, thread, _, number, _, _, *arguments = struct.unpack("QIIiIQ6Q", received)
        refused: int | None = None
        name = NAMES[number]
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # Killed meanwhile.
            path = _path(thread, CALLS[name][1], arguments)
            if path.is_relative_to(folder) and not _is_no_file(thread, CALLS[name][1], arguments):
                refused = decide(Call(name, path, _process(thread)))
        answer = struct.pack("QqiI", which, 0, -refused if refused else 0, 0 if refused else _CONTINUE)
        with contextlib.suppress(OSError):
            fcntl.ioctl(listener, _SEND, answer)


def _path(thread: int, where: str, arguments: list[int]) -> pathlib.Path:
    *place, kind = where.split()
    begin = {"": 0, "second": 1, "third": 2}[place[0] if place else ""]
    if kind == "fd":
        return pathlib.Path(os.readlink(f"/proc/{thread}/fd/{_signed(arguments[begin])}"))
    folder = f"/proc/{thread}/cwd"
    if kind == "at":
        if (number := _signed(arguments[begin])) >= 0:
            folder = f"/proc/{thread}/fd/{number}"
        begin += 1
    return pathlib.Path(os.path.normpath(os.path.join(os.readlink(folder), _text(thread, arguments[begin]))))


def _is_no_file(thread: int, where: str, arguments: list[int]) -> bool:
    """Whether a call writes into a pipe, socket or device."""
    if not where.endswith("fd"):
        return False
    return not stat.S_ISREG(os.stat(f"/proc/{thread}/fd/{_signed(arguments[0])}").st_mode)


def _signed(number: int) -> int:
    return ctypes.c_int(number & 0xFFFFFFFF).value


def _text(thread: int, address: int) -> str:
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        found = b""
        while b"\0" not in found:
            # No more than a page at a time: the next one may not be there.
            found += memory.read(4096 - (address + len(found)) % 4096)
    return os.fsdecode(found.partition(b"\0")[0])


def _process(thread: int) -> int:
    for line in pathlib.Path(f"/proc/{thread}/status").read_text().splitlines():
        if line.startswith("Tgid:"):
            return int(line.split()[1])
    raise ProcessLookupError(errno.ESRCH, f"thread {thread} is gone")
