"""The two ways an experiment is refused."""


class UsageError(ValueError):
    """What was asked for cannot be done as asked: a driver prints the message and exits with status 2.

    Any other `ValueError`, `TypeError` or `OSError` is a run that failed, and exits with status 1.
    """
