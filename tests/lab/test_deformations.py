"""Deformations stay in their ranges, and are those of the seed."""

import numpy as np
import pytest

from weirdonetworks.lab.deformations import SHIFT, ZOOM, deformations

SIDE = 33


def spot(side: int, row: int, column: int) -> np.ndarray:
    image = np.zeros((side, side, 1))
    image[row, column] = 1.0
    return image


def centre(image: np.ndarray) -> np.ndarray:
    """The centre of what is bright, as (right, down) of the image's own centre, as shares of its side."""
    down, right = np.indices(image.shape[:2]) - (len(image) - 1) / 2
    return np.array([(image[..., 0] * across).sum() for across in (right, down)]) / image.sum() / len(image)


@pytest.mark.parametrize("max_turn", [0, 20, 180])
def test_a_spot_moves_as_far_as_it_may(max_turn: float) -> None:
    drawn = deformations(SIDE, 300, max_turn, seed=1)
    shifts = np.array([centre(each.apply(spot(SIDE, 16, 16))) for each in drawn])
    assert np.all(np.abs(shifts) <= SHIFT + 1e-2) and np.all(np.abs(shifts).max(axis=0) > 0.9 * SHIFT)
    upwards = np.array([centre(each.apply(spot(SIDE, 8, 16))) for each in drawn]) - shifts
    right = np.array([centre(each.apply(spot(SIDE, 16, 24))) for each in drawn]) - shifts
    # Sheared and then turned, so what lies to the right turns by the angle, or by that and a half turn where mirrored.
    mirrored = upwards[:, 0] * right[:, 1] < upwards[:, 1] * right[:, 0]
    assert 0.4 < mirrored.mean() < 0.6
    angles = np.degrees(np.arctan2(-right[:, 1], right[:, 0]))
    angles = np.where(mirrored, (angles + 360) % 360 - 180, angles)
    assert np.all(np.abs(angles) <= max_turn + 2) and np.abs(angles).max() > 0.9 * max_turn
    lengths = np.linalg.norm(right, axis=1) / (8 / SIDE)
    assert 1 - ZOOM - 0.05 < lengths.min() < 0.9 and 1.1 < lengths.max() < 1 + ZOOM + 0.05


def test_what_comes_from_outside_is_filled() -> None:
    white = np.full((SIDE, SIDE, 3), 7.0)
    for each in deformations(SIDE, 10, 180, seed=2, fill=7.0):
        np.testing.assert_allclose(each.apply(white), white, rtol=1e-12)
    assert any(each.apply(white).min() == 0 for each in deformations(SIDE, 10, 180, seed=2))


def test_one_seed_draws_the_same_for_every_side() -> None:
    small, large, other = (deformations(side, 5, 30, seed) for side, seed in ((SIDE, 3), (3 * SIDE, 3), (SIDE, 4)))
    for one, same, another in zip(small, large, other, strict=True):
        there = centre(one.apply(spot(SIDE, 10, 20)))
        # The middle one of the pixels that the spot is thrice as large; interpolation moves it by a tenth of a pixel.
        np.testing.assert_allclose(there, centre(same.apply(spot(3 * SIDE, 31, 61))), atol=0.2 / SIDE)
        assert np.abs(there - centre(another.apply(spot(SIDE, 10, 20)))).max() > 0.4 / SIDE


@pytest.mark.parametrize(
    ("side", "count", "max_turn", "error"), [(0, 1, 0, "side"), (8, 0, 0, "count"), (8, 1, 181, "max_turn")]
)
def test_bad_input_is_named(side: int, count: int, max_turn: float, error: str) -> None:
    with pytest.raises(ValueError, match=rf"^{error} \(="):
        deformations(side, count, max_turn, seed=0)
