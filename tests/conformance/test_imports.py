"""Every module imports; the light ones without TensorFlow, and none defines a flag."""

import json
import subprocess
import sys

import pytest

from tests import packages

# What experiments import once their flags have been read.
HEAVY = tuple(
    f"weirdonetworks.experiments.{name}"
    for name in ("backbones", "classifiers", "deformations", "features", "set_networks")
)
# A driver answers `--help` and wrong flags at once because none of these imports TensorFlow.
LIGHT = [
    "weirdonetworks",
    "weight_symmetry",
    "weight_symmetry.config",
    "weight_symmetry.fixed_param",
    "weight_symmetry.function_symmetries",
    "weight_symmetry.initialisation",
    "weight_symmetry.permuting",
    "weight_symmetry.prune",
    "weight_symmetry.random_mask",
    "weight_symmetry.report",
    "weight_symmetry.shuffled_mask",
    "weight_symmetry.sweep",
    "weight_symmetry.symmetry",
    "weight_symmetry.train",
    *packages.module_names("weirdonetworks.algebra"),
    *(name for name in packages.module_names("weirdonetworks.experiments") if name not in HEAVY),
]
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


@pytest.fixture(scope="module")
def every_import() -> Imported:
    return import_in_new_process(packages.module_names())


def test_every_module_imports(every_import: Imported) -> None:
    assert list(every_import["heavy"]) == packages.module_names()
    assert {"weirdonetworks.lab.training.trainer", "weight_symmetry.experiment"} <= set(every_import["heavy"])


def test_importing_defines_no_flags(every_import: Imported) -> None:
    assert "verbosity" in every_import["flags"]["absl.logging"]
    ours = {name for name in every_import["flags"] if name.split(".")[0] in (*packages.PACKAGES, "__main__")}
    assert not ours


def test_light_modules_do_without_tensorflow() -> None:
    heavy = import_in_new_process(LIGHT)["heavy"]
    assert heavy == {name: [] for name in LIGHT}


def test_heavy_modules_are_seen_to_be_heavy(every_import: Imported) -> None:
    assert {"tensorflow", "sonnet"} <= set(every_import["heavy"]["weirdonetworks.lab.training.trainer"])
