"""Every public Sonnet module of the packages has an entry in the registry, so that every law is put to it."""

import types

import pytest
import sonnet as snt

from tests import packages, registry

ENTRIES = (*registry.NETWORKS, *registry.OPTIMIZERS)


def missing(modules: list[types.ModuleType]) -> list[str]:
    known = {entry.module for entry in ENTRIES}
    return [name for name, cls in packages.public_sonnet_modules(modules).items() if cls not in known]


@pytest.mark.slow
def test_every_public_module_has_an_entry() -> None:
    without = missing(packages.import_all())
    assert not without, f"add an entry to tests/registry.py for {', '.join(without)}"


def test_every_entry_is_found() -> None:
    found = set(packages.public_sonnet_modules(packages.import_all()).values())
    assert {entry.module for entry in ENTRIES} == found


def test_names_are_unique() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names)


def test_only_concrete_public_modules_are_asked_for() -> None:
    module = types.ModuleType("invented")
    base = type("Base", (snt.Module,), {"__module__": "invented"})
    module.Base = base  # type: ignore[attr-defined]
    module.Elsewhere = snt.Linear  # type: ignore[attr-defined]
    module.plain = int  # type: ignore[attr-defined]
    for name, parents, body in (
        ("Network", (base,), {"__call__": lambda self, inputs: inputs}),
        ("Optimizer", (base,), {"apply": lambda self, updates, parameters: None}),
        ("_Private", (base,), {"__call__": lambda self, inputs: inputs}),
    ):
        setattr(module, name, type(name, parents, {"__module__": "invented", **body}))
    assert missing([module]) == ["invented.Network", "invented.Optimizer"]
