"""The note's linear systems against its counts, its families written out, and random inputs."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from weirdonetworks.algebra import act, symmetric_group
from weirdonetworks.algebra.weights.constraints import (
    LinearEquations,
    definition_equations,
    linear_equations,
    ordered_quadratic_equations,
    quadratic_equations,
)

Place = tuple[int, int, int]


def families(n: int) -> Iterator[list[tuple[Place, Place]]]:
    """The seven families of equalities of (21), for all h != k and i, j outside {h, k}."""
    exchanges = list(itertools.permutations(range(n), 2))
    others = [(h, k, j) for h, k in exchanges for j in set(range(n)) - {h, k}]
    yield [((h, i, j), (k, i, j)) for h, k, i in others for j in set(range(n)) - {h, k}]
    yield [((h, h, h), (k, k, k)) for h, k in exchanges]
    yield [((h, k, k), (k, h, h)) for h, k in exchanges]
    yield [((h, h, j), (k, k, j)) for h, k, j in others]
    yield [((h, j, h), (k, j, k)) for h, k, j in others]
    yield [((h, k, j), (k, h, j)) for h, k, j in others]
    yield [((h, j, k), (k, j, h)) for h, k, j in others]


def difference(n: int, plus: list[Place], minus: list[Place]) -> npt.NDArray[Any]:
    row = np.zeros((n, n, n))
    for place in plus:
        row[place] += 1
    for place in minus:
        row[place] -= 1
    return row.ravel()


def nullity(rows: list[npt.NDArray[Any]], columns: int) -> int:
    return columns - (np.linalg.matrix_rank(np.stack(rows)) if rows else 0)


def solutions(equations: LinearEquations) -> npt.NDArray[Any]:
    """A basis of the weights that satisfy the equations, `[dimension, outputs, weights]`, in floating point."""
    _, values, vectors = np.linalg.svd(np.vstack([equations.additive, np.zeros((1, len(equations.classes)))]))
    return vectors[np.count_nonzero(values > 1e-9) :][:, equations.classes.labels]


def monomial_table(x: npt.NDArray[Any], ordered: bool) -> npt.NDArray[Any]:
    table = x[:, :, None] * x[:, None, :]
    return table[:, *np.triu_indices(x.shape[1])] if ordered else table.reshape(len(x), -1)


def error(weights: npt.NDArray[Any], ordered: bool) -> float:
    """The largest |F(s.x) - s.F(x)| over random s and x, over the largest |F(x)|."""
    n, rng = len(weights), np.random.default_rng(0)
    x, worst = rng.normal(size=(6, n)), 0.0
    plain = monomial_table(x, ordered) @ weights.T
    for _ in range(10):
        s = rng.permutation(n)
        worst = max(worst, np.max(np.abs(monomial_table(act(s, x), ordered) @ weights.T - act(s, plain))))
    return worst / np.max(np.abs(plain))


def test_the_published_counts() -> None:
    assert [len(quadratic_equations(n).classes) for n in range(2, 7)] == [6, 9, 11, 13, 15]  # Table (22).
    assert [ordered_quadratic_equations(n).dimension() for n in range(1, 9)] == [1, 3, 4, 4, 4, 4, 4, 4]
    assert [linear_equations(n).dimension() for n in range(1, 9)] == [1, 2, 2, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("n", range(1, 7))
def test_the_families_written_out(n: int) -> None:
    equalities = [difference(n, [one], [two]) for family in families(n) for one, two in family]
    sums = [
        difference(n, [(h, h, k), (h, k, h)], [(k, h, k), (k, k, h)]) for h, k in itertools.combinations(range(n), 2)
    ]
    equations = quadratic_equations(n)
    assert len(equations.classes) == nullity(equalities, n**3)
    assert equations.dimension() == nullity(equalities + sums, n**3)
    assert len(equations.classes) - equations.dimension() == n - 1
    labels = equations.classes.labels.reshape(n, n, n)
    assert all(labels[one] == labels[two] for family in families(n) for one, two in family)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_no_family_can_be_spared(n: int) -> None:
    every = list(families(n))
    for left_out in range(7):
        kept = every[:left_out] + every[left_out + 1 :]
        rows = [difference(n, [one], [two]) for family in kept for one, two in family]
        assert nullity(rows, n**3) > len(quadratic_equations(n).classes)


@pytest.mark.parametrize(
    ("degree", "ordered", "expected"),
    [
        (1, True, lambda n: min(n, 2)),
        (2, True, lambda n: [0, 1, 3, 4][min(n, 3)]),
        (2, False, lambda n: [0, 1, 3, 4][min(n, 3)] + n * n * (n - 1) // 2),
    ],
)
@pytest.mark.parametrize("n", range(1, 7))
def test_the_definition_against_random_probes(
    n: int, degree: int, ordered: bool, expected: Callable[[int], int]
) -> None:
    dimension = definition_equations(n, degree, ordered).dimension()
    assert dimension == expected(n)
    # F(s.x) - s.F(x) = 0 is an equation of the weights at each x: row (k, m) of F(s.x) has the monomials of s.x at k.
    rng = np.random.default_rng(n)
    rows = []
    for s in symmetric_group(n).generators:
        x = rng.normal(size=(3 * n + 3, n))
        here = x if degree == 1 else monomial_table(x, ordered)
        there = act(s, x) if degree == 1 else monomial_table(act(s, x), ordered)
        for one, two in zip(here, there, strict=True):
            moved = np.kron(np.eye(n), two)
            moved[s] -= np.kron(np.eye(n), one)
            rows.extend(moved)
    assert dimension == nullity(rows, n * len(here[0]))


@pytest.mark.parametrize("n", range(2, 7))
def test_solutions_are_equivariant_and_no_function_is_lost(n: int) -> None:
    rng = np.random.default_rng(n)
    functions = 3 if n == 2 else 4
    for equations, ordered in [(quadratic_equations(n), False), (ordered_quadratic_equations(n), True)]:
        basis = solutions(equations)
        assert len(basis) == equations.dimension()
        assert error(np.tensordot(rng.normal(size=len(basis)), basis, 1), ordered) < 1e-12
        x = rng.normal(size=(10, n))
        values = np.einsum("pm,skm->spk", monomial_table(x, ordered), basis).reshape(len(basis), -1)
        assert np.linalg.matrix_rank(values) == functions
    # The seven families without the additive one are not enough.
    classes = quadratic_equations(n).classes
    assert error(rng.normal(size=len(classes))[classes.labels], ordered=False) > 1e-3


@pytest.mark.parametrize("write", [linear_equations, quadratic_equations, ordered_quadratic_equations])
def test_bad_arguments_are_refused(write: Callable[[int], LinearEquations]) -> None:
    with pytest.raises(ValueError, match=r"n \(=0\) must be at least 1"):
        write(0)
    with pytest.raises(ValueError, match=r"degree \(=0\) must be at least 1"):
        definition_equations(3, 0, ordered=True)


@pytest.mark.parametrize("n", range(1, 6))
def test_matrix_has_the_same_solutions(n: int) -> None:
    for equations in (linear_equations(n), quadratic_equations(n), definition_equations(n, 2, ordered=False)):
        matrix, basis = equations.matrix(), solutions(equations).reshape(equations.dimension(), -1)
        assert matrix.dtype.kind == "i" and matrix.shape[1] == equations.classes.labels.size
        assert nullity(list(matrix), matrix.shape[1]) == len(basis)
        np.testing.assert_allclose(matrix @ basis.T, 0, atol=1e-12)


def test_equations_too_large_to_write_out_are_refused() -> None:
    message = "coefficients, and must have at most 100,000,000. Use fewer inputs or a lower degree"
    with pytest.raises(ValueError, match=f"65600 equations of 64000 weights have 4198400000 {message}"):
        definition_equations(40, 2, ordered=False)
    with pytest.raises(ValueError, match=message):
        definition_equations(3, 10**6, ordered=False)
    for write in (linear_equations, quadratic_equations, ordered_quadratic_equations):
        with pytest.raises(ValueError, match=message):
            write(1000)
    with pytest.raises(ValueError, match=message):
        quadratic_equations(22).matrix()
