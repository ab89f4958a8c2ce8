"""Linear algebra modulo primes, number fields and quotients, against SymPy and Python integers."""

import itertools
import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
import sympy
from hypothesis import given, settings, strategies as st
from sympy.polys.matrices import DomainMatrix

from weirdonetworks.algebra import fields, modular, monomials
from weirdonetworks.algebra.polynomials.quotients import Quotient

PRIME = modular.prime_below(modular.LARGEST)
SEEDS = st.integers(0, 2**32 - 1)


def test_products_do_not_overflow() -> None:
    largest = np.full((3, 40_000), PRIME - 1)
    assert np.all(modular.matmul(largest, largest.T.copy(), PRIME) == 40_000)
    rng = np.random.default_rng(0)
    a, b = rng.integers(PRIME, size=(5, 300)), rng.integers(PRIME, size=(300, 4))
    np.testing.assert_array_equal(modular.matmul(a, b, PRIME), (a.astype(object) @ b.astype(object)) % PRIME)


@given(SEEDS, st.integers(1, 150), st.integers(1, 20), st.sampled_from([2, 7, PRIME]))
@settings(deadline=None, max_examples=40)
def test_echelon_form_is_sympys(seed: int, rows: int, columns: int, prime: int) -> None:
    rng = np.random.default_rng(seed)
    rank = rng.integers(0, columns + 1)
    matrix = modular.matmul(rng.integers(prime, size=(rows, rank)), rng.integers(prime, size=(rank, columns)), prime)
    pivots, reduced = modular.echelon(matrix, prime)
    expected, expected_pivots = DomainMatrix(matrix.tolist(), matrix.shape, sympy.ZZ).convert_to(sympy.GF(prime)).rref()
    assert tuple(pivots.tolist()) == expected_pivots
    listed = [[int(value) % prime for value in row] for row in expected.to_list()[: len(pivots)]]
    np.testing.assert_array_equal(reduced, np.array(listed).reshape(reduced.shape))
    leading, vectors = modular.kernel(matrix, prime)
    assert len(leading) == columns - len(pivots)
    assert not np.any(modular.matmul(matrix, vectors.T.copy(), prime))
    np.testing.assert_array_equal(vectors[:, leading], np.eye(len(leading)))
    assert all(not np.any(vector[:column]) for column, vector in zip(leading, vectors, strict=True))


def test_inverses() -> None:
    matrix = np.random.default_rng(0).integers(PRIME, size=(5, 5))
    np.testing.assert_array_equal(modular.matmul(modular.invert(matrix, PRIME), matrix, PRIME), np.eye(5))
    assert modular.inverse(3, 7) == 5
    with pytest.raises(ZeroDivisionError):
        modular.inverse(14, 7)


