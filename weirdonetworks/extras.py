"""Imports of other packages, with an error that says what they need."""

import contextlib
import sys
from collections.abc import Iterator


def check_docstrings() -> None:
    """Raises ImportError if Python drops docstrings, which Sonnet reads as it is imported."""
    if sys.flags.optimize > 1:
        raise ImportError("Sonnet reads docstrings, which -OO (or PYTHONOPTIMIZE=2) drops: start Python without it.")


@contextlib.contextmanager
def needed(extra: str, purpose: str, package: str | None = None) -> Iterator[None]:
    """Turns a failed import in its body into an error that names the extra to install.

    >>> with needed("zoo", "feeding elephants needs it"):
    ...     import elephant
    Traceback (most recent call last):
    ImportError: elephant is not installed, and feeding elephants needs it: pip install weirdonetworks[zoo].

    Args:
      extra: The extra of this project that installs the package.
      purpose: What needs the package, as a clause of the message.
      package: The name of the package on PyPI; None for the name of the module that was not found.

    Raises:
      ImportError: If the import fails.
    """
    try:
        yield
    except ImportError as error:
        missing = package or error.name
        raise ImportError(f"{missing} is not installed, and {purpose}: pip install weirdonetworks[{extra}].") from error
