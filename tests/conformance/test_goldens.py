"""Every module's variables have the names, shapes and types that its golden file says."""

import json
import pathlib

import pytest

from tests import registry
from tests.conformance import goldens, update_goldens


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", goldens.ENTRIES, ids=registry.name)
def test_variables_are_as_they_were(entry: registry.Network | registry.Optimizer) -> None:
    path = goldens.path(entry)
    assert path.exists(), f"{path.name} is missing. {goldens.REGENERATE}"
    golden = json.loads(path.read_text(encoding="utf-8"))
    assert goldens.describe(entry) == golden, f"{entry.name} differs from {path.name}. {goldens.REGENERATE}"


def test_every_golden_has_an_entry() -> None:
    left_over = set(goldens.DIRECTORY.glob("*.json")) - {goldens.path(entry) for entry in goldens.ENTRIES}
    assert not left_over, goldens.REGENERATE


@pytest.mark.slow
def test_the_command_writes_what_the_test_reads(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(goldens, "DIRECTORY", tmp_path / "goldens")
    monkeypatch.setattr(goldens, "ENTRIES", (registry.NETWORKS[0], registry.OPTIMIZERS[0]))
    entry = registry.NETWORKS[0]
    with pytest.raises(AssertionError, match=r"missing.*update_goldens"):
        test_variables_are_as_they_were(entry)
    update_goldens.main()
    test_variables_are_as_they_were(entry)
    changed = json.loads(goldens.path(entry).read_text())
    changed[0]["shape"][0] += 1
    goldens.path(entry).write_text(json.dumps(changed))
    with pytest.raises(AssertionError, match=r"differs.*update_goldens"):
        test_variables_are_as_they_were(entry)
    (tmp_path / "goldens" / "Gone.json").write_text("[]")
    with pytest.raises(AssertionError):
        test_every_golden_has_an_entry()
    update_goldens.main()
    test_every_golden_has_an_entry()
