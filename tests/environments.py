"""Makes environments of several Pythons and of the oldest and newest packages that `setup.py` admits, and tests there.

usage: python -m tests.environments [--folder=FOLDER] [ENVIRONMENT ...] [-- PYTEST ARGUMENTS]

    python -m tests.environments 3.13 3.11-oldest -- -m "not slow" tests/lab

An environment takes minutes to make and 3 GB; it stays in the folder, and is used again. Each Python must be on the
path as python3.11 and so on.
"""

import argparse
import ast
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from tests import packages
from weirdonetworks.lab.records.tables import table

ENVIRONMENTS = ("3.11", "3.12", "3.13", "3.11-oldest")
PACKAGES = ("tensorflow", "numpy", "pandas", "matplotlib")


def oldest() -> list[str]:
    """Returns the packages at the oldest versions that `setup.py` admits, such as `numpy==2.0.0`."""
    strings = (each for each in ast.walk(ast.parse((packages.ROOT / "setup.py").read_text())))
    listed = {each.value for each in strings if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    found = [re.fullmatch(rf"({'|'.join(PACKAGES)})>=([\d.]+)", each) for each in listed]
    versions = {each[1]: each[2] for each in found if each}
    return [f"{name}=={versions[name]}{'.0' * (2 - versions[name].count('.'))}" for name in PACKAGES]


def make(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Makes an environment with this project, unless it is there; returns its Python."""
    version, _, old = name.partition("-")
    python = folder / name / "bin" / "python"
    if not (folder / name / "made").exists():
        found = shutil.which(f"python{version}")
        if found is None:
            raise FileNotFoundError(f"python{version} must be on the path.")
        shutil.rmtree(folder / name, ignore_errors=True)
        subprocess.run([found, "-m", "venv", folder / name], check=True)
        wanted = [*(oldest() if old else []), f"{packages.ROOT}[test]"]
        subprocess.run([python, "-m", "pip", "install", "-q", *wanted], check=True)
        # The tests are of the checkout's sources.
        subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "weirdonetworks"], check=True)
        (folder / name / "made").touch()
    return python


def main() -> int:
    """Tests in the environments of the command line; returns the status to exit with, 1 if any failed."""
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(prog="python -m tests.environments", description=__doc__)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "environments")
    parser.add_argument("environment", nargs="*", help=", ".join(ENVIRONMENTS))
    given = parser.parse_args(arguments[:split])
    folder, rows, failed = given.folder.resolve(), [], False
    for name in given.environment or ENVIRONMENTS:
        try:
            python = make(name, folder)
        except (OSError, subprocess.CalledProcessError) as error:
            rows.append([name, *("-" for _ in PACKAGES), f"not made: {error}"])
            failed = True
            continue
        code = f"from importlib.metadata import version; print(*map(version, {PACKAGES}))"
        versions = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.split()
        command = [
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            # Packages of today call names deprecated that the oldest of others use.
            *(["-W", "ignore::DeprecationWarning"] if name.endswith("oldest") else []),
            *(arguments[split + 1 :] or ["-m", "not slow"]),
        ]
        done = subprocess.run(command, cwd=packages.ROOT, capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr, sep="\n", flush=True)
        rows.append([name, *versions, "passed" if not done.returncode else f"failed, status {done.returncode}"])
        failed |= done.returncode != 0
        print(table(["environment", *PACKAGES, "tests"], rows), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
