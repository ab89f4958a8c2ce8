"""The error of invalid arguments, as distinct from a failed run."""


class UsageError(ValueError):
    """Invalid flags or arguments: a driver prints the message and exits with status 2.

    Any other `ValueError`, `TypeError` or `OSError` is a failed run, and exits with status 1.
    """
