"""Monomials: the documented order, ranks, exponents."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from weirdonetworks.algebra import monomials

SIZES = st.tuples(st.integers(1, 7), st.integers(0, 5))


@given(SIZES)
@settings(deadline=None)
def test_order_is_that_of_itertools(size: tuple[int, int]) -> None:
    n, degree = size
    rows = list(itertools.combinations_with_replacement(range(n), degree))
    table = monomials.monomials(n, degree)
    assert [tuple(row) for row in table.tolist()] == rows
    assert monomials.count(n, degree) == len(rows)
    np.testing.assert_array_equal(monomials.index_of(table, n), np.arange(len(rows)))
    np.testing.assert_array_equal(monomials.index_of(table[:, ::-1], n), np.arange(len(rows)))
    np.testing.assert_array_equal(monomials.at(np.arange(len(rows)), n, degree), table)


@given(st.integers(1, 2000), st.integers(0, 6), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_ranks_are_found_without_a_table(n: int, degree: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.integers(n, size=(3, 4, degree)), axis=-1)
    ranks = monomials.index_of(rows, n)
    assert ranks.shape == (3, 4)
    np.testing.assert_array_equal(monomials.at(ranks, n, degree), rows)
    drawn = rng.integers(monomials.count(n, degree), size=5)
    np.testing.assert_array_equal(monomials.index_of(monomials.at(drawn, n, degree), n), drawn)


def test_ranks_keep_the_order_of_high_degrees() -> None:
    rows = monomials.monomials(3, 60)
    assert len(rows) == math.comb(62, 2)
    np.testing.assert_array_equal(monomials.index_of(rows, 3), np.arange(len(rows)))


def test_degree_two_is_packed_as_the_upper_triangle() -> None:
    np.testing.assert_array_equal(monomials.monomials(6, 2).T, np.triu_indices(6))


@given(SIZES)
@settings(deadline=None)
def test_exponents_and_indices_give_each_other(size: tuple[int, int]) -> None:
    n, degree = size
    table = monomials.monomials(n, degree)
    exponents = monomials.to_exponents(table, n)
    assert exponents.shape == (len(table), n)
    assert np.all(exponents.sum(axis=1) == degree)
    np.testing.assert_array_equal(monomials.from_exponents(exponents), table)
    assert all(exponents[row, i] == np.count_nonzero(table[row] == i) for row in range(len(table)) for i in range(n))


@given(st.integers(1, 6), st.integers(0, 4), st.data())
@settings(deadline=None)
def test_permutations_and_variables_act(n: int, degree: int, data: st.DataObject) -> None:
    permutation = np.array(data.draw(st.permutations(range(n))))
    rows = monomials.monomials(n, degree)
    moved = monomials.images(permutation, degree)
    np.testing.assert_array_equal(monomials.monomials(n, degree)[moved], np.sort(permutation[rows], axis=1))
    variable = data.draw(st.integers(0, n - 1))
    products = monomials.to_exponents(monomials.at(monomials.times(n, degree, variable), n, degree + 1), n)
    np.testing.assert_array_equal(products, monomials.to_exponents(rows, n) + (np.arange(n) == variable))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"n \(=0\) must be at least 1"):
        monomials.monomials(0, 2)
    with pytest.raises(ValueError, match=r"degree \(=-1\) must be at least 0"):
        monomials.count(3, -1)
    with pytest.raises(ValueError, match=r"indices \(=\[0, 3\]\) must be integers in \[0, 3\)"):
        monomials.index_of([0, 3], 3)
    with pytest.raises(ValueError, match=r"ranks \(=6\) must be integers in \[0, 6\)"):
        monomials.at(6, 3, 2)
    with pytest.raises(ValueError, match="one common degree"):
        monomials.from_exponents([[1, 0], [1, 1]])
    with pytest.raises(ValueError, match="integers >= 0"):
        monomials.from_exponents([[1, -1]])
    with pytest.raises(ValueError, match="more monomials than 64 bits"):
        monomials.monomials(784, 12)
    with pytest.raises(ValueError, match=r"degree \(=0\) must be at least 1"):
        monomials.orbits([[1, 0]], 0)
    with pytest.raises(ValueError, match="exactly once"):
        monomials.orbits([[1, 1]], 2)
