"""Atomic writes of files, JSON, and locks between processes."""

import contextlib
import decimal
import fcntl
import hashlib
import json
import math
import os
import pathlib
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

# JSON readers that hold numbers as doubles (JavaScript, some pandas paths) lose digits of integers above this.
LARGEST_EXACT_INTEGER = 2**53


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes `text` beside `path`, then renames: a reader sees the old file or the new one, never a part."""
    write_bytes(path, text.encode())


def write_bytes(path: pathlib.Path, *parts: bytes | memoryview) -> None:
    """Writes parts one after another, whole or not at all, as `write_text`."""
    with _replacing(path) as file:
        for part in parts:
            file.write(part)


def write_array(path: pathlib.Path, values: "npt.NDArray[Any]") -> None:
    """Writes an array in NumPy's format (`.npy`), whole or not at all."""
    import numpy as np

    with _replacing(path) as file:
        np.save(file, values)


def digest(arrays: "Iterable[npt.NDArray[Any]]") -> str:
    """Computes the SHA-256 of arrays: types, shapes and values."""
    import numpy as np

    found = hashlib.sha256()
    for each in arrays:
        found.update(f"{each.dtype.str}{each.shape}".encode())
        found.update(np.ascontiguousarray(each).data)
    return found.hexdigest()


@contextlib.contextmanager
def _replacing(path: pathlib.Path) -> Iterator[IO[bytes]]:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def remove_parts(folder: pathlib.Path, name: str = "*") -> None:
    """Removes what writers of a folder's files (`name` as a pattern) left when they were killed; no other may write."""
    for path in folder.glob(f".{name}.*"):
        if path.suffix[1:].isdecimal():
            path.unlink(missing_ok=True)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes `value` as JSON, made safe for every reader by `to_json`."""
    write_text(path, json.dumps(to_json(value), indent=2) + "\n")


def to_json(value: Any) -> Any:
    """Makes a value safe for every JSON reader.

    Integers beyond 2^53 become strings, NumPy scalars and arrays Python numbers and lists, tuples lists, and NaN and
    infinities None.

    >>> to_json({"permutations": 10**20, "loss": float("nan"), "widths": (300, 100)})
    {'permutations': '100000000000000000000', 'loss': None, 'widths': [300, 100]}
    """
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if hasattr(value, "tolist"):
        return to_json(value.tolist())
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST_EXACT_INTEGER:
        return digits(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def digits(number: int) -> str:
    """Formats an integer of any size; `str` refuses more than 4,300 digits.

    >>> len(digits(10**5000))
    5001
    """
    return format(decimal.Decimal(number), "f")


def readable(text: str) -> str:
    """Replaces what no text in UTF-8 holds, such as the bytes of a path that is none, by question marks."""
    return text.encode(errors="replace").decode()


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Reads a record, a JSON file that holds an object.

    Raises:
      OSError: If it cannot be read, is not JSON, or holds something else.
    """
    try:
        value = parse_json(path.read_bytes())
    except ValueError as error:
        raise OSError(f"{path} is not JSON: {error}. Remove or mend it.") from error
    return as_object(value, str(path))


def read_records(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the records of a file of JSON lines; none if there is no file.

    A last line that is no JSON is left out: a killed process can have written a part of it.

    Raises:
      OSError: If another line is no JSON, or one is no record.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number},"
        try:
            value = parse_json(line)
        except ValueError as error:
            if number == len(lines):
                break
            raise OSError(f"{where} is not JSON. Mend it, or pass --overwrite to start again.") from error
        records.append(as_record(value, where))
    return records


def parse_json(text: bytes, parse_int: Callable[[str], Any] | None = None) -> Any:
    r"""Parses JSON in UTF-8; a surrogate, which no text in UTF-8 holds, is read as a question mark.

    >>> parse_json(b'{"name": "a\\ud800"}')
    {'name': 'a?'}

    Args:
      text: The JSON.
      parse_int: Converts the digits of an integer, if not by `int`.

    Raises:
      ValueError: If it is not JSON, or nests too deep.
    """
    try:
        value = json.loads(text.decode(), parse_int=parse_int)
        if _SURROGATE.search(text):
            value = json.loads(readable(json.dumps(value, ensure_ascii=False)))
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    return value


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def as_object(value: Any, where: str) -> dict[str, Any]:
    """Returns a value read from JSON; raises an `OSError` that says where it was found if it is no object."""
    return expect(value, dict, "a JSON object", where)


def expect(value: Any, kind: Any, name: str, where: str) -> Any:
    """Returns a value read from JSON; raises an `OSError` that says where it was found if it is of no such type.

    Args:
      value: The value.
      kind: A type or union of types.
      name: What the type is called.
      where: Where the value was found: a file, and a line or the name of an entry in it.
    """
    if not isinstance(value, kind):
        shown = textwrap.shorten(repr(value), 60, placeholder=" ...")
        raise OSError(f"{where} must hold {name}, and holds {shown}. Remove or mend it.")
    return value


class Record(dict[str, Any]):
    """A record read from a file; an entry that it lacks is an `OSError` that says where it was found."""

    def __init__(self, entries: Mapping[str, Any], where: str):
        super().__init__(entries)
        self._where = where

    def __missing__(self, key: str) -> Any:
        raise OSError(f"{self._where} must hold {key!r}, and does not. Remove or mend it.")


# What the training loop measures, after any prefix such as `final/`; hooks may add entries of other types.
_ALWAYS = r"epoch|step|wallclock_time"
_MEASURED = re.compile(rf"(.*/)?(({_ALWAYS})|lr|sparsity|(\w+_)?(accuracy|loss|error|norm|log10))")


def as_record(value: Any, where: str) -> Record:
    """Makes a record of a value read from JSON; raises an `OSError` if it is no object, or a metric in it no number."""
    record = Record(as_object(value, where), where)
    for key, found in record.items():
        if name := _MEASURED.fullmatch(key):
            missing = () if name[3] else (type(None),)  # What is not finite is null.
            expect(found, (int, float, *missing), "a number", f"{where.removesuffix(',')}: {key}")
    return record


@contextlib.contextmanager
def locked(path: pathlib.Path, *, wait: bool = True) -> Iterator[None]:
    """Holds an exclusive lock between processes on `path`, an empty file made for it.

    The system releases the lock when its holder ends, however it ends.

    Raises:
      BlockingIOError: If another process holds it and `wait` is False.
    """
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
