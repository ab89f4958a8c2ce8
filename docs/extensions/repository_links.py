"""Shows links to files of the repository outside the pages as their names; the pages also stand in the repository."""

import pathlib
import re

from sphinx.application import Sphinx

LINK = re.compile(r"(!?)\[([^\]]+)\]\((?!https?:)([^)#\s]+)([^)]*)\)")


def plain(app: Sphinx, document: str, source: list[str]) -> None:
    """Replaces the links of a page that lead out of the pages' folder by their text."""
    root = pathlib.Path(app.srcdir).resolve()
    page = root / app.env.doc2path(document, base=False)

    def shown(link: re.Match[str]) -> str:
        target = (page.parent / link[3]).resolve()
        return link[0] if link[1] or target.is_relative_to(root) else link[2]

    source[0] = LINK.sub(shown, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connects the extension."""
    app.connect("source-read", plain)
    return {"parallel_read_safe": True}
