"""What cannot be done as it was asked for, told from a run that failed."""


class UsageError(ValueError):
    """What was asked for cannot be done as asked: a driver prints the message and exits with status 2.

    Any other `ValueError`, `TypeError` or `OSError` is a run that failed, and exits with status 1.
    """
