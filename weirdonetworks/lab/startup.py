"""The start of a program: output that cannot fail, and TensorFlow imported with its start-up logging hidden."""

import contextlib
import io
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from weirdonetworks import extras
from weirdonetworks.lab import machine


class _Unfailing(io.FileIO):
    """An open file that forgets what can no longer be written to it, such as into a closed pipe or a full disk."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data).cast("B"))


def keep_output() -> None:
    """Lets stdin, stdout and stderr be closed, full, or a pipe whose reader is gone: what is said is then lost.

    A program that trains for days must not end because nobody listens.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # The next file to be opened would be given its number, and what is said written into it.
            os.open(os.devnull, os.O_RDWR)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is not None and (stream is not getattr(sys, f"__{name}__") or stream.fileno() != number):
            continue  # Another's, such as a test's.
        encoding, errors = (stream.encoding, stream.errors) if stream else ("utf-8", "backslashreplace")
        raw = io.BufferedWriter(_Unfailing(number, "w", closefd=False))
        lines = number == 2 or raw.isatty() or (stream is not None and stream.write_through)
        setattr(sys, name, io.TextIOWrapper(raw, encoding=encoding, errors=errors, line_buffering=lines))


def import_tensorflow(many_models: bool = False) -> None:
    """Imports TensorFlow and lists its devices, with its start-up logging hidden.

    TensorFlow's C++ code logs to stderr before any log level is in force. If the import fails, that log is printed.

    Args:
      many_models: Whether models are trained side by side, one per core; then, without an accelerator, each operation
        has one thread. Results do not depend on it.
    """
    extras.check_docstrings()
    with _held_stderr() if not logging.getLogger().isEnabledFor(logging.DEBUG) else contextlib.nullcontext():
        import tensorflow as tf

        if many_models and not machine.has_accelerator():
            tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.list_logical_devices()


@contextlib.contextmanager
def _held_stderr() -> Iterator[None]:
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
