"""Validation of arguments, and formatting of large integers and of arrays for messages."""

import inspect
import math
import numbers
import operator
import textwrap
from collections.abc import Iterable
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.intp]
T = TypeVar("T")


def instance(name: str, value: T, *kinds: type) -> T:
    """Returns a value that is of one of some classes.

    >>> instance("n", 3, int)
    3

    Raises:
      TypeError: If it is of none of them.
    """
    if not isinstance(value, kinds):
        names = [kind.__name__ for kind in kinds]
        allowed = " or ".join(f"{'an' if each[0] in 'AEIOUaeiou' else 'a'} {each}" for each in names)
        raise TypeError(f"{name} (={brief(value)}) must be {allowed}.")
    return value


def listed(name: str, values: Iterable[T], kind: str) -> list[T]:
    """Returns some values as a list.

    >>> listed("shapes", ((2, 3), (3, 1)), "shapes")
    [(2, 3), (3, 1)]

    Raises:
      TypeError: If they cannot be listed, or are a text.
    """
    if isinstance(values, str | bytes) or not np.iterable(values):
        raise TypeError(f"{name} (={brief(values)}) must be a list of {kind}.")
    return list(values)


def array(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Converts values to an array.

    >>> array("permutation", (1, 0)).tolist()
    [1, 0]

    Raises:
      TypeError: If their lengths differ, so that they are none.
    """
    try:
        return np.asarray(values)
    except (TypeError, ValueError):
        raise TypeError(f"{name} (={brief(values)}) must be an array, of one shape.") from None


def truth(name: str, value: object) -> bool:
    """Returns a truth value as a `bool`.

    >>> truth("right", np.True_)
    True

    Raises:
      TypeError: If it is none, such as a word or an array.
    """
    if isinstance(value, bool):
        return value
    try:
        found = np.asarray(value)
    except (NotImplementedError, TypeError, ValueError):  # Of tensors whose value is not known yet, and ragged lists.
        found = np.array(None)
    if found.ndim == 0 and found.dtype.kind in "biuf" and found in (0, 1):
        return bool(found)
    raise TypeError(f"{name} (={brief(value)}) must be True or False.")


def accepts(function: Any, number: int) -> bool:
    """Tells whether an object, not a class, can be called with so many arguments, and perhaps more."""
    if not callable(function) or isinstance(function, type):
        return False
    try:
        inspect.signature(function, follow_wrapped=False).bind_partial(*range(number))
    except TypeError:
        return False
    except ValueError:  # Functions of other languages tell nothing.
        return True
    return True


def reals(name: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns numbers as a float64 array.

    >>> reals("move", (1, 0.5)).tolist()
    [1.0, 0.5]

    Raises:
      TypeError: If they are no array of real numbers.
    """
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} (={brief(values)}) must be an array of real numbers, of one shape.") from None


def brief(value: object) -> str:
    """Formats any object on one short line.

    >>> brief("x" * 5), brief(["a", "b"])
    ("'xxxxx'", "['a', 'b']")
    """
    return textwrap.shorten(repr(value), 60, placeholder=" ...")


def integer(name: str, value: Any) -> int:
    """Converts `value` to a Python integer.

    Raises:
      TypeError: If it is not an integer; truth values are none.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} (={value!r}) must be an integer.") from None


def at_least(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Converts `value` to a Python integer and checks that it is at least `least`, and at most `most` if given.

    >>> at_least("degree", np.int64(2), 1)
    2

    Raises:
      TypeError: If it is not an integer.
      ValueError: If it is too small, or too large to compute with.
    """
    number = integer(name, value)
    if number < least:
        raise ValueError(f"{name} (={number}) must be at least {least}.")
    if most is not None and number > most:
        raise ValueError(f"{name} (={written(number)}) must be at most {most}.")
    return number


def finite(name: str, value: Any, least: float = -math.inf) -> float:
    """Converts `value` to a Python float and checks that it is finite and at least `least`.

    >>> finite("strength", np.float32(0.5), least=0)
    0.5

    Raises:
      TypeError: If it is not a real number.
      ValueError: If it is too small, infinite or NaN.
    """
    if not isinstance(value, numbers.Real):
        found = np.asarray(value) if hasattr(value, "__array__") else np.array(None)
        if found.ndim or found.dtype.kind not in "iuf":
            raise TypeError(f"{name} (={brief(value)}) must be a number.")
        value = found
    number = float(value)
    if not (math.isfinite(number) and number >= least):
        raise ValueError(f"{name} (={number}) must be {'' if least == -math.inf else f'at least {least}, and '}finite.")
    return number


def weighted(values: npt.NDArray[Any], weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Multiplies values by weights that broadcast with them; a weight of 0 gives 0, even of NaN and infinity.

    >>> weighted(np.array([2.0, np.nan]), np.array([3.0, 0.0])).tolist()
    [6.0, 0.0]
    """
    shape, dtype = np.broadcast_shapes(values.shape, weights.shape), np.result_type(values, weights)
    return np.multiply(values, weights, out=np.zeros(shape, dtype), where=weights != 0)


def written(number: int) -> str:
    """Formats a positive integer in full below 10^18, in scientific notation from there on.

    >>> written(5040), written(10**2000)
    ('5040', 'about 1e2000')
    """
    if number < 10**18:
        return str(number)
    exponent = math.log10(number)  # Exact integers have a logarithm at any size; str() refuses beyond 4300 digits.
    return f"about {10 ** (exponent % 1):.3g}e{math.floor(exponent)}"


def shown(values: npt.ArrayLike) -> str:
    """Formats an array on one line; of more than 16 entries, the first and the last 4."""
    return np.array2string(np.asarray(values), separator=", ", threshold=16, edgeitems=4).replace("\n", "")
