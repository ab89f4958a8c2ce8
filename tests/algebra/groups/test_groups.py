"""Permutation groups against brute force: order, elements, membership, samples, orbits."""

import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from weirdonetworks.algebra import (
    PermutationGroup,
    alternating_group,
    cyclic_group,
    dihedral_group,
    direct_product,
    symmetric_group,
    trivial_group,
)

Element = tuple[int, ...]

NAMED = {
    "trivial": (trivial_group(3), 1),
    "cyclic": (cyclic_group(5), 5),
    "dihedral 1": (dihedral_group(1), 1),
    "dihedral 2": (dihedral_group(2), 2),
    "dihedral 5": (dihedral_group(5), 10),
    "symmetric 1": (symmetric_group(1), 1),
    "symmetric 2": (symmetric_group(2), 2),
    "symmetric 5": (symmetric_group(5), 120),
    "alternating 1": (alternating_group(1), 1),
    "alternating 2": (alternating_group(2), 1),
    "alternating 3": (alternating_group(3), 3),
    "alternating 4": (alternating_group(4), 12),
    "alternating 5": (alternating_group(5), 60),
    "product": (direct_product(cyclic_group(3), dihedral_group(4), symmetric_group(1)), 24),
    "product of one": (direct_product(cyclic_group(3)), 3),
}


def closure(group: PermutationGroup) -> set[Element]:
    """All elements, as the closure of the generators under products."""
    known: set[Element] = {tuple(range(group.degree))}
    frontier = list(known)
    while frontier:
        element = frontier.pop()
        for generator in group.generators.tolist():
            product = tuple(generator[image] for image in element)
            if product not in known:
                known.add(product)
                frontier.append(product)
    return known


def listed(group: PermutationGroup) -> list[Element]:
    return [tuple(row) for row in group.elements().tolist()]


@st.composite
def groups(draw: st.DrawFn) -> PermutationGroup:
    n = draw(st.integers(1, 6))
    return PermutationGroup(draw(st.lists(st.permutations(range(n)), min_size=1, max_size=3)))


@given(groups())
@settings(deadline=None, max_examples=60)
def test_any_group_matches_brute_force(group: PermutationGroup) -> None:
    elements = closure(group)
    assert group.order == len(elements)
    assert len(listed(group)) == len(elements) and set(listed(group)) == elements
    assert listed(group)[0] == tuple(range(group.degree))
    for candidate in itertools.permutations(range(min(group.degree, 5))):
        whole = (*candidate, *range(len(candidate), group.degree))
        assert group.contains(whole) == (whole in elements)
    assert all(tuple(row) in elements for row in group.sample(20, seed=1).tolist())


@pytest.mark.parametrize("name", NAMED)
def test_named_groups_match_brute_force(name: str) -> None:
    group, order = NAMED[name]
    elements = closure(group)
    assert group.order == order == len(elements)
    assert len(listed(group)) == order and set(listed(group)) == elements
    assert listed(group)[0] == tuple(range(group.degree))
    if group.degree <= 5:
        for candidate in itertools.permutations(range(group.degree)):
            assert (candidate in group) == (candidate in elements)
    assert all(group.contains(element) for element in elements)
    assert all(tuple(row) in elements for row in group.sample(20, seed=1).tolist())


def test_a_product_does_not_contain_what_mixes_its_factors() -> None:
    group = direct_product(symmetric_group(2), symmetric_group(2))
    assert not group.contains([2, 3, 0, 1])
    assert not direct_product(cyclic_group(3), cyclic_group(3)).contains([1, 0, 2, 3, 4, 5])


@given(groups(), st.integers(1, 3))
@settings(deadline=None, max_examples=40)
def test_orbits_match_brute_force(group: PermutationGroup, degree: int) -> None:
    elements = closure(group)
    points = {frozenset(element[i] for element in elements) for i in range(group.degree)}
    assert {frozenset(orbit.tolist()) for orbit in group.orbits()} == points
    pairs = group.orbits_on_pairs()
    for i, j in itertools.product(range(group.degree), repeat=2):
        moved = {(element[i], element[j]) for element in elements}
        same = np.argwhere(pairs.labels == pairs.labels[i, j]).tolist()
        assert {(first, second) for first, second in same} == moved
    multisets = list(itertools.combinations_with_replacement(range(group.degree), degree))
    labels = dict(zip(multisets, group.orbits_on_monomials(degree).labels.tolist(), strict=True))
    for multiset in multisets:
        images = {tuple(sorted(element[i] for i in multiset)) for element in elements}
        assert {other for other in multisets if labels[other] == labels[multiset]} == images


