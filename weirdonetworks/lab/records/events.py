"""TensorBoard's file of a run's scalars."""

import itertools
import os
import pathlib
import socket
import time

_numbers = itertools.count()  # Tell apart the files that one process begins in one second.


class Events:
    """A file of scalars for TensorBoard, written by the thread that logs them.

    TensorBoard's own writer leaves that to another thread, in which a full disk ends with a traceback; here it raises
    an OSError at `flush`.
    """

    def __init__(self, directory: pathlib.Path):
        """Begins a file in a directory."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb
        from tensorboard.summary.writer.record_writer import RecordWriter

        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self._event, self._scalar = Event, scalar_pb
        self._records = RecordWriter((directory / name).open("wb"))
        self._records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Writes a number under a tag."""
        event = self._event(wall_time=time.time(), step=step, summary=self._scalar(tag, value))
        self._records.write(event.SerializeToString())

    def flush(self) -> None:
        """Writes to the disk what is buffered."""
        self._records.flush()

    def close(self) -> None:
        """Flushes and closes the file."""
        self._records.close()
