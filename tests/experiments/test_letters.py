"""Images unlike digits."""

import numpy as np
import pytest

from weirdonetworks.experiments.shared import letters


@pytest.mark.slow
def test_letters_are_drawn_within_the_image() -> None:
    images = letters.letters(52, 28, seed=0)
    assert images.shape == (52, 28, 28, 1) and images.dtype == np.uint8
    assert images.max() > 200 and images[:, 0].max() == 0 and images[:, :, -1].max() == 0
    ink = (images > 127).mean(axis=(1, 2, 3))
    assert ink.min() > 0.02 and ink.max() < 0.35


@pytest.mark.slow
def test_letters_differ_and_move() -> None:
    images = letters.letters(52, 28, seed=0)
    assert len(np.unique(images.reshape(52, -1), axis=0)) == 52
    np.testing.assert_array_equal(images, letters.letters(52, 28, seed=0))
    assert not np.array_equal(images, letters.letters(52, 28, seed=1))


@pytest.mark.slow
def test_the_second_a_is_more_like_the_first_than_a_w_is() -> None:
    images = letters.letters(52, 28, seed=0).astype(float).reshape(52, -1)
    likeness = np.corrcoef(images)
    same = np.mean([likeness[index, index + 26] for index in range(26)])
    assert same > np.mean(likeness[:26, 26:]) + 0.1


def test_noise_is_uniform() -> None:
    images = letters.noise(40, 16, seed=0)
    assert images.shape == (40, 16, 16, 1)
    assert abs(images.mean() - 127.5) < 3 and images.min() == 0 and images.max() == 255
