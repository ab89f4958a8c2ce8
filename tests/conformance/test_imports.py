"""Every module imports; the light ones without TensorFlow, and none defines a flag."""

import json
import re
import subprocess
import sys

import pytest

from tests import packages

ON_ARRAYS = ("weight_symmetry.models.initialisation", "weight_symmetry.symmetry")  # For users without TensorFlow.


def is_light(name: str) -> bool:
    """Whether a module must import without TensorFlow.

    The algebra must, and packages themselves; what can be run and what holds settings, so that `--help` and wrong flags
    are answered at once; and a module that keeps some imports to type checkers, which it does for this alone.
    """
    path = packages.path(name)
    source = path.read_text(encoding="utf-8")
    return (
        name.startswith("weirdonetworks.algebra.")
        or path.name == "__init__.py"
        or 'if __name__ == "__main__":' in source
        or re.search(r"^class \w+Config\(", source, re.MULTILINE) is not None
        or "if TYPE_CHECKING:" in source
        or name in ON_ARRAYS
    )


LIGHT = [name for name in packages.module_names() if is_light(name)]
REPORT = """
import importlib, json, sys
heavy = {}
for name in sys.argv[1:]:
    importlib.import_module(name)
    heavy[name] = [other for other in ("tensorflow", "sonnet", "tensorflow_datasets") if other in sys.modules]
from absl import flags
flags = {name: [flag.name for flag in defined] for name, defined in flags.FLAGS.flags_by_module_dict().items()}
print(json.dumps({"heavy": heavy, "flags": flags}))
"""
Imported = dict[str, dict[str, list[str]]]


def import_in_new_process(names: list[str]) -> Imported:
    """Imports modules one after the other.

    Returns `heavy`, the heavy modules there after each, and `flags`, the flags that each module has defined by the end.
    """
    command = [sys.executable, "-c", REPORT, *names]
    done = subprocess.run(command, cwd=packages.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_no_module_is_named_as_one_of_pythons_own() -> None:
    names = {name.rpartition(".")[2] for name in packages.module_names()}
    assert "traced_call" in names and not names & sys.stdlib_module_names


@pytest.fixture(scope="module")
def every_import() -> Imported:
    return import_in_new_process(packages.module_names())


@pytest.mark.slow
def test_every_module_imports(every_import: Imported) -> None:
    assert list(every_import["heavy"]) == packages.module_names()
    assert {"weirdonetworks.lab.training.trainer", "weight_symmetry.run.experiment"} <= set(every_import["heavy"])


def test_importing_defines_no_flags(every_import: Imported) -> None:
    assert "verbosity" in every_import["flags"]["absl.logging"]
    ours = {name for name in every_import["flags"] if name.split(".")[0] in (*packages.PACKAGES, "__main__")}
    assert not ours


@pytest.mark.slow
def test_light_modules_do_without_tensorflow() -> None:
    heavy = import_in_new_process(LIGHT)["heavy"]
    assert heavy == {name: [] for name in LIGHT}


def test_what_can_be_run_is_found_light() -> None:
    assert {"weirdonetworks.experiments.topology", "weirdonetworks.experiments.topology.__main__"} <= set(LIGHT)
    assert {"weight_symmetry.prune", "weight_symmetry.report", "weight_symmetry.run.mask_config"} <= set(LIGHT)
    assert not {"weirdonetworks.experiments.topology.study", "weight_symmetry.run.experiment"} & set(LIGHT)


def test_heavy_modules_are_seen_to_be_heavy(every_import: Imported) -> None:
    assert {"tensorflow", "sonnet"} <= set(every_import["heavy"]["weirdonetworks.lab.training.trainer"])
