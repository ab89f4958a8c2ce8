"""Invariant polynomials: bases, Reynolds operator, generators and Hironaka decomposition against slow, simple code.

What is invariant is decided by substitution with SymPy, dimensions by ranks over the group's own field, and both are
compared with the Molien series.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings, strategies as st
from sympy.polys.matrices import DomainMatrix

from weirdonetworks.algebra import (
    MatrixGroup,
    PermutationGroup,
    alternating_group,
    cyclic_group,
    cyclic_rotations,
    dihedral_group,
    dihedral_rotations,
    direct_product,
    exponent_table,
    fundamental_invariants,
    icosahedral_rotations,
    image_rotations,
    image_translations,
    invariant_basis,
    is_invariant,
    molien_series,
    octahedral_rotations,
    permutation_matrices,
    polynomial_ring,
    primary_invariants,
    quaternion_group,
    reynolds,
    secondary_invariants,
    sign_changes,
    symmetric_group,
    tetrahedral_rotations,
    trivial_group,
)

Group = PermutationGroup | MatrixGroup

# Each with the last degree to compare, and the degrees of a minimal set of generators.
GROUPS: dict[str, tuple[Group, int, list[int]]] = {
    "trivial": (trivial_group(2), 4, [1, 1]),
    "S3": (symmetric_group(3), 6, [1, 2, 3]),
    "S4": (symmetric_group(4), 5, [1, 2, 3, 4]),
    "A4": (alternating_group(4), 7, [1, 2, 3, 4, 6]),
    "C4": (cyclic_group(4), 6, [1, 2, 2, 3, 3, 4, 4]),
    "D4": (dihedral_group(4), 6, [1, 2, 2, 3, 4]),
    "C5": (cyclic_group(5), 5, [1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5]),
    "C2 x C3": (direct_product(cyclic_group(2), cyclic_group(3)), 5, [1, 1, 2, 2, 3, 3]),
    "2 x 2 torus": (image_translations(2, 2), 5, [1, 2, 2, 2, 3]),
    "rotations 2 x 2": (image_rotations(2, 2), 5, [1, 2, 2, 3, 3, 4, 4]),
    "tetrahedral": (tetrahedral_rotations(), 8, [2, 3, 4, 6]),
    "octahedral": (octahedral_rotations(), 9, [2, 4, 6, 9]),
    "icosahedral": (icosahedral_rotations(), 10, [2, 6, 10, 15]),
    "quaternions": (quaternion_group(), 12, [4, 4, 6]),
    "real quaternions": (quaternion_group(real=True), 8, [2] + 10 * [4] + 7 * [6]),
    "plane C5": (cyclic_rotations(5), 10, [2, 5, 5]),
    "plane C7": (cyclic_rotations(7), 8, [2, 7, 7]),
    "plane D5": (dihedral_rotations(5), 10, [2, 5]),
    "signs": (sign_changes(3), 6, [2, 2, 2]),
    "C4 as matrices": (permutation_matrices(cyclic_group(4)), 5, [1, 2, 2, 3, 3, 4, 4]),
    "cube roots": (MatrixGroup([sympy.diag(*2 * [sympy.exp(2 * sympy.pi * sympy.I / 3)])]), 7, [3, 3, 3, 3]),
}


@functools.cache
def generators_of(name: str) -> list[Any]:
    return fundamental_invariants(GROUPS[name][0])


def degree(form: Any) -> int:
    (only,) = {sum(exponents) for exponents in form}
    return only


def degrees(forms: Sequence[Any]) -> list[int]:
    return [degree(form) for form in forms]


def rank(forms: Sequence[Any]) -> int:
    """The dimension of the span of polynomials, by SymPy over their field."""
    if not forms:
        return 0
    occurring = sorted({exponents for form in forms for exponents in form})
    domain = forms[0].ring.domain
    rows = [[form.get(exponents, domain.zero) for exponents in occurring] for form in forms]
    return DomainMatrix(rows, (len(rows), len(occurring)), domain).rank()


def substituted(form: Any, matrix: Any) -> Any:
    """f(g x), by SymPy."""
    ring = form.ring
    images = [
        sum((ring.domain.from_sympy(sympy.sympify(c)) * x for c, x in zip(row, ring.gens, strict=True)), ring.zero)
        for row in matrix
    ]
    return form.compose(list(zip(ring.gens, images, strict=True)))


def matrices(group: Group) -> list[Any]:
    """The elements, as rows of SymPy numbers."""
    if isinstance(group, MatrixGroup):
        return [element.tolist() for element in group.exact_elements()]
    return [np.eye(group.degree, dtype=int)[np.argsort(element)].tolist() for element in group.elements()]


def products(forms: Sequence[Any], total: int, one: Any) -> list[Any]:
    """All power products of forms that have one degree."""
    if not forms:
        return [one] if total == 0 else []
    first, *others = forms
    return [
        first**power * rest
        for power in range(total // degree(first) + 1)
        for rest in products(others, total - power * degree(first), one)
    ]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", GROUPS)
def test_bases_are_invariant_independent_and_complete(name: str) -> None:
    group, top, _ = GROUPS[name]
    series = molien_series(group, top)
    for total in range(top + 1):
        basis = invariant_basis(group, total)
        assert len(basis) == series[total] == rank(basis)
        assert all(degree(form) == total for form in basis)
        assert all(is_invariant(form, group) for form in basis)
        if basis and total <= 6:
            for matrix in matrices(group)[:4]:
                assert all(substituted(form, matrix) == form for form in basis)
        # A basis with one form less, or one form twice, would not pass.
        assert rank([*basis[1:], *basis[1:]]) == max(series[total] - 1, 0)


@pytest.mark.parametrize("name", GROUPS)
def test_generators_are_those_of_the_literature(name: str) -> None:
    group, _, expected = GROUPS[name]
    found = generators_of(name)
    assert degrees(found) == expected
    assert all(is_invariant(form, group) for form in found)


@pytest.mark.parametrize("name", GROUPS)
def test_generators_generate_and_none_is_superfluous(name: str) -> None:
    group, top, _ = GROUPS[name]
    found, one = generators_of(name), polynomial_ring(group).one
    series = molien_series(group, top)
    for total in range(1, top + 1):
        assert rank(products(found, total, one)) == series[total]
    for form in [form for form in found if degree(form) <= top][::3]:
        others = [other for other in found if other != form]
        assert rank(products(others, degree(form), one)) == series[degree(form)] - 1


@pytest.mark.slow
def test_generators_of_the_symmetric_group_are_the_elementary_ones() -> None:
    for n in (1, 2, 3, 5, 6):
        ring = polynomial_ring(symmetric_group(n))
        elementary = [
            sum((math.prod(chosen) for chosen in itertools.combinations(ring.gens, k)), ring.zero)
            for k in range(1, n + 1)
        ]
        assert fundamental_invariants(symmetric_group(n)) == elementary
        assert primary_invariants(symmetric_group(n)) == elementary
        assert secondary_invariants(symmetric_group(n)) == [ring.one]


def test_larger_reflection_groups_have_the_degrees_of_their_type() -> None:
    def reflection(root: list[int]) -> Any:
        vector = sympy.Matrix(root)
        return sympy.eye(len(root)) - 2 * vector * vector.T / vector.dot(vector)

    roots = [[1, -1, 0, 0], [0, 1, -1, 0], [0, 0, 1, -1]]
    for last, expected in (([0, 0, 0, 1], [2, 4, 6, 8]), ([0, 0, 1, 1], [2, 4, 4, 6])):  # B4 and D4.
        group = MatrixGroup([reflection(root) for root in [*roots, last]])
        assert group.order == math.prod(expected)
        assert degrees(fundamental_invariants(group)) == expected


def test_generators_up_to_a_degree() -> None:
    assert degrees(fundamental_invariants(icosahedral_rotations(), max_degree=9)) == [2, 6]
    assert degrees(fundamental_invariants(image_rotations(3, 3), max_degree=2)) == [1] * 3 + [2] * 7
    assert fundamental_invariants(quaternion_group(), max_degree=3) == []


@pytest.mark.parametrize("name", GROUPS)
def test_primary_and_secondary_invariants_agree_with_molien(name: str) -> None:
    group, top, _ = GROUPS[name]
    ring, top = polynomial_ring(group), min(top, 7)
    primary = primary_invariants(group)
    secondary = secondary_invariants(group, primary)
    assert len(primary) == len(ring.gens)
    assert secondary[0] == ring.one
    assert math.prod(degrees(primary)) == len(secondary) * group.order
    assert all(is_invariant(form, group) for form in (*primary, *secondary))
    series = molien_series(group, 25)
    numerator = [degrees(secondary).count(power) for power in range(26)]
    for step in degrees(primary):
        for power in range(step, 26):
            numerator[power] += numerator[power - step]
    assert numerator == series
    # Free: as many products as invariants, and independent, so each invariant is in one way such a sum.
    for total in range(top + 1):
        module = [
            product * form
            for form in secondary
            for product in products(primary, total - degree(form), ring.one)
            if degree(form) <= total
        ]
        assert len(module) == rank(module) == series[total]


@st.composite
def small_groups(draw: st.DrawFn) -> Group:
    """Permutations of up to four points, or matrices with one entry -1, 1, I or -I in each row and column."""
    n = draw(st.integers(1, 4))
    rows = draw(st.lists(st.permutations(range(n)), min_size=1, max_size=2))
    if draw(st.booleans()):
        return PermutationGroup(rows)
    unit = draw(st.sampled_from([sympy.Integer(-1), sympy.I]))
    powers = [draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)) for _ in rows]
    return MatrixGroup(
        [
            [[unit**p if i == s else 0 for i in range(n)] for s, p in zip(*both, strict=True)]
            for both in zip(rows, powers, strict=True)
        ]
    )


@pytest.mark.slow
@given(small_groups())
@settings(deadline=None, max_examples=12)
def test_any_small_group(group: Group) -> None:
    ring = polynomial_ring(group)
    assume(group.order <= (24 if len(ring.gens) < 4 else 8))  # Larger ones take seconds each.
    found, primary = fundamental_invariants(group), primary_invariants(group)
    secondary, series = secondary_invariants(group, primary), molien_series(group, 5)
    assert len(secondary) * group.order == math.prod(degrees(primary))
    for total in range(1, 6):
        assert rank(products(found, total, ring.one)) == series[total]
        module = [
            product * form
            for form in secondary
            if degree(form) <= total
            for product in products(primary, total - degree(form), ring.one)
        ]
        assert len(module) == rank(module) == series[total]
    for form in [form for form in found if degree(form) <= 5]:
        others = [other for other in found if other != form]
        assert rank(products(others, degree(form), ring.one)) == series[degree(form)] - 1


@pytest.mark.parametrize("name", ["C4", "A4", "tetrahedral", "octahedral", "quaternions", "real quaternions"])
def test_primary_invariants_vanish_together_only_at_the_origin(name: str) -> None:
    expressions = [form.as_expr() for form in primary_invariants(GROUPS[name][0])]
    ideal = sympy.groebner(expressions, *polynomial_ring(GROUPS[name][0]).symbols, order="grevlex")
    assert ideal.is_zero_dimensional


def test_other_primary_invariants_may_be_given() -> None:
    x0, x1, x2 = sympy.symbols("x0:3")
    powers = [x0**k + x1**k + x2**k for k in (1, 2, 3)]
    assert degrees(secondary_invariants(cyclic_group(3), powers)) == [0, 3]
    assert degrees(secondary_invariants(cyclic_group(3), [powers[0], powers[1], (x0 * x1 * x2) ** 2])) == [0, 3, 3, 6]
    assert degrees(secondary_invariants(sign_changes(2), [x0**2, x1**4])) == [0, 2]


@pytest.mark.parametrize(
    ("primary", "message"),
    [
        (["e1", "e1**2", "e3"], "must have no common zero but the origin"),
        (["e1", "e2"], "must hold 3"),
        (["e1", "e2", "x0*x1"], "must hold invariants"),
        (["e1", "e2", "e3 + e1"], "homogeneous"),
        (["e1", "e2", "1"], "homogeneous polynomials of degree at least 1"),
    ],
)
def test_other_primary_invariants_are_checked(primary: list[str], message: str) -> None:
    x0, x1, x2 = sympy.symbols("x0:3")
    names = {"e1": x0 + x1 + x2, "e2": x0 * x1 + x1 * x2 + x2 * x0, "e3": x0 * x1 * x2, "x0": x0, "x1": x1}
    with pytest.raises(ValueError, match=message):
        secondary_invariants(symmetric_group(3), [sympy.sympify(each, locals=names) for each in primary])


@st.composite
def polynomials(draw: st.DrawFn, n: int) -> sympy.Expr:
    terms = draw(st.lists(st.tuples(st.integers(-5, 5), *[st.integers(0, 2)] * n), max_size=4))
    x = sympy.symbols(f"x0:{n}")
    return sum((c * math.prod(v**e for v, e in zip(x, powers, strict=True)) for c, *powers in terms), sympy.Integer(0))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["S3", "C4", "D4", "tetrahedral", "quaternions", "plane C5"])
def test_reynolds_is_the_mean_over_the_elements(name: str) -> None:
    group = GROUPS[name][0]
    ring = polynomial_ring(group)

    @given(polynomials(len(ring.gens)), polynomials(len(ring.gens)))
    @settings(deadline=None, max_examples=5)
    def check(first: sympy.Expr, second: sympy.Expr) -> None:
        f, h = ring.from_expr(first.expand()), ring.from_expr(second.expand())
        mean = sum((substituted(f, matrix) for matrix in matrices(group)), ring.zero) * ring.domain.convert(
            sympy.QQ(1, group.order), sympy.QQ
        )
        averaged = reynolds(f, group)
        assert averaged == mean == reynolds(first, group)
        assert is_invariant(averaged, group)
        assert reynolds(averaged, group) == averaged
        assert reynolds(f + h, group) == averaged + reynolds(h, group)
        assert reynolds(h * averaged, group) == reynolds(h, group) * averaged
        assert is_invariant(f, group) == (averaged == f)

    check()


@pytest.mark.slow
def test_reynolds_needs_no_list_of_the_group() -> None:
    x0, x1 = sympy.symbols("x0:2")
    mean = reynolds(x0**2 * x1, symmetric_group(30))
    assert len(mean) == 870 and set(mean.values()) == {sympy.QQ(1, 870)}
    with pytest.raises(ValueError, match="too large an orbit"):
        reynolds(x0 * x1, symmetric_group(784))


def test_invariance_is_not_taken_for_granted() -> None:
    x0, x1, x2 = sympy.symbols("x0:3")
    assert is_invariant(x0**2 * x1 + x1**2 * x2 + x2**2 * x0, cyclic_group(3))
    assert not is_invariant(x0**2 * x1 + x1**2 * x2 + x2**2 * x0, symmetric_group(3))
    assert not is_invariant(x0**2 + x1**2 + 2 * x2**2, tetrahedral_rotations())
    assert is_invariant(x0**4 + x1**4 + x2**4, tetrahedral_rotations())
    assert not is_invariant(x0**4 + x1**4 + x2**4, icosahedral_rotations())


@pytest.mark.parametrize("exact", [tetrahedral_rotations(), quaternion_group(), cyclic_rotations(5)])
def test_floating_point_groups_have_bases_and_means_too(exact: MatrixGroup) -> None:
    group = MatrixGroup(exact.generators)
    for total in range(7):
        floating, known = invariant_basis(group, total), invariant_basis(exact, total)
        assert len(floating) == len(known) == molien_series(exact, total)[total]
        for form, other in zip(floating, known, strict=True):
            assert is_invariant(form, group)
            exponents, coefficients = exponent_table([other])
            values = [complex(form.get(tuple(row), 0)) for row in exponents.tolist()]
            np.testing.assert_allclose(values, coefficients[0], atol=1e-9)
    x0, x1 = polynomial_ring(group).gens[:2]
    assert not is_invariant(x0**4 + 2 * x1**3 * x0, group)
    assert is_invariant(reynolds(x0**4 + x1**3 * x0, group), group)
    with pytest.raises(ValueError, match="must be exact"):
        fundamental_invariants(group)
    with pytest.raises(ValueError, match="must be exact"):
        primary_invariants(group)


def test_exponent_tables_evaluate_as_the_polynomials_do() -> None:
    forms = generators_of("icosahedral")
    exponents, coefficients = exponent_table(forms)
    x = np.random.default_rng(0).standard_normal(3)
    values = coefficients @ np.prod(x**exponents, axis=1)
    for form, value in zip(forms, values, strict=True):
        exact = form.as_expr().subs(dict(zip(form.ring.symbols, x.tolist(), strict=True)))
        assert value == pytest.approx(float(exact), rel=1e-10, abs=1e-10)
    turned = icosahedral_rotations().elements()[7] @ x
    np.testing.assert_allclose(coefficients @ np.prod(turned**exponents, axis=1), values, rtol=1e-9, atol=1e-9)
    assert exponents.sum(axis=1).tolist() == sorted(exponents.sum(axis=1).tolist())
    assert exponent_table(generators_of("quaternions"))[1].dtype == np.float64
    with pytest.raises(ValueError, match="at least one"):
        exponent_table([])


def test_wrong_polynomials_are_refused() -> None:
    a, x0 = sympy.symbols("a x0")
    for function in (reynolds, is_invariant):
        with pytest.raises(ValueError, match=r"polynomial \(=a \+ x0\) must be in the variables x0, ..., x2"):
            function(a + x0, cyclic_group(3))
        with pytest.raises(ValueError, match=r"must be in the variables"):
            function(polynomial_ring(cyclic_group(4)).gens[3], cyclic_group(3))
        with pytest.raises(ValueError, match=r"coefficients in QQ"):
            function(sympy.sqrt(2) * x0, cyclic_group(3))
        with pytest.raises(ValueError, match=r"polynomial \(=1/x0\) must be one"):
            function(1 / x0, cyclic_group(3))
        with pytest.raises(TypeError, match="must be a SymPy expression"):
            function("x0", cyclic_group(3))
    assert reynolds(sympy.sqrt(5) * x0**2, icosahedral_rotations()) != 0
    assert reynolds(0, cyclic_group(3)) == 0 and reynolds(sympy.Poly(x0, x0), cyclic_group(2)) != 0


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"degree \(=-1\) must be at least 0"):
        invariant_basis(cyclic_group(3), -1)
    with pytest.raises(ValueError, match=r"max_degree \(=0\) must be at least 1"):
        fundamental_invariants(cyclic_group(3), max_degree=0)
    with pytest.raises(ValueError, match=r"307720 monomials in 784 variables.*orbits_on_monomials"):
        invariant_basis(image_rotations(28, 28), 2)
    with pytest.raises(ValueError, match="too many to compute with"):
        fundamental_invariants(image_rotations(14, 14))
