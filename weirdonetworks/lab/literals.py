"""Values of flags: texts, Python lists, and names separated by commas."""

import ast
import re
from collections.abc import Collection
from typing import Any

from weirdonetworks.lab.errors import UsageError


def parse(name: str, text: str) -> Any:
    """Parses a Python literal.

    Raises:
      UsageError: If the text is not a literal.
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise UsageError(f"{name} (={text}) must be a list such as [(2, 0.3), (5, 0.6)].") from None


def pairs(name: str, text: str) -> list[tuple[float, float]]:
    """Parses a list of pairs of numbers.

    >>> pairs("lr_schedule_steps", "[[10, 0.1], (15, 0.01)]")
    [(10, 0.1), (15, 0.01)]
    """
    return as_pairs(name, parse(name, text))


def as_pairs(name: str, value: Any) -> list[tuple[float, float]]:
    """Checks that a value is a list of pairs of numbers, and makes the pairs tuples.

    Raises:
      UsageError: If it is not.
    """
    listed = isinstance(value, list | tuple)
    if not listed or not all(isinstance(item, list | tuple) and len(item) == 2 for item in value):
        raise UsageError(f"{name} (={value}) must be a list of pairs, such as [(2, 0.3), (5, 0.6)].")
    for number in (number for item in value for number in item):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise UsageError(f"{name} (={value}) must hold numbers only, not {number!r}.")
    return [(item[0], item[1]) for item in value]


def text(name: str, value: str) -> str:
    """Returns a text, such as a path in which `~` is replaced.

    Raises:
      UsageError: If it cannot be written in UTF-8, as records are.
    """
    if re.search("[\ud800-\udfff]", value):  # How Python writes bytes that are no UTF-8.
        raise UsageError(f"{name} (={value!a}) must be text in UTF-8.")
    return value


def names(text: str) -> list[str]:
    """Splits names at commas.

    >>> names("median, points")
    ['median', 'points']
    """
    return [part.strip() for part in text.split(",") if part.strip()]


def chosen(name: str, text: str, known: Collection[str]) -> list[str]:
    """Splits names at commas, all known ones if there are none.

    Raises:
      UsageError: If a name is not known.
    """
    listed = names(text) or list(known)
    if unknown := [each for each in listed if each not in known]:
        raise UsageError(f"{name}: {unknown[0]} must be one of {', '.join(known)}.")
    return listed
