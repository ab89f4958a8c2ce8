"""Starting TensorFlow without its notes."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator


def import_tensorflow(many_models: bool = False) -> None:
    """Imports TensorFlow and finds its devices, keeping the notes it prints then off the terminal.

    With `many_models`, and no accelerator, each operation is given one thread: models are to be trained side by side,
    one a core, which beats sharing the cores out inside each operation. Results do not depend on it.

    Its C++ parts write about processors and missing GPUs to stderr before any log level is in force. If the import
    fails, what was kept is printed.
    """
    with _kept_stderr() if not logging.getLogger().isEnabledFor(logging.DEBUG) else contextlib.nullcontext():
        import tensorflow as tf

        accelerated = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU")
        if many_models and not accelerated:
            tf.config.threading.set_intra_op_parallelism_threads(1)
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
