"""Parsing of summary files: flat records with numbers as numbers, exact counts, and a list of invalid entries."""

import decimal
import math
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from weirdonetworks.lab.records import files

Records = dict[str, dict[str, Any]]

# Counts that may exceed the range of floats, and the names of their decimal logarithms.
COUNTS = {
    "permutations": "permutation_log10",
    "automorphisms": "automorphisms_log10",
    "live_automorphisms": "live_automorphisms_log10",
}
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_LEADING_DIGITS = 18


def read(path: pathlib.Path) -> tuple[Records, list[str]]:
    """Reads a summary file, a mapping of run ids to records.

    Nested records are flattened, `{"mask": {"sparsity": 0.5}}` to `{"mask/sparsity": 0.5}`, and numeric strings become
    numbers. Keys with a slash are measurements: values that are not numbers become None and are reported. `COUNTS`
    beyond 2^53 are strings of digits, and missing logarithms of counts are added.

    Args:
      path: The file.

    Returns:
      The records, and a line of text for each entry that was skipped.

    Raises:
      ValueError: If the file is not JSON, or not a mapping of run ids to records.
      OSError: If the file cannot be read.
    """
    try:
        value = files.parse_json(path.read_bytes(), parse_int=_integer)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}. Remove or repair it.") from error
    if not isinstance(value, dict) or not any(isinstance(record, dict) for record in value.values()):
        raise ValueError(f"{path} must map run ids to records, as a driver's summary.json does; {_described(value)}.")
    records: Records = {}
    skipped = []
    for run, record in value.items():
        if isinstance(record, dict):
            try:
                records[run], unread = _clean(record)
            except RecursionError:
                skipped.append(f"{path}: {run} nests too deep")
                continue
            skipped += [f"{path}: {run}: {key} (={found!r:.40}) is not a number" for key, found in unread]
        else:
            skipped.append(f"{path}: {run} is not a record")
    return records, skipped


def is_measurement(key: str) -> bool:
    """Tells whether a key is a measurement, as `mask/sparsity` is, or a setting, as `mask_sparsity` is."""
    return "/" in key


def is_count(key: str) -> bool:
    """Tells whether a key is a count of symmetries, which may exceed the range of floats."""
    return is_measurement(key) and key.rpartition("/")[2] in COUNTS


def exact(count: int | str) -> int:
    """Converts a count of any size to an integer.

    >>> exact("1" + 5000 * "0") == 10**5000
    True
    """
    return int(decimal.Decimal(count)) if isinstance(count, str) else int(count)


def log10(count: float | str) -> float:
    """Returns the decimal logarithm of a count of any size; NaN if it is not positive.

    >>> log10("1" + 5000 * "0")
    5000.0
    """
    if isinstance(count, str):
        digits = count.lstrip("+0")
        if not digits.isdecimal():
            return math.nan
        return math.log10(int(digits[:_LEADING_DIGITS])) + max(len(digits) - _LEADING_DIGITS, 0)
    return math.log10(count) if count > 0 else math.nan


def _described(value: Any) -> str:
    if isinstance(value, dict):
        return "its values are no records" if value else "it is empty, so no run has finished yet"
    return f"it holds a {type(value).__name__}"


def _clean(record: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Flattens a record and converts its numbers; returns it with the measurements that are not numbers."""
    cleaned: dict[str, Any] = {}
    unread = []
    for key, found in _flat(record):
        cleaned[key] = _value(found)
        if is_measurement(key):
            cleaned[key] = _measured(key, cleaned[key])
            if cleaned[key] is None and not _is_missing(found):
                unread.append((key, found))
    for key in [key for key in cleaned if is_count(key)]:
        within, _, name = key.rpartition("/")
        logarithm = f"{within}/{COUNTS[name]}"
        if cleaned.get(logarithm) is None and cleaned[key] is not None:
            cleaned[logarithm] = log10(cleaned[key])
    return cleaned, unread


def _flat(record: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{within}{key}/")
        else:
            yield f"{within}{key}", value


def _value(value: Any) -> Any:
    """Converts numeric strings to numbers, lists to tuples, and floats that are not finite to None."""
    if isinstance(value, str):
        text = value.strip()
        if _INTEGER.fullmatch(text):
            return _integer(text)
        return _value(float(text)) if _NUMBER.fullmatch(text) else value
    if isinstance(value, list):
        return tuple(map(_value, value))
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _measured(key: str, value: Any) -> int | float | str | None:
    """Converts a measurement to a number, or a string of digits for a large count; None if it is neither."""
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return value if is_count(key) else _value(float(value))
    return None


def _is_missing(value: Any) -> bool:
    """Tells whether a value stands for a missing number."""
    if isinstance(value, str):
        return value.strip().lower() in ("", "nan", "none", "null")
    return value is None or value != value


def _integer(digits: str) -> int | str:
    """Parses an integer; keeps the string beyond 2^53, since Python limits conversions to 4,300 digits."""
    few = len(digits.lstrip("+-")) <= len(str(files.LARGEST_EXACT_INTEGER))
    return int(digits) if few and abs(int(digits)) <= files.LARGEST_EXACT_INTEGER else digits
