"""Random transformations in the graph, against those of the algebra."""

import numpy as np
import pytest
import tensorflow as tf

from weirdonetworks.algebra import image_rotations, image_translations, sign_changes, symmetric_group
from weirdonetworks.algebra.actions.transforms import rotation, shift
from weirdonetworks.lab.data.augmentation import RandomTransform

DRAWN = [0, 4, 4, 4, 2, 0, 1, 2]  # By the seed (1, 2), out of five.


def one_of(moved: np.ndarray, candidates: list[np.ndarray]) -> list[int]:
    """Finds which candidate each image is."""
    found = []
    for index, image in enumerate(moved):
        (matches,) = np.nonzero([np.allclose(image, each[index], atol=1e-3) for each in candidates])
        assert len(matches), "an image is none of its transforms"
        found.append(int(matches[0]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_each_image_is_moved_by_one_transformation(compiled: bool) -> None:
    images = np.random.default_rng(0).integers(0, 256, (200, 6, 6, 2)).astype(np.uint8)
    transforms = [rotation(6, 6, angle, fill=9.0) for angle in (0, 35, 160)]
    move = RandomTransform(transforms)
    moved = tf.function(move, jit_compile=compiled)(images, tf.constant([3, 4])).numpy()
    counts = np.bincount(one_of(moved, [each.apply(images) for each in transforms]), minlength=3)
    assert counts.min() > 40  # A third of 200 is expected of each.


def test_a_group_moves_all_channels() -> None:
    images = np.random.default_rng(0).normal(size=(100, 4, 4, 3)).astype(np.float32)
    moved = RandomTransform(image_rotations(4, 4, 3))(images, (1, 2)).numpy()
    counts = np.bincount(one_of(moved, [np.rot90(images, turns, axes=(1, 2)) for turns in range(4)]), minlength=4)
    assert counts.min() > 8


def test_an_element_moves_the_way_the_group_does() -> None:
    image = np.arange(12.0).reshape(1, 3, 4, 1)
    group = image_translations(3, 4)
    moved = RandomTransform(group)(np.repeat(image, 400, axis=0), (1, 2)).numpy()
    shifts = {np.roll(image[0], (down, right), (0, 1)).tobytes() for down in range(3) for right in range(4)}
    assert {each.astype(np.float64).tobytes() for each in moved} == shifts


def test_maps_of_different_taps_are_drawn_together() -> None:
    images = np.random.default_rng(0).normal(size=(100, 5, 4, 2)).astype(np.float32)
    transforms = [shift(5, 4, right=1, method="nearest"), rotation(5, 4, 30, fill=2.0)]
    moved = RandomTransform(transforms)(images, (1, 2)).numpy()
    assert set(one_of(moved, [each.apply(images) for each in transforms])) == {0, 1}


def test_one_map_moves_all_images() -> None:
    images, turn = np.random.default_rng(0).normal(size=(3, 4, 4, 1)), rotation(4, 4, 30)
    np.testing.assert_allclose(RandomTransform(turn)(images, (1, 2)), turn.apply(images), rtol=1e-5, atol=1e-6)


def test_draws_of_a_seed_stay_the_same() -> None:
    """What was trained with a seed can be trained again."""
    images = np.zeros([8, 1, 5, 1])
    images[:, 0, 0] = 1
    moved = RandomTransform([shift(1, 5, right=distance) for distance in range(5)])(images, (1, 2))
    assert np.argmax(moved[:, 0, :, 0], axis=1).tolist() == DRAWN
    group = RandomTransform(image_translations(1, 5))(images, (1, 2))
    assert np.argmax(group[:, 0, :, 0], axis=1).tolist() == DRAWN


def test_seeds_draw() -> None:
    images = np.random.default_rng(0).normal(size=(50, 4, 4, 1))
    move = RandomTransform(image_rotations(4, 4))
    np.testing.assert_array_equal(move(images, (1, 2)), move(images, (1, 2)))
    assert not np.array_equal(move(images, (1, 2)), move(images, (1, 3)))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="at least one"):
        RandomTransform([])
    with pytest.raises(ValueError, match=r"shape \(4, 4, 1\) must be images \[5, 5, channels\]"):
        RandomTransform([shift(5, 5, right=1)])(np.zeros([1, 4, 4, 1]), (1, 2))
    with pytest.raises(ValueError, match=r"shape \(4, 4, 1\) must be images \[2, 8, channels\]"):
        RandomTransform([shift(2, 8, right=1)])(np.zeros([1, 4, 4, 1]), (1, 2))
    with pytest.raises(ValueError, match=r"shape \(16,\) must begin with \[9\]"):
        RandomTransform(image_rotations(3, 3))(np.zeros([1, 4, 4, 1]), (1, 2))
    for shape in ([4, 16], [4, 4, 1]):
        with pytest.raises(ValueError, match=r"must be \[batch, height, width, channels\]"):
            RandomTransform(image_rotations(4, 4))(np.zeros(shape), (1, 2))
    with pytest.raises(ValueError, match=r"of one size of image, at least one, and are of \[\(2, 3\), \(3, 3\)\]"):
        RandomTransform([shift(2, 3), shift(3, 3)])
    with pytest.raises(ValueError, match="must have at most 50000 elements, and has 479001600"):
        RandomTransform(symmetric_group(12))
    with pytest.raises(TypeError, match="a group of matrices acts on vectors, not on images"):
        RandomTransform(sign_changes(4))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"must be an Action.*a PermutationGroup"):
        RandomTransform(3)  # type: ignore[arg-type]
