"""Tests of the distortion of embedded Cayley graphs, against brute force and proved bounds."""

import itertools

import numpy as np
import pytest

from weirdonetworks.measure import distortion
from weirdonetworks.measure.distortion import (
    ball,
    ball_size,
    cayley_distortion,
    distortion_by_dimension,
    learned_embedding,
    random_embedding,
)


def written_out(n: int, radius: int) -> np.ndarray:
    """Lists the ball, both signs and 0."""
    cube = np.array(list(itertools.product(range(-radius, radius + 1), repeat=n)))
    return cube[np.abs(cube).sum(axis=1) <= radius]


@pytest.mark.parametrize(("n", "radius"), [(1, 1), (1, 5), (2, 3), (3, 4), (5, 2)])
def test_ball_has_each_element_up_to_sign(n: int, radius: int) -> None:
    rows = ball(n, radius)
    whole = {tuple(row) for row in np.concatenate([rows, -rows, np.zeros([1, n], int)]).tolist()}
    assert whole == {tuple(row) for row in written_out(n, radius).tolist()}
    assert ball_size(n, radius) == len(whole) == 2 * len(rows) + 1


@pytest.mark.parametrize(("n", "d", "radius"), [(1, 1, 2), (2, 1, 2), (2, 3, 3), (3, 2, 2), (4, 4, 1)])
def test_distortion_is_that_of_all_pairs(n: int, d: int, radius: int) -> None:
    table, elements = random_embedding(n, d, seed=n), written_out(n, radius)
    first, second = (
        elements[list(each)] for each in zip(*itertools.combinations(range(len(elements)), 2), strict=True)
    )
    ratios = np.linalg.norm((first - second) @ table, axis=1) / np.abs(first - second).sum(axis=1)
    found = cayley_distortion(table, radius)
    np.testing.assert_allclose([found.expansion, 1 / found.contraction], [ratios.max(), ratios.min()], rtol=1e-12)
    assert found.is_exact


@pytest.mark.parametrize(("n", "radius"), [(1, 3), (2, 1), (4, 2), (6, 2)])
def test_orthonormal_generators_have_the_least_distortion(n: int, radius: int) -> None:
    least = min(n, 2 * radius) ** 0.5
    assert cayley_distortion(np.eye(n), radius).distortion == pytest.approx(least, rel=1e-12)
    for d, seed in itertools.product([1, n, 2 * n], range(5)):
        assert cayley_distortion(random_embedding(n, d, seed), radius).distortion >= least * (1 - 1e-12)


def test_distortion_is_of_the_shape_alone() -> None:
    table = random_embedding(4, 3, seed=0)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    expected = cayley_distortion(table, 2).distortion
    for same in (7 * table, table @ turn, table[[2, 0, 3, 1]], table * [[1], [-1], [1], [-1]]):
        assert cayley_distortion(same, 2).distortion == pytest.approx(expected, rel=1e-9)
    assert cayley_distortion(table * [[1], [1], [2], [1]], 2).distortion != pytest.approx(expected, rel=1e-3)


def test_elements_that_fall_together_are_infinitely_distorted() -> None:
    assert cayley_distortion([[1.0], [3.0]], radius=2).distortion == np.inf
    assert cayley_distortion([[1.0], [3.0]], radius=1).distortion < np.inf
    assert cayley_distortion(np.zeros([2, 2]), radius=1).distortion == np.inf


def test_samples_bound_from_below() -> None:
    table = random_embedding(6, 3, seed=0)
    exact = cayley_distortion(table, 2)
    few, many = (cayley_distortion(table, 2, samples=samples, seed=1) for samples in (20, 20_000))
    assert few.contraction < many.contraction <= exact.contraction * (1 + 1e-12)
    assert few.expansion == many.expansion == exact.expansion
    assert not few.is_exact
    assert cayley_distortion(random_embedding(200, 50, seed=0), 20, samples=1000).distortion > 1


def test_samples_are_words_of_every_length() -> None:
    words = distortion._sampled(5, 6, 5000, seed=0)
    np.testing.assert_array_equal(np.unique(np.abs(words).sum(axis=1)), np.arange(1, 7))
    assert abs(words.mean()) < 0.05 and words.min() < -3


@pytest.mark.parametrize("n", [2, 3, 4])
def test_learned_embeddings_reach_the_least_distortion(n: int) -> None:
    for d in (n, n + 2):
        learned = learned_embedding(n, d, radius=2, seed=0)
        assert cayley_distortion(learned, 2).distortion < 1.02 * min(n, 4) ** 0.5
        assert np.linalg.norm(learned, axis=1).max() == pytest.approx(1)


def test_learned_line_is_the_best_line() -> None:
    # On a line two generators are 1 and a ratio in [0, 1], which can be tried one by one.
    best = min(cayley_distortion([[1.0], [ratio]], 2).distortion for ratio in np.linspace(0, 1, 5001))
    learned = min(cayley_distortion(learned_embedding(2, 1, 2, seed), 2).distortion for seed in range(5))
    assert best * 0.99 < learned < best * 1.02


def test_more_dimensions_distort_less_and_learning_helps() -> None:
    records = distortion_by_dimension(5, [1, 2, 3, 5], radius=2, seeds=range(3))
    assert [(record["d"], record["seed"]) for record in records] == list(itertools.product([1, 2, 3, 5], range(3)))
    assert all(record["learned"] < record["random"] for record in records)
    medians = [np.median([record["learned"] for record in records if record["d"] == d]) for d in (1, 2, 3, 5)]
    assert (np.diff(medians) < 0).all() and medians[0] > 10 * medians[-1]
    assert records == distortion_by_dimension(5, [1, 2, 3, 5], radius=2, seeds=range(3))


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"embeddings of shape \(2,\) must be \[n, d\]"):
        cayley_distortion([1.0, 2.0], 1)
    with pytest.raises(ValueError, match="all finite"):
        cayley_distortion([[np.inf]], 1)
    with pytest.raises(ValueError, match=r"radius \(=0\) must be at least 1"):
        cayley_distortion(np.eye(2), 0)
    with pytest.raises(ValueError, match=r"samples \(=0\) must be at least 1"):
        cayley_distortion(np.eye(2), 1, samples=0)
    with pytest.raises(ValueError, match=r"radius 20 in Z\^50 has \d+ elements .* take a smaller radius, or samples"):
        cayley_distortion(np.eye(50), 10)
    with pytest.raises(ValueError, match=r"steps \(=0\)"):
        learned_embedding(2, 2, 1, seed=0, steps=0)
    with pytest.raises(TypeError, match="radius"):
        ball(2, 1.5)  # type: ignore[arg-type]
