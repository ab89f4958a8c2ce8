"""Pixel groups: the effect of each element on an image, and the time to compute orbits."""

import time

import numpy as np
import pytest

from weirdonetworks.algebra import (
    PermutationGroup,
    act,
    image_dihedral,
    image_rotations,
    image_translations,
    molien_series,
)

SHAPES = [(1, 1), (2, 1), (3, 2), (4, 3)]  # Side and channels of square images.


def image(height: int, width: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(height * width * channels).reshape(height, width, channels)


@pytest.mark.parametrize(("side", "channels"), SHAPES)
def test_rotations_turn_as_numpy_does(side: int, channels: int) -> None:
    group, x = image_rotations(side, side, channels), image(side, side, channels)
    assert group.order == (4 if side > 1 else 1)
    for turns, element in enumerate(group.elements()):
        np.testing.assert_array_equal(act(element, x.ravel()), np.rot90(x, turns).ravel())
    np.testing.assert_array_equal(act(group.generators[0], x.ravel()), np.rot90(x).ravel())


@pytest.mark.parametrize(("side", "channels"), SHAPES)
def test_dihedral_elements_turn_and_mirror(side: int, channels: int) -> None:
    group, x = image_dihedral(side, side, channels), image(side, side, channels)
    assert group.order == (8 if side > 1 else 1)
    for index, element in enumerate(group.elements()):
        start = x if index < 4 else x[:, ::-1]
        np.testing.assert_array_equal(act(element, x.ravel()), np.rot90(start, index % 4).ravel())


@pytest.mark.parametrize("shape", [(3, 4, 2), (1, 5, 1), (4, 1, 3)])
def test_translations_roll(shape: tuple[int, int, int]) -> None:
    group, x = image_translations(*shape), image(*shape)
    height, width, _ = shape
    assert group.order == height * width
    for index, element in enumerate(group.elements()):
        np.testing.assert_array_equal(act(element, x.ravel()), np.roll(x, divmod(index, width), (0, 1)).ravel())


@pytest.mark.parametrize("group", [image_rotations(3, 3, 2), image_dihedral(4, 4), image_translations(2, 3, 2)])
def test_closed_forms_match_the_generators(group: PermutationGroup) -> None:
    other = PermutationGroup(group.generators)
    assert group.order == other.order
    assert set(map(bytes, group.elements())) == set(map(bytes, other.elements()))
    assert all(group.contains(element) for element in other.elements())
    swapped = np.arange(group.degree)
    swapped[[0, 1]] = 1, 0
    assert not group.contains(swapped) and not other.contains(swapped)


def test_images_that_are_not_square_are_refused() -> None:
    for group in (image_rotations, image_dihedral):
        with pytest.raises(ValueError, match=r"height \(=28\) and width \(=30\) must be equal.*image_translations"):
            group(28, 30)
    with pytest.raises(ValueError, match=r"channels \(=0\) must be at least 1"):
        image_translations(28, 30, 0)


@pytest.mark.parametrize("make", [image_rotations, image_dihedral, image_translations])
def test_groups_of_mnist_pixels_are_quick(make: type) -> None:
    start = time.perf_counter()
    group: PermutationGroup = make(28, 28)
    assert group.order in (4, 8, 784)
    made = time.perf_counter() - start
    orbits = group.orbits_on_monomials(2)
    found = time.perf_counter() - start - made
    # A few milliseconds and about 60 on one core; the limits leave room for a busy machine.
    assert made < 0.05 and found < 5
    assert [1, group.orbits().labels.max() + 1, len(orbits)] == molien_series(group, 2)
