"""What the package offers: everything that a user needs, by name, with its type, and TensorFlow only when asked for."""

import pathlib
import subprocess
import sys

import pytest

import weirdonetworks
from tests import packages

STRICT = """
import weirdonetworks
from weirdonetworks import DeepSets, SortFrame, orthogonality_loss, pooling

reveal_type(DeepSets([4], [1]))
reveal_type(weirdonetworks.LeNet())
reveal_type(pooling.named("mean"))
weirdonetworks.CubicMLP
"""


def run(*arguments: str, check: bool = True) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=packages.ROOT, capture_output=True, text=True, check=check)
    return done.stdout


def test_every_public_sonnet_module_of_the_networks_is_offered() -> None:
    import importlib

    modules = [importlib.import_module(name) for name in packages.module_names("weirdonetworks.nets")]
    found = packages.public_sonnet_modules(modules)
    assert len(found) > 40
    missing = [name for name, cls in found.items() if getattr(weirdonetworks, cls.__name__, None) is not cls]
    assert not missing, f"add imports to weirdonetworks/__init__.py for {', '.join(missing)}"


def test_each_name_is_there_once_and_found() -> None:
    names = weirdonetworks.__all__
    assert names == sorted(set(names)) and set(names) < set(dir(weirdonetworks))
    assert all(hasattr(weirdonetworks, name) for name in names)
    with pytest.raises(AttributeError, match="no attribute 'CubicMLP'"):
        _ = weirdonetworks.CubicMLP  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_star_import_brings_every_name_and_an_import_no_tensorflow_nor_keras() -> None:
    program = (
        "import sys, weirdonetworks; light = not {'tensorflow', 'keras'} & set(sys.modules); "
        "from weirdonetworks import *; print(light, set(weirdonetworks.__all__) <= set(globals()), "
        "pooling.mean.__module__, weirdonetworks.keras.Layer.__module__)"
    )
    assert run("-c", program).split() == ["True", "True", "weirdonetworks.nets.pooling", "weirdonetworks.keras"]


@pytest.mark.slow
def test_a_strict_type_checker_sees_the_types(tmp_path: pathlib.Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(STRICT)
    options = ("--strict", "--follow-imports=silent", "--ignore-missing-imports", "--allow-subclassing-any")
    lines = run("-m", "mypy", *options, "--cache-dir", str(tmp_path), str(program), check=False).splitlines()
    seen = [line.split(": ", 2)[2] for line in lines if "program.py:" in line]
    assert seen[0] == 'Revealed type is "weirdonetworks.nets.sets.pooled_sets.DeepSets"', seen
    assert seen[1] == 'Revealed type is "weirdonetworks.nets.small.convolution_networks.LeNet"', seen
    assert seen[2].startswith('Revealed type is "def (*Any, **Any)'), seen
    assert len(seen) == 4 and 'Module has no attribute "CubicMLP"' in seen[3], seen


def test_no_public_name_is_that_of_a_module_beside_it() -> None:
    """Whichever is imported first would else be what the name gives."""
    import importlib
    import types

    lazily = [name for name in packages.module_names() if "lazy.names(" in packages.path(name).read_text("utf-8")]
    assert len(lazily) > 8
    for package in map(importlib.import_module, lazily):
        beside = {path.stem for path in packages.path(package.__name__).parent.iterdir()}
        for name in beside & set(package.__all__):
            assert isinstance(getattr(package, name), types.ModuleType), f"rename the module {name} of {package}"
