"""Writes the reference: a page for each package with public names."""

import functools
import importlib
import inspect
import pathlib
import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # What the pages describe is known without Sphinx.
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


def enclosing(module: str, package: str) -> list[str]:
    """Lists a module and the packages around it, outermost first, up to a package without it."""
    if not module.startswith(f"{package}."):
        return [module]
    parts = module.removeprefix(f"{package}.").split(".")
    return [".".join([package, *parts[:number]]) for number in range(1, len(parts) + 1)]


def heading(module: str, package: str) -> list[str]:
    """Writes the heading of a module's section, of the second level for modules next to the package."""
    depth = len(enclosing(module, package))
    title = module.removeprefix(f"{package}.")
    return [title, "-~^"[depth - 1] * len(title), ""]


def page(package: str, described: dict[int, str]) -> str:
    """Writes the page of a package as reStructuredText: a section for each module, with what it says at its top.

    Args:
      package: The name of the package.
      described: The full name of each object that a page describes already, by its `id`; those of this page are added.
        Such an object is listed with a link to its description.
    """
    module = importlib.import_module(package)
    entries = {name: getattr(module, name) for name in public_names(module)}
    new = {name: value for name, value in entries.items() if id(value) not in described}
    described |= {id(value): f"{package}.{name}" for name, value in new.items()}
    full_names = [described[id(value)] for value in entries.values() if callable(value)]
    listed = [f"   ~{name.removeprefix(f'{package}.')}" for name in full_names]
    lines = [package, "=" * len(package), "", f".. automodule:: {package}", "   :no-index:", ""]
    lines += [".. autosummary::", "", *listed, ""]
    sections: dict[str, list[str]] = {}
    for name, value in new.items():
        home = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", package)
        if home.partition(".")[0] not in {each.partition(".")[0] for each in PACKAGES}:
            home = package  # An alias of a type of NumPy's or Python's.
        if inspect.isclass(value):
            entry = [f".. autoclass:: {package}.{name}", "   :members:", "   :special-members: __call__", ""]
        elif inspect.isroutine(value):
            entry = [f".. autofunction:: {package}.{name}", ""]
        elif inspect.ismodule(value):
            again = [each for each in public_names(value) if id(getattr(value, each)) in described]
            excluded = [f"   :exclude-members: {', '.join(again)}"] if again else []
            entry = [f".. automodule:: {home}", "   :members:", *excluded, ""]
        else:
            shown = tuple(value) if isinstance(value, dict) else value
            entry = [f".. py:data:: {package}.{name}", f"   :value: {shown!r}", ""]
        sections.setdefault(home, []).extend(entry)
    modules = {value.__name__ for value in new.values() if inspect.ismodule(value)}
    seen = {package}
    for home in sorted(sections, key=lambda home: (home != package, home)):
        for module_name in enclosing(home, package):
            if module_name not in seen:
                seen.add(module_name)
                lines += heading(module_name, package)
                if module_name not in modules:  # Else the entry has it.
                    lines += [f".. automodule:: {module_name}", "   :no-index:", ""]
        lines += sections[home]
    return "\n".join(lines)


def write(app: "Sphinx") -> None:
    """Writes the pages that have changed, so that Sphinx builds only those again."""
    folder = pathlib.Path(app.srcdir) / "reference" / "api"
    folder.mkdir(parents=True, exist_ok=True)
    described: dict[int, str] = {}
    for package in PACKAGES:
        target, text = folder / f"{package}.rst", page(package, described)
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


def readable(app: "Sphinx") -> None:
    """Gives Sonnet modules and Keras layers the signature of their constructor, and wrapped methods their docstring.

    Sonnet constructs modules in a metaclass and wraps their methods in a name scope, and Keras overrides `__new__`:
    Sphinx would show `(*args, **kwargs)`, and leave wrapped methods out.
    """
    bases = importlib.import_module("sonnet").Module, importlib.import_module("keras").layers.Layer
    modules = [importlib.import_module(package) for package in PACKAGES]
    public = [getattr(module, name) for module in modules for name in public_names(module)]
    for cls in {each for each in public if inspect.isclass(each) and issubclass(each, bases)}:
        cls.__signature__ = inspect.Signature([*inspect.signature(cls.__init__).parameters.values()][1:])
        for method in vars(cls).values():
            within = inspect.getclosurevars(method).nonlocals.get("f") if inspect.isfunction(method) else None
            if inspect.isfunction(within):
                functools.update_wrapper(method, within)


