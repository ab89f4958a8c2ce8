"""Deformations stay in their ranges, are drawn for each image, and are those of the seed."""

import math

import numpy as np
import pytest
import tensorflow as tf

from weirdonetworks.algebra.actions.transforms import affine
from weirdonetworks.experiments.transfer_stability.deformations import SHEAR, SHIFT, ZOOM, RandomDeformation

SIDE, COUNT = 33, 300


def spots(side: int, row: int, column: int, count: int = COUNT) -> np.ndarray:
    images = np.zeros((count, side, side, 1))
    images[:, row, column] = 1.0
    return images


def centres(images: tf.Tensor) -> np.ndarray:
    """The centre of what is bright, as (right, down) of the image's own centre, as shares of its side."""
    bright = np.asarray(images, np.float64)[..., 0]
    down, right = np.indices(bright.shape[1:]) - (bright.shape[1] - 1) / 2
    moments = [(bright * across).sum(axis=(1, 2)) for across in (right, down)]
    return np.stack(moments, axis=1) / bright.sum(axis=(1, 2))[:, None] / bright.shape[1]


@pytest.mark.slow
@pytest.mark.parametrize("max_turn", [0, 20, 180])
def test_a_spot_moves_as_far_as_it_may(max_turn: float) -> None:
    deform = RandomDeformation(max_turn)
    shifts, above, aside = (
        centres(deform(spots(SIDE, row, column), (1, 2))) for row, column in ((16, 16), (8, 16), (16, 24))
    )
    assert np.all(np.abs(shifts) <= SHIFT + 1e-2) and np.all(np.abs(shifts).max(axis=0) > 0.9 * SHIFT)
    upwards, right = above - shifts, aside - shifts
    # Sheared and then turned, so what lies to the right turns by the angle, or by that and a half turn where mirrored.
    mirrored = upwards[:, 0] * right[:, 1] < upwards[:, 1] * right[:, 0]
    assert 0.4 < mirrored.mean() < 0.6
    angles = np.degrees(np.arctan2(-right[:, 1], right[:, 0]))
    angles = np.where(mirrored, (angles + 360) % 360 - 180, angles)
    assert np.all(np.abs(angles) <= max_turn + 2) and np.abs(angles).max() > 0.9 * max_turn
    # Drawn for each image: of as many angles no gap is wide.
    assert np.diff(np.sort(angles)).max() <= 0.1 * max_turn + 2
    lengths = np.linalg.norm(right, axis=1) / (8 / SIDE)
    assert 1 - ZOOM - 0.05 < lengths.min() < 0.9 and 1.1 < lengths.max() < 1 + ZOOM + 0.05


@pytest.mark.slow
def test_images_move_by_the_maps_of_the_algebra() -> None:
    seed, fill = (3, 4), 7.0
    images = np.random.default_rng(0).uniform(0, 255, (6, 9, 9, 3))
    turn, shear, across, upwards, mirror, right, up = tf.random.stateless_uniform(
        [7, 6], seed, -1, 1, alg="philox"
    ).numpy()
    expected = []
    for index, image in enumerate(images):
        angle = math.radians(180 * turn[index])
        turned = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        sheared = np.array([[1, SHEAR * shear[index]], [0, 1]])
        zoomed = np.diag([(1 + ZOOM * across[index]) * np.sign(mirror[index]), 1 + ZOOM * upwards[index]])
        shift = (9 * SHIFT * right[index], 9 * SHIFT * up[index])
        expected.append(affine(9, 9, turned @ sheared @ zoomed, shift, fill=fill).apply(image))
    for deform in (RandomDeformation(180, fill), tf.function(RandomDeformation(180, fill), jit_compile=True)):
        np.testing.assert_allclose(deform(tf.constant(images, tf.float32), seed), expected, atol=1e-2)
    assert np.abs(expected - images).max() > 50


@pytest.mark.slow
def test_what_comes_from_outside_is_filled() -> None:
    white = np.full((10, SIDE, SIDE, 3), 7, np.uint8)
    np.testing.assert_allclose(RandomDeformation(180, fill=7.0)(white, (1, 2)), white, rtol=1e-6)
    assert np.min(RandomDeformation(180)(white, (1, 2))) == 0


@pytest.mark.slow
def test_one_seed_draws_the_same_for_every_side() -> None:
    deform = RandomDeformation(30)
    there = centres(deform(spots(SIDE, 10, 20, 5), (3, 4)))
    # The middle one of the pixels that the spot is thrice as large; interpolation moves it by a tenth of a pixel.
    np.testing.assert_allclose(there, centres(deform(spots(3 * SIDE, 31, 61, 5), (3, 4))), atol=0.2 / SIDE)
    assert np.all(np.abs(there - centres(deform(spots(SIDE, 10, 20, 5), (3, 5)))).max(axis=1) > 0.4 / SIDE)
    assert len(np.unique(there.round(3), axis=0)) == 5


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"^max_turn \(=181\)"):
        RandomDeformation(181)
    with pytest.raises(ValueError, match=r"^images of shape \(8, 8, 1\) must be"):
        RandomDeformation(20)(np.zeros((8, 8, 1)), (1, 2))
