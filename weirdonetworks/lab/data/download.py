"""Downloads by TensorFlow Datasets in a child process that can be killed.

Without a network they retry for minutes, in threads that cannot be interrupted.
"""

import contextlib
import logging
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO

from tqdm import tqdm

# Time without data after which a download is given up, and after which one that cannot connect is. Once bytes have
# arrived, a pause can also be processing, and TensorFlow Datasets itself ends what fails.
STALL_SECONDS = 30.0
UNREACHABLE_SECONDS = 5.0
UNREACHABLE_TRIES = 3


def disable_remote_lookups() -> None:
    """Stops TensorFlow Datasets from asking Google's storage for a prepared copy, which hangs without a network."""
    import tensorflow_datasets as tfds

    tfds.core.utils.gcs_utils._is_gcs_disabled = True


def prepare(name: str, data_dir: pathlib.Path) -> str | None:
    """Downloads and prepares a data set into `data_dir`, with a progress bar.

    Args:
      name: Its name in TensorFlow Datasets.
      data_dir: The folder of all prepared data sets.

    Returns:
      None on success, else the cause of the failure.
    """
    command = [sys.executable, "-m", "weirdonetworks.lab.data.download", name, str(data_dir)]
    causes: list[str] = []
    missing = [folder for folder in (*_parts(name, data_dir), data_dir, *data_dir.parents) if not folder.exists()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None  # PIPE makes it so.
        reader = threading.Thread(target=_collect, args=(child.stdout, causes.append))
        reader.start()
        try:
            stalled = _watch(child, name, data_dir, causes)
        finally:
            child.kill()
            reader.join()
            if child.wait():
                _remove_unfinished(missing)
    if stalled is None and child.returncode == 0:
        return None
    return causes[-1] if causes else (stalled or "no cause given")


def _watch(child: "subprocess.Popen[str]", name: str, data_dir: pathlib.Path, causes: Sequence[str]) -> str | None:
    """Updates the progress bar until the child ends; returns the cause if the download stalls."""
    parts = _parts(name, data_dir)
    before = size = sum(map(_bytes_in, parts))
    started = time.monotonic()
    with tqdm(desc=f"downloading {name}", unit="B", unit_scale=True, disable=None, leave=False) as bar:
        while child.poll() is None:
            time.sleep(0.2)
            now = sum(map(_bytes_in, parts))
            bar.update(now - size)
            size = now
            if size != before:
                continue
            stalled = time.monotonic() - started
            unreachable = stalled > UNREACHABLE_SECONDS and len(causes) >= UNREACHABLE_TRIES
            if unreachable or stalled > STALL_SECONDS:
                return f"nothing arrived for {stalled:.0f} s"
    return None


def _parts(name: str, data_dir: pathlib.Path) -> list[pathlib.Path]:
    """Lists the folders that TensorFlow Datasets writes to: that of all downloads, and the data set's own."""
    return [data_dir / "downloads", data_dir / re.split("[/:]", name)[0]]


def _remove_unfinished(folders: Sequence[pathlib.Path]) -> None:
    """Removes what TensorFlow Datasets leaves of a failed download in new folders, and those of them then empty."""
    for folder in folders:
        for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
            if ".tmp." in path.name or path.name.startswith("incomplete."):
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_dir():
                with contextlib.suppress(OSError):  # It is not empty.
                    path.rmdir()


def _collect(lines: IO[str], report: Callable[[str], None]) -> None:
    for line in lines:
        report(line.strip())


def _bytes_in(folder: pathlib.Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # Renamed between the listing and the look.
            continue
    return total


class _Failures(logging.Handler):
    """A log handler that prints why each connection failed, a line each, for the parent."""

    def emit(self, record: logging.LogRecord) -> None:
        reason = re.search(r"\(host=.*?\): ([^\"(\[]+)", record.getMessage())
        print((reason[1] if reason else record.getMessage()).strip(), flush=True)


def _child(name: str, data_dir: str) -> None:
    import tensorflow_datasets as tfds

    disable_remote_lookups()
    logging.getLogger("urllib3.connectionpool").addHandler(_Failures())
    try:
        # stdout is for causes of failure.
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        tfds.builder(name, data_dir=data_dir).download_and_prepare(download_config=config)
    except Exception as error:
        print(f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    _child(*sys.argv[1:])
