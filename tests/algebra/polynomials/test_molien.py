"""The Molien series against SymPy's, against listed partitions, and against orbits."""

import math

import numpy as np
import pytest
import sympy
from hypothesis import given, settings, strategies as st

from weirdonetworks.algebra import (
    MatrixGroup,
    PermutationGroup,
    alternating_group,
    cycle_index,
    cycle_types,
    cyclic_group,
    cyclic_rotations,
    dihedral_group,
    dihedral_rotations,
    direct_product,
    icosahedral_rotations,
    image_translations,
    molien_series,
    octahedral_rotations,
    permutation_matrices,
    quaternion_group,
    sign_changes,
    symmetric_group,
    tetrahedral_rotations,
)


def series(numerator: dict[int, int], degrees: list[int], top: int) -> list[int]:
    """The coefficients of sum_j t^j numerator[j] / prod (1 - t^d)."""
    values = [numerator.get(power, 0) for power in range(top + 1)]
    for degree in degrees:
        for power in range(degree, top + 1):
            values[power] += values[power - degree]
    return values


# The Hironaka forms of the literature: numerator, and degrees in the denominator.
KNOWN: dict[str, tuple[PermutationGroup | MatrixGroup, dict[int, int], list[int]]] = {
    "symmetric": (symmetric_group(4), {0: 1}, [1, 2, 3, 4]),
    "alternating": (alternating_group(5), {0: 1, 10: 1}, [1, 2, 3, 4, 5]),
    "cyclic": (cyclic_group(4), {0: 1, 3: 2, 4: 1}, [1, 2, 2, 4]),
    "dihedral": (dihedral_group(4), {0: 1, 3: 1}, [1, 2, 2, 4]),
    "tetrahedral": (tetrahedral_rotations(), {0: 1, 6: 1}, [2, 3, 4]),
    "octahedral": (octahedral_rotations(), {0: 1, 9: 1}, [2, 4, 6]),
    "icosahedral": (icosahedral_rotations(), {0: 1, 15: 1}, [2, 6, 10]),
    "quaternions": (quaternion_group(), {0: 1, 6: 1}, [4, 4]),
    "rotations": (cyclic_rotations(7), {0: 1, 7: 1}, [2, 7]),
    "plane dihedral": (dihedral_rotations(7), {0: 1}, [2, 7]),
    "signs": (sign_changes(3), {0: 1}, [2, 2, 2]),
}


@pytest.mark.parametrize("name", KNOWN)
def test_series_of_the_literature(name: str) -> None:
    group, numerator, degrees = KNOWN[name]
    assert molien_series(group, 40) == series(numerator, degrees, 40)


@pytest.mark.parametrize("group", [tetrahedral_rotations(), quaternion_group(), dihedral_rotations(4)])
def test_series_is_the_mean_of_sympys(group: MatrixGroup) -> None:
    t = sympy.Symbol("t")
    total = sum(1 / (sympy.eye(group.dimension) - t * element).det() for element in group.exact_elements())
    expected = sympy.series(sympy.cancel(total / group.order), t, 0, 9).removeO()
    assert molien_series(group, 8) == [expected.coeff(t, degree) for degree in range(9)]


@st.composite
def groups(draw: st.DrawFn) -> PermutationGroup:
    n = draw(st.integers(1, 6))
    return PermutationGroup(draw(st.lists(st.permutations(range(n)), min_size=1, max_size=3)))


@given(groups())
@settings(deadline=None, max_examples=40)
def test_burnside_counts_the_orbits(group: PermutationGroup) -> None:
    counted = [1] + [len(group.orbits_on_monomials(degree)) for degree in range(1, 6)]
    assert molien_series(group, 5) == counted


@given(groups())
@settings(deadline=None, max_examples=20)
def test_permutations_and_their_matrices_agree(group: PermutationGroup) -> None:
    assert molien_series(group, 6) == molien_series(permutation_matrices(group), 6)


def test_floating_point_agrees_and_is_checked() -> None:
    for exact in (icosahedral_rotations(), quaternion_group(), cyclic_rotations(9)):
        assert molien_series(MatrixGroup(exact.generators), 20) == molien_series(exact, 20)
    angle = 2 * np.pi / 3 + 1e-5  # Taken for a third of a turn, with so large a tolerance.
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    group = MatrixGroup([turn], tolerance=1e-3)
    assert group.order == 3
    with pytest.raises(ValueError, match="too inexact"):
        molien_series(group, 3000)


def test_groups_too_large_to_list() -> None:
    partitions = [1, 1, 2, 3, 5, 7, 11, 15, 22]
    assert molien_series(symmetric_group(784), 8) == partitions
    assert molien_series(PermutationGroup(symmetric_group(30).generators), 8) == partitions
    both = direct_product(symmetric_group(30), symmetric_group(20))
    assert molien_series(both, 4) == [sum(partitions[i] * partitions[d - i] for i in range(d + 1)) for d in range(5)]
    # The wreath product of S2 and S12 has no closed form here, and 2^12 12! elements.
    wreath = PermutationGroup([[1, 0, *range(2, 24)], [*range(2, 24), 0, 1], [2, 3, 0, 1, *range(4, 24)]])
    assert wreath.order == 2**12 * math.factorial(12)
    # Pairs (a, b) give x = a + b and y = ab; the orbits are multisets of exponents of x and y, not both zero.
    assert molien_series(wreath, 4) == series({0: 1}, [1, 2, 2, 3, 3, 4, 4, 4], 4)
    with pytest.raises(ValueError, match=r"max_degree \(=12\) must be smaller"):
        molien_series(wreath, 12)


def test_cycle_types_are_those_of_the_elements() -> None:
    for group in (symmetric_group(6), alternating_group(6), direct_product(symmetric_group(3), dihedral_group(4))):
        assert cycle_types(group) == cycle_types(PermutationGroup(group.generators))
        assert sum(cycle_types(group).values()) == group.order
    assert cycle_types(cyclic_group(6)) == {(1,) * 6: 1, (2, 2, 2): 1, (3, 3): 2, (6,): 2}
    assert sum(cycle_types(symmetric_group(30)).values()) == math.factorial(30)
    assert len(cycle_types(image_translations(4, 6))) == 6
    with pytest.raises(ValueError, match=r"of order about .* small enough to list"):
        cycle_types(symmetric_group(784))


def test_cycle_index_is_polyas() -> None:
    index = cycle_index(dihedral_group(4)).as_expr()
    s = sympy.symbols("s1:5")
    by_hand = (s[0] ** 4 + 2 * s[0] ** 2 * s[1] + 3 * s[1] ** 2 + 2 * s[3]) / 8
    assert sympy.expand(index - by_hand) == 0
    assert index.subs(dict.fromkeys(s, 3)) == 21  # Necklaces of four beads in three colours, turned and turned over.
    t = sympy.Symbol("t")
    molien = index.subs({s[k]: 1 / (1 - t ** (k + 1)) for k in range(4)})
    expected = sympy.series(molien, t, 0, 7).removeO()
    assert [expected.coeff(t, degree) for degree in range(7)] == molien_series(dihedral_group(4), 6)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"max_degree \(=-1\) must be at least 0"):
        molien_series(cyclic_group(3), -1)
