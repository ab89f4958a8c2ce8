"""The records of one summary file, whatever wrote them: numbers as numbers, exact counts, what is amiss named."""

import decimal
import json
import math
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from weirdonetworks.lab.records import files

Records = dict[str, dict[str, Any]]

# Counts that outgrow every float, and the names of their decimal logarithms.
COUNTS = {
    "permutations": "permutation_log10",
    "automorphisms": "automorphisms_log10",
    "live_automorphisms": "live_automorphisms_log10",
}
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_LEADING_DIGITS = 18


def read(path: pathlib.Path) -> tuple[Records, list[str]]:
    """Reads a summary: run id to record.

    Nested records are laid flat, `{"mask": {"sparsity": 0.5}}` to `{"mask/sparsity": 0.5}`. Numbers written as strings
    become numbers. What a name with a slash holds is a measurement and so a number: what is none becomes None, and is
    reported. Of the `COUNTS`, those beyond 2^53 are strings of digits and the missing logarithms are added.

    Args:
      path: The file.

    Returns:
      The records, and a line for each thing that was left out.

    Raises:
      ValueError: If it is not JSON, or no mapping of run ids to records.
      OSError: If it cannot be read.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}. Remove or mend it.") from error
    if not isinstance(value, dict) or not any(isinstance(record, dict) for record in value.values()):
        raise ValueError(f"{path} must map run ids to records, as a driver's summary.json does; {_described(value)}.")
    records: Records = {}
    skipped = []
    for run, record in value.items():
        if isinstance(record, dict):
            records[run], unread = _clean(record)
            skipped += [f"{path}: {run}: {key} (={found!r:.40}) is no number" for key, found in unread]
        else:
            skipped.append(f"{path}: {run} is no record")
    return records, skipped


def is_measurement(key: str) -> bool:
    """Tells what a run measured, `mask/sparsity`, from what it was told, `mask_sparsity`."""
    return "/" in key


def is_count(key: str) -> bool:
    """Tells whether a measurement is a count of symmetries, which may outgrow every float."""
    return is_measurement(key) and key.rpartition("/")[2] in COUNTS


def exact(count: int | str) -> int:
    """Gives a count as the integer it is, of whatever size.

    >>> exact("1" + 5000 * "0") == 10**5000
    True
    """
    return int(decimal.Decimal(count)) if isinstance(count, str) else int(count)


def log10(count: float | str) -> float:
    """Takes the decimal logarithm of a count, of whatever size; NaN if it is not positive.

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
    """Gives a record laid flat with its numbers as numbers, and the measurements that are none."""
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
    """Makes numbers of strings that are numbers, tuples of lists, and None of floats that are not finite."""
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
    """Gives a measurement as a number, a huge count as its digits, or None if it is neither."""
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return value if is_count(key) else _value(float(value))
    return None


def _is_missing(value: Any) -> bool:
    """Tells whether a record says that it has no such number."""
    if isinstance(value, str):
        return value.strip().lower() in ("", "nan", "none", "null")
    return value is None or value != value


def _integer(digits: str) -> int | str:
    """Reads an integer; one beyond 2^53 stays a string, since Python writes out none of more than 4,300 digits."""
    few = len(digits.lstrip("+-")) <= len(str(files.LARGEST_EXACT_INTEGER))
    return int(digits) if few and abs(int(digits)) <= files.LARGEST_EXACT_INTEGER else digits
