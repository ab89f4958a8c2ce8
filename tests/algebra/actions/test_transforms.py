"""Image transformations: exact where they are permutations, interpolation by hand, and that they form no group."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

from weirdonetworks.algebra import act, image_rotations, transforms

RNG = np.random.default_rng(0)
METHODS = ("nearest", "bilinear")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("side", [1, 2, 5, 28])
@pytest.mark.parametrize("turns", [-1, 0, 1, 2, 3, 4, 7])
def test_quarter_turns_are_the_group_of_rotations(method: Any, side: int, turns: int) -> None:
    x = RNG.random((3, side, side, 2))
    turned = transforms.rotation(side, side, 90 * turns, method=method, fill=7.0).apply(x)
    np.testing.assert_array_equal(turned, np.rot90(x, turns, axes=(1, 2)))
    if side > 1:
        element = image_rotations(side, side, 2).elements()[turns % 4]
        np.testing.assert_array_equal(turned.reshape(3, -1), act(element, x.reshape(3, -1)))


@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.lists(st.floats(-2, 2), min_size=4, max_size=4),
    st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
    st.floats(-3, 3),
    st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_bilinear_taps_match_the_formula(
    height: int, width: int, entries: list[float], move: tuple[float, float], fill: float, seed: int
) -> None:
    matrix = np.array(entries).reshape(2, 2)
    assume(abs(entries[0] * entries[3] - entries[1] * entries[2]) > 1e-2)
    transform = transforms.affine(height, width, matrix, move, fill=fill)
    x = np.random.default_rng(seed).random((height, width, 1))
    result = transform.apply(x)
    framed = lambda row, column: x[row, column, 0] if 0 <= row < height and 0 <= column < width else fill  # noqa: E731
    for row, column in np.ndindex(height, width):
        point = np.array([column - (width - 1) / 2, (height - 1) / 2 - row])
        from_x, from_y = np.linalg.solve(matrix, point - move)
        v, u = (height - 1) / 2 - from_y, from_x + (width - 1) / 2
        top, left = math.floor(v), math.floor(u)
        expected = sum(
            framed(top + i, left + j) * (1 - abs(v - top - i)) * (1 - abs(u - left - j)) for i in (0, 1) for j in (0, 1)
        )
        assert result[row, column, 0] == pytest.approx(expected, abs=1e-6)
    assert np.all(transform.weights >= 0) and np.all(transform.weights.sum(axis=1) <= 1 + 1e-12)
    assert np.all((transform.indices >= 0) & (transform.indices < height * width))
    nearest = transforms.affine(height, width, matrix, move, method="nearest", fill=fill)
    assert nearest.indices.shape == (height * width, 1) and set(np.unique(nearest.weights)) <= {0.0, 1.0}


@pytest.mark.parametrize("method", METHODS)
def test_whole_shifts_move_pixels(method: Any) -> None:
    x = RNG.random((2, 4, 5, 3))
    moved = transforms.shift(4, 5, right=2, up=1, method=method, fill=-1.0).apply(x)
    np.testing.assert_array_equal(moved[:, :3, 2:], x[:, 1:, :3])
    assert np.all(moved[:, 3] == -1) and np.all(moved[:, :, :2] == -1)
    np.testing.assert_array_equal(transforms.shift(4, 5, method=method).apply(x), x)


def test_half_a_pixel_is_a_mean() -> None:
    moved = transforms.shift(1, 3, right=0.5, fill=4.0).apply([[[0.0], [1.0], [2.0]]])
    np.testing.assert_allclose(moved.ravel(), [2.0, 0.5, 1.5])


def test_zoom_and_shear_by_hand() -> None:
    x = np.arange(16.0).reshape(4, 4, 1)
    np.testing.assert_array_equal(
        transforms.zoom(4, 4, 2, method="nearest").apply(x)[..., 0], np.kron([[5, 6], [9, 10]], np.ones((2, 2)))
    )
    wide = transforms.zoom(4, 4, (2, 1), method="nearest").apply(x)[..., 0]
    np.testing.assert_array_equal(wide, x[:, [1, 1, 2, 2], 0])
    y = np.arange(9.0).reshape(3, 3, 1)
    slanted = transforms.shear(3, 3, horizontal=1).apply(y)[..., 0]
    np.testing.assert_array_equal(slanted, [[0, 0, 1], [3, 4, 5], [7, 8, 0]])
    upright = transforms.shear(3, 3, vertical=1).apply(y)[..., 0]
    np.testing.assert_array_equal(upright, [[0, 1, 5], [0, 4, 8], [3, 7, 0]])


def test_rotation_is_counter_clockwise() -> None:
    x = np.zeros((9, 9, 1))
    x[4, 8] = 1  # To the right of the centre; by 45 degrees it comes up and to the right.
    turned = transforms.rotation(9, 9, 45, method="nearest").apply(x)[..., 0]
    assert np.argwhere(turned).tolist() == [[1, 7]]


def test_matrix_and_offset_are_the_map() -> None:
    transform = transforms.rotation(5, 6, 33, fill=0.5)
    x = RNG.random((5, 6, 1))
    np.testing.assert_allclose(transform.apply(x).ravel(), transform.to_dense() @ x.ravel() + transform.offset)
    np.testing.assert_allclose(transform.weights.sum(axis=1) + transform.offset / 0.5, 1)
    constant = transform.apply(np.full((2, 5, 6, 1), 0.5))
    np.testing.assert_allclose(constant, 0.5)


def test_dtype_is_kept_if_floating() -> None:
    transform = transforms.rotation(3, 3, 10)
    for dtype, expected in (("float32", "float32"), ("float64", "float64"), ("uint8", "float64")):
        assert transform.apply(np.zeros((1, 3, 3, 1), dtype)).dtype == expected


@pytest.mark.parametrize("method", METHODS)
def test_they_form_no_group(method: Any) -> None:
    half = transforms.rotation(9, 9, 45, method=method).to_dense()
    whole = transforms.rotation(9, 9, 90, method=method).to_dense()
    assert np.abs(half @ half - whole).max() > 0.1
    assert np.abs(np.linalg.matrix_power(half, 8) - np.eye(81)).max() > 0.1
    np.testing.assert_array_equal(np.linalg.matrix_power(whole, 4), np.eye(81))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be invertible"):
        transforms.shear(3, 3, 1, 1)
    with pytest.raises(ValueError, match=r"factor \(=0\) must be above 0"):
        transforms.zoom(3, 3, 0)
    with pytest.raises(ValueError, match=r"factor .* a pair"):
        transforms.zoom(3, 3, (1, 2, 3))
    with pytest.raises(ValueError, match=r"method \(='cubic'\) must be nearest or bilinear"):
        transforms.rotation(3, 3, 10, method="cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"degrees \(=inf\) must be finite"):
        transforms.rotation(3, 3, math.inf)
    with pytest.raises(ValueError, match=r"must be finite"):
        transforms.shift(3, 3, math.nan)
    with pytest.raises(ValueError, match=r"height \(=0\) must be at least 1"):
        transforms.shift(0, 3, 1)
    with pytest.raises(ValueError, match=r"matrix \(of shape \(3,\)\) must be \[2, 2\]"):
        transforms.affine(3, 3, [1, 2, 3])
    with pytest.raises(
        ValueError, match=r"images \(of shape \(3, 4, 1\)\) must have the shape \[..., 3, 3, channels\]"
    ):
        transforms.shift(3, 3, 1).apply(np.zeros((3, 4, 1)))
