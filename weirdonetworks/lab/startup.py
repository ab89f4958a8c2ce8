"""Import of TensorFlow with its start-up logging hidden."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator


def import_tensorflow(many_models: bool = False) -> None:
    """Imports TensorFlow and lists its devices, with its start-up logging hidden.

    TensorFlow's C++ code logs to stderr before any log level is in force. If the import fails, that log is printed.

    Args:
      many_models: Whether models are trained side by side, one per core; then, without an accelerator, each operation
        has one thread. Results do not depend on it.
    """
    with _held_stderr() if not logging.getLogger().isEnabledFor(logging.DEBUG) else contextlib.nullcontext():
        import tensorflow as tf

        accelerated = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU")
        if many_models and not accelerated:
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
