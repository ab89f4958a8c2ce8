"""A self-contained HTML page of plots and tables, without scripts."""

import base64
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import jinja2
from matplotlib.figure import Figure

from weirdonetworks.lab import plots

# Dots an inch: two for each pixel of a page, for displays of high density.
_DPI = 192
_PIXELS = 96


@dataclasses.dataclass(frozen=True)
class Picture:
    """A rendered plot of a page.

    Attributes:
      name: The id of the page's element.
      title: The title.
      caption: The text under the title; may be empty.
      width: Its width in the page's pixels.
      height: Its height in the page's pixels.
      data: Its PNG as base64.
    """

    name: str
    title: str
    caption: str
    width: int
    height: int
    data: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
      title: The title.
      caption: The text under the title; may be empty.
      header: The names of the columns.
      rows: The cells, formatted by `str`.
      is_long: Whether the table scrolls in a box.
    """

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    is_long: bool = False


def picture(figure: Figure, name: str, title: str, caption: str = "") -> Picture:
    """Renders a figure for a page; equal figures give equal bytes."""
    data = plots.png(figure, _DPI)
    width, height = (round(_PIXELS * inches) for inches in figure.get_size_inches())
    return Picture(name, title, caption, width, height, base64.b64encode(data).decode())


def render(
    title: str, facts: Mapping[str, str], sections: Sequence[Picture | Table], left_out: Sequence[str] = ()
) -> str:
    """Renders a page; equal contents give equal pages.

    >>> "<h1>a &lt; b</h1>" in render("a < b", {}, [])
    True

    Args:
      title: The title; all texts are escaped.
      facts: Name -> value, for the row under the title.
      sections: The plots and tables, from the top.
      left_out: Reasons why something is not on the page, a line each.

    Returns:
      The page as HTML.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(pathlib.Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return template.render(title=title, facts=facts, sections=sections, left_out=left_out)
