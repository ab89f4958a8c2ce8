"""Starting TensorFlow without its notes."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator


def import_tensorflow() -> None:
    """Imports TensorFlow and finds its devices, keeping the notes it prints then off the terminal.

    Its C++ parts write about processors and missing GPUs to stderr before any log level is in force. If the import
    fails, what was kept is printed.
    """
    with _kept_stderr() if not logging.getLogger().isEnabledFor(logging.DEBUG) else contextlib.nullcontext():
        import tensorflow as tf

        tf.config.list_logical_devices()


@contextlib.contextmanager
def _kept_stderr() -> Iterator[None]:
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
