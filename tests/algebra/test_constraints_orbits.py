"""Orbits of weights against generating functions, random probes, and averages over whole groups."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from weirdonetworks.algebra import (
    PermutationGroup,
    WeightOrbits,
    act,
    alternating_group,
    coordinates,
    cyclic_group,
    dihedral_group,
    direct_product,
    equivariant_weight_orbits,
    items,
    monomials,
    pixels,
    points,
    regular,
    sign_changes,
    symmetric_group,
    trivial,
    trivial_group,
)

# The permutations of four points act on the three ways to pair the points up.
FOUR = PermutationGroup([[1, 0, 2, 3], [1, 2, 3, 0]])
PAIRINGS = PermutationGroup([[0, 2, 1], [2, 1, 0]])
GROUPS = {
    "symmetric": (symmetric_group(4), symmetric_group(4)),
    "alternating": (alternating_group(4), alternating_group(4)),
    "cyclic": (cyclic_group(5), cyclic_group(5)),
    "dihedral": (dihedral_group(5), dihedral_group(5)),
    "product": (direct_product(cyclic_group(2), symmetric_group(3)),) * 2,
    "invariant": (dihedral_group(4), trivial_group(2)),
    "pairings": (FOUR, PAIRINGS),
    "halved": (cyclic_group(4), cyclic_group(2)),
}


def test_generators_that_make_no_homomorphism_are_refused() -> None:
    small, large = symmetric_group(3), symmetric_group(4)
    assert len(pairs(small, large)) > small.order
    with pytest.raises(ValueError, match=r"must extend to a homomorphism.*Pass an action of the same group"):
        equivariant_weight_orbits(small, large, 1)
    # The control: with a homomorphism there is a pair for each element.
    fixing = direct_product(small, trivial_group(1)).generators[: len(small.generators)]
    assert len(equivariant_weight_orbits(small, PermutationGroup(fixing), 1)) == 3
    assert len(pairs(small, PermutationGroup(fixing))) == small.order


def test_actions_share_weights_as_the_groups_on_their_positions_do() -> None:
    group = symmetric_group(3)
    on_pairs = PermutationGroup([(3 * s[:, None] + s).ravel() for s in group.generators])
    for ordered in (True, False):
        found = equivariant_weight_orbits(items(group) * items(group), items(group), 2, ordered)
        expected = equivariant_weight_orbits(on_pairs, group, 2, ordered)
        np.testing.assert_array_equal(found.orbits.labels, expected.orbits.labels)
    # Two copies: the maps between them are those of one, for each pair of copies.
    assert len(equivariant_weight_orbits(points(group) + points(group), group, 1)) == 4
    assert len(equivariant_weight_orbits(regular(group), regular(group), 1)) == group.order
    invariant = equivariant_weight_orbits(items(group) + trivial(2), trivial(1), 2)
    assert invariant.dimension == 7  # Of x: 2 squares and products; with y: 2 by 1; of y: 3.


def coefficients(factors: list[int], top: int) -> list[int]:
    """Writes out 1 / prod (1 - t^f)."""
    values = [1] + [0] * top
    for factor in factors:
        for power in range(factor, top + 1):
            values[power] += values[power - factor]
    return values


def pairs(group_in: PermutationGroup, group_out: PermutationGroup) -> list[tuple[Any, Any]]:
    """Lists all that the pairs of generators generate, by closing under composition."""
    partners = group_out.generators if group_out.order > 1 else np.repeat(group_out.generators, 9, axis=0)
    generators = [(tuple(s), tuple(t)) for s, t in zip(group_in.generators.tolist(), partners.tolist(), strict=False)]
    found = {(tuple(range(group_in.degree)), tuple(range(group_out.degree)))}
    frontier = list(found)
    while frontier:
        one, two = frontier.pop()
        for s, t in generators:
            following = tuple(s[i] for i in one), tuple(t[i] for i in two)
            if following not in found:
                found.add(following)
                frontier.append(following)
    return sorted(found)


def outputs(found: WeightOrbits, weights: npt.NDArray[Any], x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Applies a layer of given weights, `[outputs, ...]`, to rows x, monomial by monomial."""
    given = np.concatenate([np.ones((len(x), 1)), x], axis=1) if found.include_lower else x
    return given[:, found.indices].prod(axis=-1) @ weights.reshape(len(weights), -1).T


def error(
    found: WeightOrbits, weights: npt.NDArray[Any], group_in: PermutationGroup, group_out: PermutationGroup
) -> float:
    """The largest |F(s.x) - t.F(x)| over the pairs (s, t) and random x, over the largest |F(x)|."""
    x = np.random.default_rng(1).normal(size=(5, group_in.degree))
    plain = outputs(found, weights, x)
    moved = [outputs(found, weights, act(s, x)) - act(t, plain) for s, t in pairs(group_in, group_out)]
    return float(np.max(np.abs(moved)) / np.max(np.abs(plain)))