@pytest.mark.slow
@given(st.lists(st.fractions(min_value=-5000, max_value=5000, max_denominator=5000), min_size=1))
@settings(deadline=None)
def test_fractions_come_back_from_their_residues(fractions: list[Fraction]) -> None:
    small = [value for value in fractions if max(abs(value.numerator), value.denominator) <= math.isqrt(PRIME // 2)]
    residues = [value.numerator * pow(value.denominator, -1, PRIME) % PRIME for value in small]
    assert modular.rationals(residues, PRIME) == [(value.numerator, value.denominator) for value in small]


def test_residues_without_a_fraction_are_told() -> None:
    fit = {top * pow(bottom, -1, 101) % 101 for top in range(-7, 8) for bottom in range(1, 8)}
    for residue in range(101):
        assert (modular.rationals([residue], 101) is None) == (residue not in fit)


FIELDS = [sympy.sqrt(5) / 4, sympy.I, sympy.cos(2 * sympy.pi / 7), sympy.root(2, 3)]


@pytest.mark.parametrize("generator", FIELDS, ids=str)
def test_fields_compute_as_sympy_does(generator: sympy.Expr) -> None:
    domain = sympy.QQ.algebraic_field(generator)
    field = fields.NumberField(domain)
    elements = [domain.from_sympy(generator + sympy.Rational(k, 3)) ** 2 for k in range(3)]
    numerators, denominator = field.read(elements)
    assert [field.write(row, denominator) for row in numerators.tolist()] == elements
    product = field.multiply(numerators[0], numerators[1])
    assert field.write(product, denominator**2) == elements[0] * elements[1]
    values = [complex((generator + sympy.Rational(k, 3)) ** 2) for k in range(3)]
    np.testing.assert_allclose(field.floats(numerators, denominator), values, rtol=1e-14)
    prime, roots = next(field.split_primes())
    assert len(roots) == field.degree
    for root in roots:  # Reduction respects products.
        a, b, c = (int(field.reduce(each[None], prime, root)[0]) for each in (*numerators[:2], product))
        assert a * b % prime == c


def kernel(field: fields.NumberField, matrix: fields.Exact) -> tuple[npt.NDArray[np.intp], fields.Exact, list[int]]:
    def modulo(prime: int, root: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        return modular.kernel(field.reduce(matrix, prime, root), prime)

    def vanishes(vectors: npt.NDArray[np.intp], prime: int, root: int) -> bool:
        return not np.any(modular.matmul(vectors, field.reduce(matrix, prime, root).T, prime))

    return fields.kernel(field, modulo, vanishes, lambda norm: field.growth * max(map(field.norm, matrix)) * norm)


@given(SEEDS, st.sampled_from([None, *FIELDS[:3]]))
@settings(deadline=None, max_examples=25)
def test_exact_kernels_are_complete(seed: int, generator: sympy.Expr | None) -> None:
    domain = sympy.QQ if generator is None else sympy.QQ.algebraic_field(generator)
    field, rng = fields.NumberField(domain), np.random.default_rng(seed)
    left, right = (fields.exact(rng.integers(-9, 10, size=(*shape, field.degree))) for shape in ((4, 2), (2, 5)))
    matrix = field.matmul(left, right)
    leading, vectors, denominators = kernel(field, matrix)
    exact = DomainMatrix([[field.write(entry, 1) for entry in row] for row in matrix], (4, 5), domain)
    assert len(vectors) == 5 - exact.rank()
    assert not np.any(field.matmul(matrix, np.moveaxis(vectors, 0, 1)))
    for column, vector, denominator in zip(leading, vectors, denominators, strict=True):
        assert field.write(vector[column], denominator) == domain.one
        assert not np.any(vector[:column])


def test_a_kernel_with_large_entries_takes_several_primes() -> None:
    field = fields.NumberField(sympy.QQ.algebraic_field(sympy.sqrt(5)))
    large = 10**30 + 57
    leading, vectors, denominators = kernel(field, fields.exact([[[large, 1], [-1, 2]]]))
    # large + a in the first column and 2a - 1 in the second: the kernel is (1, (large + a) / (1 - 2a)).
    assert leading.tolist() == [0]
    quotient = field.write(vectors[0, 1], denominators[0])
    domain = field.domain
    assert quotient * domain([-2, 1]) == domain([1, large])


@given(SEEDS)
@settings(deadline=None, max_examples=20)
def test_norms_of_products_are_bounded(seed: int) -> None:
    field = fields.NumberField(sympy.QQ.algebraic_field(sympy.cos(2 * sympy.pi / 7)))
    a, b = fields.exact(np.random.default_rng(seed).integers(-99, 100, size=(2, 3)))
    assert field.norm(field.multiply(a, b)) <= field.growth * field.norm(a) * field.norm(b)


def test_primes_that_mislead_are_passed_over() -> None:
    field = fields.NumberField(sympy.QQ)
    for row in ([1, PRIME], [PRIME, 1], [PRIME, PRIME * 2], [PRIME - 1, 1]):
        matrix = fields.exact([[[value] for value in row]])
        leading, vectors, denominators = kernel(field, matrix)
        assert leading.tolist() == [0] and len(vectors) == 1
        solution = [Fraction(int(value), denominators[0]) for value in vectors[0, :, 0]]
        assert solution == [1, -Fraction(row[0], row[1])]


@given(SEEDS, st.integers(1, 3), st.lists(st.integers(1, 3), min_size=1, max_size=4))
@settings(deadline=None, max_examples=25)
def test_quotients_have_the_hilbert_function_of_a_groebner_basis(seed: int, n: int, degrees: list[int]) -> None:
    rng, prime = np.random.default_rng(seed), 101
    x = sympy.symbols(f"x0:{n}")
    forms = [(degree, rng.integers(-2, 3, size=monomials.count(n, degree))) for degree in degrees]
    ideal = []
    for degree, vector in forms:
        products = [sympy.prod([x[i] for i in row]) for row in monomials.monomials(n, degree).tolist()]
        ideal.append(sum(int(c) * product for c, product in zip(vector, products, strict=True)))
    basis = sympy.groebner([form for form in ideal if form != 0] or [0], *x, order="grevlex", modulus=prime)
    leading = [sympy.Poly(form, *x).monoms(order="grevlex")[0] for form in basis.exprs if form != 0]
    quotient = Quotient(n, prime)
    for degree in range(1, 6):
        quotient.advance()
        for its, vector in forms:  # One at a time, so that the normal forms are asked for between divisions.
            if its == degree:
                quotient.divide(modular.matmul(vector[None] % prime, quotient.normal, prime))
        standard = [
            exponents
            for exponents in monomials.to_exponents(monomials.monomials(n, degree), n).tolist()
            if not any(all(a >= b for a, b in zip(exponents, lead, strict=True)) for lead in leading)
        ]
        assert quotient.dimension == len(standard)
        assert quotient.normal.shape == (monomials.count(n, degree), quotient.dimension)


def test_a_bound_that_is_reached_changes_nothing() -> None:
    rng, dimensions = np.random.default_rng(0), []
    forms = rng.integers(PRIME, size=(4, monomials.count(4, 2)))
    for bound in (0, 1):
        quotient = Quotient(4, PRIME)
        for degree, least in itertools.zip_longest(range(1, 6), [4, 10, 4, 1, 0]):
            quotient.advance(bound * least)
            if degree == 2:
                quotient.divide(modular.matmul(forms, quotient.normal, PRIME))
            dimensions.append(quotient.dimension)
    assert dimensions == [4, 6, 4, 1, 0] * 2
