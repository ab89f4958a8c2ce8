"""Tests of the invariant share of weights, against a projection matrix."""

import numpy as np
import pytest

from weirdonetworks.algebra import image_rotations, symmetric_group, trivial_group
from weirdonetworks.measure.invariant_weights import chance, invariant_share


def test_share_is_that_of_the_reynolds_projection() -> None:
    group = image_rotations(4, 4)
    weights = np.random.default_rng(0).normal(size=(16, 5))
    mean = np.mean([weights[element] for element in group.elements()], axis=0)
    expected = np.square(mean).sum() / np.square(weights).sum()
    assert invariant_share(weights, group.orbits()) == pytest.approx(expected, rel=1e-12)
    assert 0 < expected < 1


def test_invariant_weights_have_share_one_and_others_less() -> None:
    orbits = symmetric_group(5).orbits_on_monomials(2)
    free = np.random.default_rng(0).normal(size=(len(orbits), 3))
    weights = free[orbits.labels]
    assert invariant_share(weights, orbits) == pytest.approx(1.0, rel=1e-12)
    weights[0] += 1
    assert invariant_share(weights, orbits) < 0.999


def test_random_weights_have_the_share_of_chance() -> None:
    orbits = image_rotations(10, 10).orbits()
    weights = np.random.default_rng(0).normal(size=(100, 4000))
    assert chance(orbits) == 0.25
    assert invariant_share(weights, orbits) == pytest.approx(0.25, rel=0.02)
    assert chance(trivial_group(4).orbits()) == 1


def test_bad_input() -> None:
    orbits = symmetric_group(3).orbits()
    with pytest.raises(ValueError, match=r"must be \[3, outputs\]"):
        invariant_share(np.ones((4, 1)), orbits)
    with pytest.raises(ValueError, match="all be 0"):
        invariant_share(np.zeros((3, 1)), orbits)
