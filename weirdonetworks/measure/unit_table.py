"""Sets of units as a table: where their units lie, what is applied to them, and whether they are free, or why not."""

import itertools
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weirdonetworks.measure.unit_layout import Space

POSITIONS = "positions, not units"
PLACES = ("places of an image", "places of a filter", "the places of a filter", "places in a stack")
LISTED = 4  # At most so many axes of variables are listed for a space.
LONG = 44  # Reasons of more letters, as those that name an operation, stand below the table.
WIDTHS = (3, 26, 5, 42, 12, 22)  # Letters a column: 120 with two spaces between.
# Functions that models compute by several operations: those that all must occur, and what else belongs to them.
COMPOSED: tuple[tuple[set[str], set[str], str], ...] = (
    ({"Erfc", "Mul"}, {"Neg"}, "GELU"),
    ({"Erf", "Mul"}, set(), "GELU"),
    ({"Pow", "Tanh", "Mul"}, set(), "GELU"),
    ({"SquaredDifference", "Mean", "Mul"}, {"Rsqrt"}, "norm"),
    ({"SquaredDifference", "Rsqrt", "Mul"}, {"Mean"}, "norm"),
    ({"Rsqrt", "Mul"}, {"Square", "Mean"}, "norm"),
)
NAMES = {
    "Relu": "ReLU",
    "Relu6": "ReLU6",
    "LeakyRelu": "leaky ReLU",
    "Elu": "ELU",
    "Selu": "SELU",
    "Mul": "product",
    "RealDiv": "quotient",
    "SelectV2": "selection",
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), "matrix product"),
}


def unit_table(spaces: Sequence["Space"], names: Sequence[str]) -> str:
    """Formats a row for each space: number, name, size, axes of variables, functions, and whether its units are free.

    Positions, as the places of a filter, are only counted, and long reasons stand once, in notes below the table.
    """
    rows = [("", "space", "units", "along the axes of", "functions", "free or fixed")]
    positions = [space.fixed for space in spaces if _remedy(space.fixed) == POSITIONS]
    notes: dict[str, int] = {}
    for number, space in enumerate((each for each in spaces if _remedy(each.fixed) != POSITIONS), 1):
        # Several times along one axis, as the gates of a recurrent cell.
        times = Counter(
            f"{names[each.variable]}[{each.axis}]" + f" stride {each.stride}" * (each.stride > 1)
            for each in space.places
        )
        along = [f"{each} {count} times" if count > 1 else each for each, count in times.items()]
        more = f", and {len(along) - LISTED} more" * (len(along) > LISTED)
        state = "free"
        if space.fixed:
            state = f"fixed ({space.fixed}): {_remedy(space.fixed)}"
        if len(space.fixed) > LONG:
            state = f"fixed: note {notes.setdefault(space.fixed, len(notes) + 1)}"
        listed = ", ".join(along[:LISTED]) + more
        rows.append(
            (str(number), space.name, str(space.size), listed, ", ".join(function_names(space.functions)), state)
        )
    lines = [line for row in rows for line in _lines(row)]
    lines += [f"Note {number}: {reason}: {_remedy(reason)}." for reason, number in notes.items()]
    if positions:
        lines.append(f"Besides, {len(positions)} axes of {POSITIONS}: {', '.join(sorted(set(positions)))}.")
    return "\n".join(lines)


def function_names(operations: frozenset[str]) -> list[str]:
    """Names functions as the field does, those of several operations by one name.

    Which operation belongs to which function is not known: a product beside a GELU, as of a gate, counts as part of it.

    >>> function_names(frozenset({"Erfc", "Mul", "Neg"})), function_names(frozenset({"LeakyRelu", "Sum"}))
    (['GELU'], ['leaky ReLU', 'sum'])
    """
    left, found = set(operations), set()
    for needed, others, name in COMPOSED:
        if needed <= operations:  # Not only what is left: a GELU and a norm both multiply.
            left -= needed | others
            found.add(name)
    words = (NAMES.get(each) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", each).lower() for each in left)
    return sorted([*found, *words], key=str.lower)


def _lines(cells: Sequence[str]) -> Iterator[str]:
    parts = [textwrap.wrap(cell, width, break_on_hyphens=False) for cell, width in zip(cells, WIDTHS, strict=True)]
    for line in itertools.zip_longest(*parts, fillvalue=""):
        aligned = (
            cell.rjust(width) if column in (0, 2) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, WIDTHS, strict=True))
        )
        yield "  ".join(aligned).rstrip()


def _remedy(reason: str) -> str:
    """Says what could be done about units that are fixed for a reason."""
    if reason in ("inputs", "outputs"):
        return "the data tell them apart"
    if reason in (*PLACES, "padding", "copies", "counted"):
        return POSITIONS
    if reason == "a constant differs from unit to unit":
        return "make the constant a variable, or the same for all of them"
    if "is not followed" in reason:
        return "compute it by other operations, or leave them fixed"
    return "split and join axes along whole sets of units, or leave them fixed"