@pytest.mark.parametrize("n", range(1, 7))
def test_dimensions_are_those_of_the_generating_functions(n: int) -> None:
    group, top = symmetric_group(n), 6
    equivariant = coefficients([1, *range(1, n)], top)
    invariant = coefficients(list(range(1, n + 1)), top)
    for degree in range(1, top + 1):
        assert equivariant_weight_orbits(group, group, degree).dimension == equivariant[degree]
        assert equivariant_weight_orbits(group, trivial_group(1), degree).dimension == invariant[degree]
        lower = equivariant_weight_orbits(group, group, degree, include_lower=True)
        assert len(lower) == lower.dimension == sum(equivariant[: degree + 1])


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("n", range(1, 7))
def test_random_probes_find_the_classes_independent_and_complete(n: int, ordered: bool) -> None:
    group, rng = symmetric_group(n), np.random.default_rng(n)
    for degree in (1, 2, 3):
        found = equivariant_weight_orbits(group, group, degree, ordered)
        probes = rng.normal(size=(len(found) + 2, n))
        basis = [found.orbits.labels == label for label in range(len(found))]
        values = np.stack([outputs(found, each.astype(float), probes).ravel() for each in basis])
        assert np.linalg.matrix_rank(values) == found.dimension == coefficients([1, *range(1, n)], 3)[degree]
        assert np.linalg.matrix_rank(values[1:]) == found.dimension - 1  # No class may be left out.


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("name", GROUPS)
def test_layers_of_shared_weights_are_equivariant(name: str, ordered: bool) -> None:
    group_in, group_out = GROUPS[name]
    rng = np.random.default_rng(0)
    for degree, include_lower in itertools.product((1, 2, 3), (False, True)):
        found = equivariant_weight_orbits(group_in, group_out, degree, ordered, include_lower)
        weights = rng.normal(size=len(found))[found.orbits.labels]
        assert error(found, weights, group_in, group_out) < 1e-12
        shared = np.argmax(found.orbits.sizes)
        weights.ravel()[np.flatnonzero(found.orbits.labels == shared)[0]] += 1.0
        assert error(found, weights, group_in, group_out) > 1e-3


@pytest.mark.parametrize("name", GROUPS)
def test_classes_are_where_the_mean_over_the_group_is_constant(name: str) -> None:
    group_in, group_out = GROUPS[name]
    for degree in (1, 2):
        found = equivariant_weight_orbits(group_in, group_out, degree)
        random = np.random.default_rng(0).normal(size=found.orbits.labels.shape)
        mean = np.zeros_like(random)
        for s, t in pairs(group_in, group_out):
            mean[np.ix_(t, monomials.images(s, degree))] += random
        _, labels = np.unique(mean.round(9), return_inverse=True)
        assert len(np.unique(labels)) == len(found)
        assert len({*zip(labels.ravel().tolist(), found.orbits.labels.ravel().tolist(), strict=True)}) == len(found)


def test_redundant_classes_are_the_patterns_of_equal_indices() -> None:
    group = symmetric_group(5)
    labels = equivariant_weight_orbits(group, group, 3, ordered=False).orbits.labels
    patterns: dict[Any, int] = {}
    for place in itertools.product(range(5), repeat=4):
        pattern = tuple(place.index(index) for index in place)
        assert patterns.setdefault(pattern, labels[place]) == labels[place]
    assert len(set(patterns.values())) == len(patterns) == 15  # Bell's number of four.


def test_lower_degrees_come_first_and_keep_their_classes() -> None:
    group = dihedral_group(4)
    found = equivariant_weight_orbits(group, group, 2, include_lower=True)
    assert found.orbits.labels.shape == (4, 15)
    parts = [found.orbits.labels[:, :1], found.orbits.labels[:, 1:5], found.orbits.labels[:, 5:]]
    for degree, part in enumerate(parts[1:], 1):
        alone = equivariant_weight_orbits(group, group, degree).orbits.labels
        assert len({*zip(part.ravel().tolist(), alone.ravel().tolist(), strict=True)}) == alone.max() + 1
    assert len(np.unique(parts[0])) == 1
    assert sum(len(np.unique(part)) for part in parts) == len(found)
    assert found.representatives()[:2] == [(0, ()), (0, (0,))]
    both = equivariant_weight_orbits(group, group, 2, ordered=False, include_lower=True)
    assert both.orbits.labels.shape == (4, 5, 5)
    assert both.dimension == found.dimension


def test_many_inputs_take_no_list_of_the_group() -> None:
    group = symmetric_group(80)
    assert equivariant_weight_orbits(group, group, 2).dimension == 4
    assert equivariant_weight_orbits(group, trivial_group(1), 3).dimension == 3


def test_bad_arguments_are_refused() -> None:
    group = symmetric_group(3)
    with pytest.raises(ValueError, match=r"degree \(=0\) must be at least 1"):
        equivariant_weight_orbits(group, group, 0)
    with pytest.raises(TypeError, match=r"degree \(=1.5\) must be an integer"):
        equivariant_weight_orbits(group, group, 1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must have as many generators"):
        equivariant_weight_orbits(group, cyclic_group(3), 2)
    with pytest.raises(TypeError, match=r"action_in .* must permute positions"):
        equivariant_weight_orbits(coordinates(sign_changes(2)), group, 2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"action_out \(=3\) must be an Action"):
        equivariant_weight_orbits(group, 3, 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must have a known number of positions"):
        equivariant_weight_orbits(pixels(), pixels(), 1)
    with pytest.raises(ValueError, match=r"degree \(=9\) gives about .* weights, and must give at most 100,000,000"):
        equivariant_weight_orbits(symmetric_group(5000), trivial_group(1), 9)
