"""Public names of a package, imported when they are asked for first.

Each name is written down in one place, the imports for type checkers in the package's `__init__`: type checkers and
editors read them as they stand (`as` is how a typed package says that a name is offered), and `names` reads the same
lines when the program runs. A table beside them could say something else than they do; a stub file would say no more,
and hide the `__init__` from the type checker.
"""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import Any


def names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns `__getattr__` and `__dir__` of a package whose `__init__` imports its public names for type checkers.

    The imports stand under `if TYPE_CHECKING:`; the first of these blocks is read. Other modules of the package are
    found as attributes too, but not listed.

    Args:
      package: The package's `__name__`.
    """

    @functools.cache
    def homes() -> dict[str, str]:
        """Reads the imports: the module that each public name is to be imported from."""
        import ast
        import pkgutil

        source = pkgutil.get_data(package, "__init__.py")
        assert source is not None, "the package is without its source, which lists the public names"
        block = next(each for each in ast.parse(source).body if isinstance(each, ast.If))
        imports = [each for each in block.body if isinstance(each, ast.ImportFrom) and each.module]
        return {alias.name: str(each.module) for each in imports for alias in each.names}

    def get(name: str) -> Any:
        if name == "__all__":
            return sorted(homes())
        if homes().get(name, package) == package:  # A module of the package.
            if name.startswith("_") or importlib.util.find_spec(f"{package}.{name}") is None:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            return importlib.import_module(f"{package}.{name}")
        module = importlib.import_module(homes()[name])
        found = getattr(module, name, None)
        if found is None:
            found = importlib.import_module(f"{module.__name__}.{name}")
        setattr(sys.modules[package], name, found)
        return found

    def directory() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes()})

    return get, directory
