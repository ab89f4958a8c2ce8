"""Features are those of the images, deformed and turned as asked, and are computed once."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from weirdonetworks.algebra.actions.transforms import rotation, shift
from weirdonetworks.experiments.transfer_stability import features
from weirdonetworks.experiments.transfer_stability.backbones import Backbone
from weirdonetworks.lab.data.augmentation import RandomTransform
from weirdonetworks.lab.records import runs

IMAGES = np.random.default_rng(0).integers(0, 256, (2 * features.BATCH + 3, 6, 6, 3), np.uint8)
CORNERS = Backbone("corners", 6, lambda images: tf.concat([images[:, 0, 0], images[:, -1, 2]], axis=1), 0, "")


def corners(images: np.ndarray) -> np.ndarray:
    return np.concatenate([images[:, 0, 0], images[:, -1, 2]], axis=1)


def test_features_come_in_the_order_of_the_images() -> None:
    found = features.extract(CORNERS, IMAGES)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, corners(IMAGES))


def test_images_are_brought_to_the_size_of_the_backbone() -> None:
    flat = np.broadcast_to(IMAGES[:, :1, :1], IMAGES.shape)
    double = Backbone("double", 12, lambda images: images[:, ::11, 5], 0, "")
    np.testing.assert_allclose(features.extract(double, flat), flat[:, :2, 0], rtol=1e-6)
    assert features.resized(IMAGES[:2], 9).shape == (2, 9, 9, 3)


@pytest.mark.slow
def test_deformations_are_drawn_by_the_seed_image_by_image() -> None:
    shifts = [shift(6, 6, right) for right in range(3)]
    draws = ((1, 0), (1, 0), (2, 0), (1, 1))
    one, same, *others = (features.extract(CORNERS, IMAGES, RandomTransform(shifts), *draw) for draw in draws)
    np.testing.assert_array_equal(one, same)
    assert all(np.any(one != other) for other in others)
    expected = np.stack([corners(each.apply(IMAGES)) for each in shifts])
    drawn = [np.flatnonzero((expected[:, index] == found).all(axis=1)).tolist() for index, found in enumerate(one)]
    assert all(drawn) and {choice for choices in drawn for choice in choices} == {0, 1, 2}
    # Batches draw apart, or the first would repeat in the second.
    assert drawn[: features.BATCH] != drawn[features.BATCH : 2 * features.BATCH]


@pytest.mark.slow
def test_turned_features_are_those_of_turned_images() -> None:
    turns = [rotation(6, 6, angle, fill=9.0) for angle in (0, 35, 90)]
    found = features.over(CORNERS, IMAGES[:5], turns)
    expected = [corners(turn.apply(IMAGES[:5])) for turn in turns]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
    assert np.abs(found[0] - found[1]).max() > 1


def test_what_was_kept_is_not_computed_again(tmp_path: pathlib.Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    with runs.open_run(tmp_path, "features", {}, unhashed={}) as run:
        np.testing.assert_array_equal(features.saved(run, "train", lambda: values), values)
        again = features.saved(run, "train", lambda: pytest.fail("computed again"))
        np.testing.assert_array_equal(again, values)
        with pytest.raises(ZeroDivisionError):
            features.saved(run, "test", lambda: 1 / 0)
        assert sorted(path.name for path in run.directory.glob("*.npy")) == ["train.npy"]
        assert [(each["features"], each["shape"]) for each in run.records] == [("train", [2, 3])]
