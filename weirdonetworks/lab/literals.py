"""Flags that are written as Python lists."""

import ast
from typing import Any

from weirdonetworks.lab.errors import UsageError


def parse(name: str, text: str) -> Any:
    """Reads a Python literal.

    Raises:
      UsageError: If the text is none.
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise UsageError(f"{name} (={text}) must be a list such as [(2, 0.3), (5, 0.6)].") from None


def pairs(name: str, text: str) -> list[tuple[float, float]]:
    """Reads a list of pairs of numbers.

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
