"""Writes the reference: a page for each package with public names."""

import importlib
import inspect
import pathlib
import re
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx

PACKAGES = (  # What two of them offer is described by the first.
    "weirdonetworks.algebra",
    "weirdonetworks",
    "weirdonetworks.measure",
    "weirdonetworks.keras",
    "weirdonetworks.testing",
    "weight_symmetry.masks",
    "weight_symmetry.symmetry",
    "weight_symmetry.updaters",
    "weight_symmetry.compaction",
    "weight_symmetry.alignment",
    "weight_symmetry.models",
    "weight_symmetry.sparse",
    "weight_symmetry",
)


def public_names(module: ModuleType) -> list[str]:
    """Lists what a module offers: its `__all__`, or else the functions and classes that it defines."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    ]


def page(package: str, before: set[int]) -> str:
    """Writes the page of a package as reStructuredText; `before` collects what is described already."""
    lines = [package, "=" * len(package), "", f".. automodule:: {package}", "   :no-index:", ""]
    module = importlib.import_module(package)
    entries = {name: getattr(module, name) for name in public_names(module)}
    lines += [".. autosummary::", "", *(f"   {name}" for name, value in entries.items() if callable(value)), ""]
    for name, value in entries.items():
        again = ["   :no-index:"] if id(value) in before else []
        before.add(id(value))
        if inspect.isclass(value):
            members = [] if again else ["   :members:", "   :special-members: __call__"]
            lines += [f".. autoclass:: {package}.{name}", *members, *again, ""]
        elif inspect.isroutine(value):
            lines += [f".. autofunction:: {package}.{name}", *again, ""]
        elif inspect.ismodule(value):
            lines += [f".. automodule:: {value.__name__}", "   :members:", "   :no-index:", ""]
        else:
            shown = tuple(value) if isinstance(value, dict) else value
            lines += [f".. py:data:: {package}.{name}", f"   :value: {shown!r}", *again, ""]
    return "\n".join(lines)


def write(app: Sphinx) -> None:
    """Writes the pages that have changed, so that Sphinx builds only those again."""
    folder = pathlib.Path(app.srcdir) / "reference" / "api"
    folder.mkdir(parents=True, exist_ok=True)
    before: set[int] = set()
    for package in PACKAGES:
        target, text = folder / f"{package}.rst", page(package, before)
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


LITERAL = re.compile(r"(``.+?``|`[^`]+`)")
SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises):$")


def marked_up(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Makes indented laws and formulas literal blocks, and escapes in text what would be markup."""
    result: list[str] = []
    literal = in_section = False
    for line in lines:
        in_section = in_section or bool(SECTION.match(line))
        if line.strip() and not in_section:
            indented = line.startswith("    ")
            if indented and not literal and (not result or not result[-1].strip()):
                result += ["::", ""]
            literal = indented
        if literal or line.lstrip().startswith((">>>", "...")):
            result.append(line)
        else:
            parts = LITERAL.split(line)
            parts[::2] = [re.sub(r"\||[*_](?=\W|$)|(?<=\W)\*(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
            result.append("".join(parts))
    lines[:] = result


def setup(app: Sphinx) -> dict[str, bool]:
    """Connects the extension."""
    app.connect("builder-inited", write)
    app.connect("autodoc-process-docstring", marked_up, priority=100)
    return {"parallel_read_safe": True}
