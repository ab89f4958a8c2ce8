"""Links out of the pages, which also stand in the repository: on the site files are downloads, folders their names."""

import pathlib
import re

from sphinx.application import Sphinx

LINK = re.compile(r"(!?)\[([^\]]+)\]\((?!https?:)([^)#\s]+)([^)]*)\)")


def outward(app: Sphinx, document: str, source: list[str]) -> None:
    """Replaces the links of a page that lead out of the pages' folder."""
    root = pathlib.Path(app.srcdir).resolve()
    page = root / app.env.doc2path(document, base=False)

    def shown(link: re.Match[str]) -> str:
        target = (page.parent / link[3]).resolve()
        if link[1] or target.is_relative_to(root):
            return link[0]
        return f"{{download}}`{link[2].replace('`', '')} <{link[3]}>`" if target.is_file() else link[2]

    source[0] = LINK.sub(shown, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connects the extension."""
    app.connect("source-read", outward)
    return {"parallel_read_safe": True}
