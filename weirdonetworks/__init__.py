"""Neural networks that know a group acts on their data.

The networks are here by name, and TensorFlow is imported when the first of them is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weirdonetworks.nets.invariant import InvariantMLP
    from weirdonetworks.nets.polynomial import PolynomialLinear, PolynomialMLP, QuadraticMLP

_HOMES = {
    "InvariantMLP": "weirdonetworks.nets.invariant",
    "PolynomialLinear": "weirdonetworks.nets.polynomial",
    "PolynomialMLP": "weirdonetworks.nets.polynomial",
    "QuadraticMLP": "weirdonetworks.nets.polynomial",
}

__all__ = ["InvariantMLP", "PolynomialLinear", "PolynomialMLP", "QuadraticMLP"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