@given(groups())
@settings(deadline=None, max_examples=40)
def test_orbits_describe_themselves(group: PermutationGroup) -> None:
    orbits = group.orbits_on_monomials(2)
    flat = orbits.labels.ravel()
    assert [len(orbit) for orbit in orbits] == orbits.sizes.tolist()
    assert [orbit[0] for orbit in orbits] == orbits.representatives.tolist()
    assert orbits.representatives.tolist() == sorted(orbits.representatives.tolist())
    assert all(np.all(flat[orbit] == label) for label, orbit in enumerate(orbits))
    assert len(orbits) == flat.max() + 1


def test_samples_are_uniform_and_seeded() -> None:
    for group in (alternating_group(4), PermutationGroup(symmetric_group(4).generators), dihedral_group(6)):
        numbers = {element: index for index, element in enumerate(listed(group))}
        drawn = group.sample(240 * group.order, seed=3)
        counts = np.bincount([numbers[tuple(row)] for row in drawn.tolist()], minlength=group.order)
        # Chi-squared has mean order - 1; five standard deviations are far beyond chance for this one fixed seed.
        excess = np.sum((counts - 240) ** 2 / 240) - (group.order - 1)
        assert abs(excess) < 5 * math.sqrt(2 * (group.order - 1))
        np.testing.assert_array_equal(drawn, group.sample(240 * group.order, seed=3))
        assert not np.array_equal(drawn, group.sample(240 * group.order, seed=4))


def test_large_groups_are_not_listed() -> None:
    group = symmetric_group(784)
    assert group.order == math.factorial(784)
    assert group.sample(3, seed=0).shape == (3, 784)
    with pytest.raises(ValueError, match=r"limit \(=50000\).*about 3\.19e1930.*sample\(num, seed\)"):
        group.elements()
    with pytest.raises(ValueError, match=r"limit \(=119\).*\(=120\)"):
        symmetric_group(5).elements(limit=119)
    assert len(symmetric_group(5).elements(limit=120)) == 120


@pytest.mark.parametrize(("n", "even"), [(9, False), (9, True), (40, False), (41, True)])
def test_symmetric_and_alternating_groups_are_recognised(n: int, even: bool) -> None:
    rng = np.random.default_rng(n)
    moved = rng.permutation(n)
    # The usual generators under other names for the points.
    generators = [
        moved[row[np.argsort(moved)]] for row in (alternating_group(n) if even else symmetric_group(n)).generators
    ]
    group = PermutationGroup(generators)
    assert group.order == math.factorial(n) // (2 if even else 1)
    assert group.contains(np.roll(np.arange(n), 1)) == (not even or n % 2 == 1)


def test_sporadic_and_imprimitive_groups_are_not_mistaken_for_alternating_ones() -> None:
    first = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0]
    second = [0, 1, 6, 9, 5, 3, 10, 2, 8, 4, 7]  # (2 6 10 7)(3 9 4 5)
    assert PermutationGroup([first, second]).order == 7920  # The Mathieu group M11.
    wreath = PermutationGroup([[1, 0, *range(2, 12)], [*range(2, 12), 0, 1]])
    assert wreath.order == 2**6 * 6


def test_groups_know_sympy_and_can_be_sent_to_other_processes() -> None:
    group = dihedral_group(6)
    assert group.to_sympy().order() == 12
    assert not group.to_sympy().is_abelian
    for each in (group, PermutationGroup(group.generators)):
        assert each.order == 12
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(each)).elements(), each.elements())
    assert "6 points" in repr(group)


def test_generators_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        cyclic_group(3).generators[0, 0] = 2
    given = np.array([[1, 0]])
    group = PermutationGroup(given)
    given[0] = [0, 1]
    assert group.order == 2


@pytest.mark.parametrize(
    ("generators", "message"),
    [
        ([[0, 0, 2]], r"generators \(=\[0, 0, 2\]\) must hold each of 0, ..., 2 exactly once"),
        ([[1, 0], [0, 1, 2]], "generator 0 has 2, generator 1 has 3"),
        ([], "at least one permutation"),
        ([1, 0], "list of permutations"),
        (np.zeros((0, 3), int), "at least one permutation"),
    ],
)
def test_bad_generators_are_refused(generators: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PermutationGroup(generators)


def test_bad_arguments_are_refused() -> None:
    group = cyclic_group(3)
    with pytest.raises(ValueError, match="group's 3 points"):
        group.contains([1, 0])
    with pytest.raises(ValueError, match=r"degree \(=0\) must be at least 1"):
        group.orbits_on_monomials(0)
    with pytest.raises(ValueError, match=r"num \(=0\) must be at least 1"):
        group.sample(0, seed=0)
    with pytest.raises(ValueError, match=r"n \(=0\) must be at least 1"):
        cyclic_group(0)
    with pytest.raises(TypeError, match=r"n \(=2.5\) must be an integer"):
        cyclic_group(2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one group"):
        direct_product()
