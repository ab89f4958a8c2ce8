"""Permutations as arrays: the laws of the action, and errors."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from weirdonetworks.algebra import act, compose, inverse


@st.composite
def several(draw: st.DrawFn, number: int) -> list[list[int]]:
    """Permutations of the same points."""
    n = draw(st.integers(1, 9))
    return [draw(st.permutations(range(n))) for _ in range(number)]


@given(several(2), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_the_action_is_one_of_the_group(permutations: list[list[int]], seed: int) -> None:
    a, b = permutations
    x = np.random.default_rng(seed).integers(100, size=(2, len(a)))
    np.testing.assert_array_equal(act(a, act(b, x)), act(compose(a, b), x))
    moved = act(a, x)
    assert all(moved[row, a[i]] == x[row, i] for row in range(2) for i in range(len(a)))


@given(several(3))
@settings(deadline=None)
def test_composition_is_associative_and_has_inverses(permutations: list[list[int]]) -> None:
    a, b, c = permutations
    np.testing.assert_array_equal(compose(compose(a, b), c), compose(a, compose(b, c)))
    np.testing.assert_array_equal(compose(a, inverse(a)), range(len(a)))
    np.testing.assert_array_equal(compose(inverse(a), a), range(len(a)))


def test_the_other_order_of_composition_is_wrong() -> None:
    a, b, x = [1, 2, 0], [1, 0, 2], [10, 20, 30]
    assert act(a, act(b, x)).tolist() != act(compose(b, a), x).tolist()


def test_several_permutations_at_once() -> None:
    rng = np.random.default_rng(0)
    rows, x = rng.permuted(np.tile(np.arange(5), (4, 1)), axis=1), rng.random((2, 3, 5))
    together = act(rows, x)
    assert together.shape == (4, 2, 3, 5)
    for row, moved in zip(rows, together, strict=True):
        np.testing.assert_array_equal(moved, act(row, x))
    np.testing.assert_array_equal(inverse(rows)[1], inverse(rows[1]))
    np.testing.assert_array_equal(compose(rows, rows[0])[2], compose(rows[2], rows[0]))


@pytest.mark.parametrize("wrong", [[0, 0, 2], [1, 2, 3], [-1, 0, 1], [], 3])
def test_no_permutation_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="permutation"):
        inverse(wrong)  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TypeError, match="must hold integers"):
        inverse([0.0, 1.0])
    with pytest.raises(ValueError, match="of 2 and of 3 points"):
        compose([1, 0], [0, 1, 2])
    with pytest.raises(ValueError, match=r"x \(of shape \(2,\)\) must end in the 3 entries"):
        act([0, 2, 1], [1, 2])