CONSTANT = re.compile(r"=([A-Z_]+)\b")


def numbers_of_constants(
    app: "Sphinx", what: str, name: str, obj: Any, options: Any, signature: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Shows the number where a default is a constant of the module, which the reader cannot look up."""
    module = vars(sys.modules[obj.__module__]) if getattr(obj, "__module__", None) in sys.modules else {}

    def number(found: re.Match[str]) -> str:
        value = module.get(found[1])
        return f"={value!r}" if isinstance(value, int | float) else found[0]

    return signature and CONSTANT.sub(number, signature), result


ARRAY_LIKE = re.compile(r"~?numpy\._typing\._array_like\._Buffer \|.*?_NestedSequence\[complex \| bytes \| str\]")
ARRAY = re.compile(r"~?numpy\.ndarray\[tuple\[~?(?:typing\.)?Any, \.\.\.\], ~?numpy\.dtype\[([^]]*)\]\]")


def with_names_of_arrays(text: str) -> str:
    """Names NumPy's types of arrays as the source does, where Python has written out what they stand for."""
    return ARRAY.sub(r"NDArray[\1]", ARRAY_LIKE.sub("ArrayLike", text))


def name_arguments(app: "Sphinx", domain: str, kind: str, content: Any) -> None:
    """Names the types of arrays of parameters and results, before Sphinx writes them beside the descriptions."""
    for annotations in app.env.current_document.autodoc_annotations.values():
        annotations.update({name: with_names_of_arrays(text) for name, text in annotations.items()})


def name_attributes(app: "Sphinx", what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Names the types of arrays of attributes, which stand in the text."""
    lines[:] = map(with_names_of_arrays, lines)


LITERAL = re.compile(r"(``.+?``|`[^`]+`)")
SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises):$")


def marked_up(app: "Sphinx", what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Makes indented laws and formulas literal blocks, and escapes in text what would be markup."""
    result: list[str] = []
    literal = in_section = in_example = False
    for line in lines:
        in_example = bool(line.strip()) and (in_example or line.lstrip().startswith(">>>"))
        in_section = in_section or bool(SECTION.match(line))
        if line.strip() and not in_section:
            indented = line.startswith("    ")
            if indented and not literal and (not result or not result[-1].strip()):
                result += ["::", ""]
            literal = indented
        if literal or in_example:
            result.append(line)
        else:
            parts = LITERAL.split(line)
            parts[::2] = [re.sub(r"\||[*_](?=\W|$)|(?<=\W)\*(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
            result.append("".join(parts))
    lines[:] = result


BACK = re.compile(r'<a class="viewcode-back" href="[^"#]*#([^"]*)">.*?</a>')


def without_dead_links(app: "Sphinx", name: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Removes links from source code to descriptions that stand under another name, as of what two packages offer."""
    if name.startswith("_modules/"):
        described = app.env.domaindata["py"]["objects"]
        context["body"] = BACK.sub(lambda link: link[0] if link[1] in described else "", context["body"])


def setup(app: "Sphinx") -> dict[str, bool]:
    """Connects the extension."""
    from sphinx.domains.python import PyObject

    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"  # Sphinx has "Variables", which here are TensorFlow's.
    app.connect("builder-inited", readable)
    app.connect("builder-inited", write)
    app.connect("autodoc-process-signature", numbers_of_constants)
    app.connect("object-description-transform", name_arguments, priority=100)
    app.connect("autodoc-process-docstring", name_attributes, priority=900)
    app.connect("autodoc-process-docstring", marked_up, priority=100)
    app.connect("html-page-context", without_dead_links)
    return {"parallel_read_safe": True}
