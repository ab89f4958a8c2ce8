"""Packages that are asked for, not brought along."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needed(extra: str, purpose: str, package: str | None = None) -> Iterator[None]:
    """Says how to get what an import within it does not find.

    >>> with needed("zoo", "feeding elephants needs it"):
    ...     import elephant
    Traceback (most recent call last):
    ImportError: elephant is not installed, and feeding elephants needs it: pip install weirdonetworks[zoo].

    Args:
      extra: The extra of this package that brings it.
      purpose: What needs it.
      package: Its name where it is installed from; that of what was not found if None.

    Raises:
      ImportError: If the import fails.
    """
    try:
        yield
    except ImportError as error:
        missing = package or error.name
        raise ImportError(f"{missing} is not installed, and {purpose}: pip install weirdonetworks[{extra}].") from error
