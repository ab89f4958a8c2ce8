"""The counts beside the note's, as the command prints and writes them."""

import json
import pathlib

import pytest

from tests.experiments.processes import run
from weirdonetworks.algebra import equivariant_weight_orbits, symmetric_group
from weirdonetworks.experiments.permutation_note.study import NOTE_TABLE_22, counts, written_layer


@pytest.mark.slow
def test_the_command_prints_and_writes_the_counts(tmp_path: pathlib.Path) -> None:
    done = run("permutation_note", "--max_n=6", f"--json={tmp_path / 'counts.json'}")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    for n, published in NOTE_TABLE_22.items():
        assert [str(n), str(published), str(published)] in lines
    assert ["6", "2", "10", "94", "4", "4"] in lines
    written = json.loads((tmp_path / "counts.json").read_text())
    assert [row["n"] for row in written["counts"]] == [2, 3, 4, 5, 6]
    assert all(row["classes_21"] == row["note_22"] for row in written["counts"])
    assert written["equation_30"] == {"terms": [45, 36, 28, 21, 15, 10, 6, 3, 1], "total": 165}
    assert "(30), the monomials in 3 variables of degree at most 8:" in done.stdout
    assert "45 + 36 + 28 + 21 + 15 + 10 + 6 + 3 + 1 = 165" in done.stdout
    assert written["equivariant_quadratic"] in done.stdout
    assert written["equivariant_quadratic"] == (
        "y_k = a x_k^2 + b x_k sum_{j != k} x_j + c sum_{j != k} x_j^2 + d sum_{i < j; i, j != k} x_i x_j"
    )


@pytest.mark.slow
def test_beyond_the_notes_table_its_column_is_empty() -> None:
    done = run("permutation_note", "--max_n=8")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["7", "17", "-"] in lines
    assert ["8", "19", "-"] in lines
    assert ["8", "2", "12", "228", "4", "4"] in lines


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_counts_follow_their_formulas(n: int) -> None:
    found = counts(n)
    assert found["equivariant_functions"] == found["ordered_26_27"] == (3 if n == 2 else 4)
    assert found["equivariant_weights"] == found["equivariant_functions"] + n * n * (n - 1) // 2
    assert found["classes_21"] - found["quadratic_21"] == n - 1


def test_the_layer_is_written_from_its_orbits() -> None:
    def layer(n: int, degree: int, include_lower: bool = False) -> str:
        group = symmetric_group(n)
        return written_layer(equivariant_weight_orbits(group, group, degree, include_lower=include_lower))

    assert layer(1, 2) == "y_k = a x_k^2"
    assert layer(5, 1) == "y_k = a x_k + b sum_{j != k} x_j"
    assert layer(5, 1, include_lower=True) == "y_k = a + b x_k + c sum_{j != k} x_j"


def test_wrong_flags_are_told_in_one_line(tmp_path: pathlib.Path) -> None:
    for flag, rule in [("--max_n=1", "in [2, 12]"), (f"--json={tmp_path}", "must be a file in a folder that exists")]:
        done = run("permutation_note", flag)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert rule in done.stderr
