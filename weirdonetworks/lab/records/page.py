"""One HTML page of plots and tables that holds its pictures, loads nothing and runs no script."""

import base64
import dataclasses
import io
import pathlib
from collections.abc import Mapping, Sequence

import jinja2
from matplotlib.figure import Figure

# Dots an inch: two for each pixel of a page, so that pictures are sharp where pixels are small.
_DPI = 192
_PIXELS = 96


@dataclasses.dataclass(frozen=True)
class Picture:
    """A plot of a page, drawn.

    Attributes:
      name: What the page's element is called.
      title: What stands above.
      caption: The words under the title; may be empty.
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
      title: What stands above.
      caption: The words under the title; may be empty.
      header: The names of the columns.
      rows: The cells; whatever is in them is written as `str` does.
      is_long: Whether it scrolls rather than take so much of the page.
    """

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    is_long: bool = False


def picture(figure: Figure, name: str, title: str, caption: str = "") -> Picture:
    """Draws a figure for a page; equal figures give equal pictures."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png", metadata={"Software": None})
    width, height = (round(_PIXELS * inches) for inches in figure.get_size_inches())
    return Picture(name, title, caption, width, height, base64.b64encode(buffer.getvalue()).decode())


def render(
    title: str, facts: Mapping[str, str], sections: Sequence[Picture | Table], left_out: Sequence[str] = ()
) -> str:
    """Makes a page; the same contents give the same page.

    >>> "<h1>a &lt; b</h1>" in render("a < b", {}, [])
    True

    Args:
      title: What stands above; like all texts here any text, and escaped.
      facts: Name -> value, in a row under the title.
      sections: The plots and tables, from the top.
      left_out: Why something is not on the page, a line each.

    Returns:
      The page as HTML.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(pathlib.Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return template.render(title=title, facts=facts, sections=sections, left_out=left_out)
