"""Lists of the programs of a package, with the first lines of their docstrings."""

import ast
import importlib.util
import pathlib
import sys
from collections.abc import Sequence

from weirdonetworks.lab import startup


def programs(package: str) -> dict[str, str]:
    """Maps the programs of a package to the first lines of their docstrings, without importing them.

    >>> programs("weirdonetworks.experiments")["data_savings"]
    'Does symmetry save data?'

    Args:
      package: Its dotted name. Its programs are the modules whose docstring says `usage: python -m PACKAGE.NAME`.
    """
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None, package
    folder = pathlib.Path(spec.origin).parent
    found = {}
    for path in [*folder.glob("*.py"), *folder.glob("*/__init__.py")]:
        name = path.parent.name if path.name == "__init__.py" else path.stem
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if f"usage: python -m {package}.{name} " in text:
            found[name] = text.partition("\n")[0]
    return dict(sorted(found.items()))


def main(package: str, arguments: Sequence[str]) -> int:
    """Prints the programs of a package; returns the status to exit with, 2 if it is given anything but `--help`."""
    startup.keep_output()
    if set(arguments) - {"--help", "-h"}:
        print(f"error: a program is run as python -m {package}.NAME --flag=value ...", file=sys.stderr)
        return 2
    print(f"usage: python -m {package}.NAME [--flag=value ...]\n")
    for name, purpose in programs(package).items():
        print(f"  {name:20}  {purpose}")
    print("\n--help after a name lists its flags.")
    return 0
