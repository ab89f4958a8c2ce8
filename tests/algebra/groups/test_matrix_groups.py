"""Matrix groups: closure, exact and in floating point, point groups, and errors."""

import itertools
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy

from weirdonetworks.algebra import (
    MatrixGroup,
    act,
    alternating_group,
    cyclic_rotations,
    dihedral_rotations,
    icosahedral_rotations,
    octahedral_rotations,
    permutation_matrices,
    quaternion_group,
    sign_changes,
    symmetric_group,
    tetrahedral_rotations,
    trivial_matrix_group,
)

ORDERS: dict[str, tuple[MatrixGroup, int]] = {
    "trivial": (trivial_matrix_group(3), 1),
    **{f"rotations {n}": (cyclic_rotations(n), n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 23)},
    **{f"dihedral {n}": (dihedral_rotations(n), 2 * n) for n in (1, 2, 3, 4, 5, 9)},
    "signs": (sign_changes(3), 8),
    "tetrahedral": (tetrahedral_rotations(), 12),
    "octahedral": (octahedral_rotations(), 24),
    "icosahedral": (icosahedral_rotations(), 60),
    "quaternions": (quaternion_group(), 8),
    "real quaternions": (quaternion_group(real=True), 8),
    "permutations": (permutation_matrices(alternating_group(4)), 12),
}


@pytest.mark.parametrize("name", ORDERS)
def test_elements_are_a_group(name: str) -> None:
    group, order = ORDERS[name]
    elements = group.elements()
    assert group.order == order == len(elements)
    np.testing.assert_array_equal(elements[0], np.eye(group.dimension))
    # Every product is an element, and no two elements are the same.
    products = np.einsum("aij,bjk->abik", elements, elements).reshape(-1, group.dimension**2)
    distances = np.abs(products[:, None] - elements.reshape(1, order, -1)).max(axis=2)
    assert np.all((distances < 1e-9).sum(axis=1) == 1)
    # All of these are orthogonal, or unitary.
    np.testing.assert_allclose(
        elements @ elements.conj().swapaxes(1, 2), np.eye(group.dimension) + 0 * elements, atol=1e-12
    )


@pytest.mark.parametrize("name", ["tetrahedral", "octahedral", "icosahedral", "rotations 7"])
def test_rotations_have_determinant_one(name: str) -> None:
    np.testing.assert_allclose(np.linalg.det(ORDERS[name][0].elements()), 1)


@pytest.mark.parametrize("n", [3, 5, 7, 12])
def test_plane_rotations_turn_by_their_angle(n: int) -> None:
    angle = 2 * np.pi / n
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    np.testing.assert_allclose(cyclic_rotations(n).generators[0], turn, atol=1e-14)


def test_solids_keep_their_corners() -> None:
    golden = (1 + 5**0.5) / 2
    signs = np.array(list(itertools.product([1, -1], repeat=2)))
    icosahedron = np.concatenate(
        [np.roll(np.c_[np.zeros(4), signs[:, 0], golden * signs[:, 1]], k, 1) for k in range(3)]
    )
    tetrahedron = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    for group, corners in ((icosahedral_rotations(), icosahedron), (tetrahedral_rotations(), tetrahedron)):
        moved = np.einsum("gij,cj->gci", group.elements(), corners)
        assert np.all(np.abs(moved[:, :, None] - corners).max(axis=3).min(axis=2) < 1e-12)


def test_quaternions_multiply_as_they_should() -> None:
    for group in (quaternion_group(), quaternion_group(real=True)):
        i, j = group.generators
        minus = -np.eye(group.dimension)
        for product in (i @ i, j @ j, (i @ j) @ (i @ j)):
            np.testing.assert_array_equal(product, minus)


def test_exact_elements_are_exact() -> None:
    group = icosahedral_rotations()
    known = group.exact_elements()
    assert sympy.simplify(known[7] * known[7].T) == sympy.eye(3)
    np.testing.assert_allclose(np.array(known[11].tolist(), float), group.elements()[11], atol=1e-15)
    assert group.exact and group.domain == sympy.QQ.algebraic_field(sympy.sqrt(5))


