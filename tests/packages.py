"""The modules and the public Sonnet modules of the two packages, found rather than listed."""

import importlib
import inspect
import pathlib
import types
from collections.abc import Iterable

PACKAGES = ("weirdonetworks", "weight_symmetry", "analysis")
ROOT = pathlib.Path(__file__).resolve().parents[1]


def module_names(*within: str) -> list[str]:
    """The dotted names of all modules in packages (the two of the project by default), from their files."""
    names = []
    for package in within or PACKAGES:
        for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def path(name: str) -> pathlib.Path:
    """The file of a module."""
    base = ROOT / name.replace(".", "/")
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def public_sonnet_modules(modules: Iterable[types.ModuleType]) -> dict[str, type]:
    """The public subclasses of `snt.Module` that the given Python modules define, by qualified name.

    Public: no part of the name starts with an underscore. A class that can be neither called (a network) nor applied
    (an optimizer) is a base of others, and left out.
    """
    import sonnet as snt

    found = {}
    for module in modules:
        for cls in vars(module).values():
            if not inspect.isclass(cls) or not issubclass(cls, snt.Module) or cls.__module__ != module.__name__:
                continue
            name = f"{cls.__module__}.{cls.__qualname__}"
            private = any(part.startswith("_") for part in name.split("."))
            if not private and not inspect.isabstract(cls) and _has_method(cls, "__call__", "apply"):
                found[name] = cls
    return found


def import_all() -> list[types.ModuleType]:
    """Imports every module of the two packages."""
    return [importlib.import_module(name) for name in module_names()]


def _has_method(cls: type, *names: str) -> bool:
    return any(name in vars(base) for base in cls.__mro__ for name in names)
