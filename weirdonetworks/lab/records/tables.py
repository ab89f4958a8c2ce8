"""Tables and counts as text."""

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Formats cells in columns, the first left-aligned and the others right-aligned.

    >>> print(table(["", "epochs", "accuracy"], [["dense", "1-10", "98.1%"]]))
           epochs  accuracy
    dense    1-10     98.1%
    """
    cells = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    lines = []
    for line in cells:
        others = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        lines.append("  ".join([line[0].ljust(widths[0]), *others]).rstrip())
    return "\n".join(lines)


def words(name: str) -> str:
    """Writes a name of words joined by underscores as words.

    >>> words("deep_sets")
    'deep sets'
    """
    return name.replace("_", " ")


def counted(number: int, thing: str) -> str:
    """Formats a number of things, singular or plural.

    >>> counted(1, "epoch"), counted(2000, "run")
    ('1 epoch', '2,000 runs')
    """
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
