"""The notebook runs on any summary."""

import os
import pathlib

import nbclient
import nbformat
import pytest

from tests.packages import ROOT

NOTEBOOK = ROOT / "analysis" / "plot_summary_json.ipynb"


def test_it_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert 'if "google.colab" in sys.modules:\n    %pip install --quiet "{PACKAGE}[analysis]"' in code[0].source


@pytest.mark.slow
def test_it_draws_every_figure(
    experiment: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").symlink_to(experiment)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    for source, found in outputs.items():
        assert not [output for output in found if output.output_type == "error" or output.get("name") == "stderr"]
        if "figures." in source and "savefig" not in source:
            assert "image/png" in found[-1]["data"], source
    drawn = [source for source in outputs if "figures." in source]
    assert len(drawn) == 8
    shown = " ".join(output.get("text", "") for found in outputs.values() for output in found)
    assert "78 runs; 0 entries skipped" in shown
    assert any(
        "<table" in output["data"].get("text/html", "")
        for found in outputs.values()
        for output in found
        if "data" in output
    )
    assert (tmp_path / "accuracy_against_sparsity.pdf").read_bytes().startswith(b"%PDF")