@pytest.mark.parametrize(
    ("generator", "order"),
    [
        ([[Fraction(1, 2), Fraction(-3, 2)], [Fraction(1, 2), Fraction(1, 2)]], 6),
        ([[0, 1], [np.int64(1), 0]], 2),
        (sympy.Matrix([[sympy.exp(2 * sympy.pi * sympy.I / 3)]]), 3),
        ([[sympy.sqrt(2) / 2, -sympy.sqrt(2) / 2], [sympy.sqrt(2) / 2, sympy.sqrt(2) / 2]], 8),
        ([[0, sympy.root(2, 3)], [1 / sympy.root(2, 3), 0]], 2),
        (np.array([[0, 2], [1, 0]]) / np.array([[1, 1], [2, 1]]), 2),
    ],
)
def test_entries_of_every_kind(generator: Any, order: int) -> None:
    group = MatrixGroup([generator])
    assert group.order == order
    assert group.exact == (not (isinstance(generator, np.ndarray) and generator.dtype == float))


def test_floating_point_finds_the_same_group() -> None:
    for exact in (icosahedral_rotations(), quaternion_group(), cyclic_rotations(15)):
        group = MatrixGroup(exact.generators)
        assert group.order == exact.order and not group.exact
        distances = np.abs(group.elements()[:, None] - exact.elements()[None]).max(axis=(2, 3))
        assert np.all((distances < 1e-9).sum(axis=1) == 1)


@pytest.mark.parametrize("convert", [lambda table: table, np.ndarray.tolist], ids=["array", "list"])
def test_booleans_are_zeros_and_ones(convert: Any) -> None:
    shift = np.roll(np.eye(3, dtype=bool), 1, axis=0)
    group = MatrixGroup([convert(shift)])
    assert group.exact and group.order == 3 and np.array_equal(group.generators[0], shift)


def test_float32_needs_a_tolerance_and_is_told_so() -> None:
    cosine, sine = np.cos(2 * np.pi / 5), np.sin(2 * np.pi / 5)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    with pytest.raises(ValueError, match=r"or tolerance \(=1e-08\): entries may differ by rounding"):
        MatrixGroup([turn.astype(np.float32)], limit=50)
    assert MatrixGroup([turn.astype(np.float32)], tolerance=1e-5).order == 5


def test_permutation_matrices_act_as_permutations() -> None:
    permutations = symmetric_group(4)
    group, x = permutation_matrices(permutations), np.arange(4.0)
    assert group.order == 24
    for matrix, permutation in zip(group.generators, permutations.generators, strict=True):
        np.testing.assert_array_equal(matrix @ x, act(permutation, x))


def test_groups_can_be_sent_to_other_processes() -> None:
    for group in (icosahedral_rotations(), MatrixGroup([[[-1.0]]])):
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(group)).elements(), group.elements())


@pytest.mark.parametrize(
    ("generators", "message"),
    [
        ([[[1, 1], [0, 1]]], r"limit \(=100\) must be at least the order.*may be infinite"),
        ([[[0.6, -0.8], [0.8, 0.6]]], r"limit \(=100\)"),
        ([[[2.0]]], "finite order"),
        ([[[float("nan")]]], "finite order"),
        ([[[1, 0], [0, 0]]], "generator 0 must be invertible"),
        ([[[1]], [[1, 0], [0, 1]]], "generator 0 is 1 x 1, generator 1 2 x 2"),
        ([[[1, 2]]], "generator 0 .* must be a square matrix"),
        ([[1, 2]], "list of matrices"),
        ([], "at least one matrix"),
        ([[[sympy.pi]]], "algebraic numbers or floats"),
        ([[[sympy.Symbol("a")]]], "algebraic numbers or floats"),
    ],
)
def test_bad_generators_are_refused(generators: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MatrixGroup(generators, limit=100)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="must hold numbers, and hold 'one'"):
        MatrixGroup([[["one"]]])
    with pytest.raises(ValueError, match=r"n \(=14\) must be in \[1, 13\]"):
        sign_changes(14)
    with pytest.raises(ValueError, match=r"n \(=0\) must be at least 1"):
        cyclic_rotations(0)
    with pytest.raises(ValueError, match="must be exact"):
        MatrixGroup([[[-1.0]]]).exact_elements()
