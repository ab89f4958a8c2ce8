"""Data sets made smaller and turned, against NumPy."""

import numpy as np
import pytest

from weirdonetworks.algebra.actions.transforms import rotation
from weirdonetworks.lab.data import transformed
from weirdonetworks.lab.data.datasets import Dataset, Standardisation
from weirdonetworks.lab.errors import UsageError


def test_shrunk_pixels_are_block_means(digits: Dataset) -> None:
    small = transformed.shrunk(digits, 2)
    assert small.train.images.shape == (500, 14, 14, 1) and small.test.images.shape == (200, 14, 14, 1)
    expected = digits.train.images.astype(float)[7, 10:12, 12:14, 0].mean()
    assert abs(int(small.train.images[7, 5, 6, 0]) - expected) <= 0.5
    assert small.standardisation == Standardisation.of(small.train.images) != digits.standardisation
    np.testing.assert_array_equal(small.train.labels, digits.train.labels)


@pytest.mark.parametrize("factor", [0, 3])
def test_factor_must_divide(digits: Dataset, factor: int) -> None:
    with pytest.raises(UsageError, match="must divide"):
        transformed.shrunk(digits, factor)


def test_projections_lie_on_the_components(digits: Dataset) -> None:
    flat = digits.train.images.reshape(500, -1).astype(float)
    few, all_of_them = (transformed.projected(digits, number) for number in (5, 784))
    np.testing.assert_array_equal(all_of_them.test.images, digits.test.images)
    mean = flat.mean(axis=0)
    _, sizes, rows = np.linalg.svd(flat - mean, full_matrices=False)
    expected = np.clip(mean + (flat - mean) @ rows[:5].T @ rows[:5], 0, 255).reshape(500, 28, 28, 1)
    assert np.abs(few.train.images - expected).max() <= 0.5 + 1e-6
    assert sizes[5] > 1 and few.standardisation == Standardisation.of(few.train.images) != digits.standardisation


@pytest.mark.parametrize("components", [0, 785])
def test_components_must_exist(digits: Dataset, components: int) -> None:
    with pytest.raises(UsageError, match=r"components .* must be in \[1, 784\]"):
        transformed.projected(digits, components)


def test_quarter_turns_are_exact_and_all_occur(digits: Dataset) -> None:
    quarter = transformed.turned(digits, 90, seed=3)
    turns = [
        [turns for turns in range(4) if np.array_equal(np.rot90(before, turns), after)]
        for before, after in zip(digits.train.images, quarter.train.images, strict=True)
    ]
    assert all(turns) and {turn for (turn, *_) in turns} == {0, 1, 2, 3}


@pytest.mark.slow
def test_turns_are_drawn_by_seed_and_split(digits: Dataset) -> None:
    one, same, other = (transformed.turned(digits, 1, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.train.images, same.train.images)
    assert not np.array_equal(one.train.images, other.train.images)
    twins = Dataset("twins", digits.train, digits.train, digits.classes, digits.standardisation)
    turned = transformed.turned(twins, 1, seed=3)
    assert not np.array_equal(turned.train.images, turned.test.images)


def test_a_whole_turn_changes_nothing(digits: Dataset) -> None:
    np.testing.assert_array_equal(transformed.turned(digits, 360, seed=0).test.images, digits.test.images)
    assert not np.array_equal(transformed.turned(digits, 359, seed=0).test.images, digits.test.images)


@pytest.mark.parametrize("step", [0, 361])
def test_step_must_be_an_angle(digits: Dataset, step: int) -> None:
    with pytest.raises(UsageError, match="must be in"):
        transformed.turned(digits, step, seed=0)


def test_turns_within_a_range_fill_it_and_leave_it_never(digits: Dataset) -> None:
    within = transformed.turned_within(digits, 2, seed=3)
    height, width = digits.train.images.shape[1:3]
    candidates = {
        angle: np.rint(rotation(height, width, angle).apply(digits.train.images)).astype(np.uint8)
        for angle in range(-3, 4)
    }
    found = [
        {angle for angle, images in candidates.items() if np.array_equal(images[index], after)}
        for index, after in enumerate(within.train.images)
    ]
    assert set.union(*found) == {-2, -1, 0, 1, 2} and all(len(angles) == 1 for angles in found)
    np.testing.assert_array_equal(within.train.labels, digits.train.labels)
    np.testing.assert_array_equal(transformed.turned_within(digits, 2, seed=3).test.images, within.test.images)
    np.testing.assert_array_equal(transformed.turned_within(digits, 0, seed=3).test.images, digits.test.images)


@pytest.mark.parametrize("degrees", [-1, 181])
def test_range_of_turns_must_be_an_angle(digits: Dataset, degrees: int) -> None:
    with pytest.raises(UsageError, match="must be in"):
        transformed.turned_within(digits, degrees, seed=0)
