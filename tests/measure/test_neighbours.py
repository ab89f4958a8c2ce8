"""Tests of nearest-neighbour classification, against scikit-learn, and of its rules for ties."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from weirdonetworks.lab.data import datasets
from weirdonetworks.measure import neighbours
from weirdonetworks.measure.neighbours import nearest_labels


def test_nearest_neighbour_is_that_of_scikit_learn(digits: datasets.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "QUERIES", 64)  # Several parts, the last one short.
    stored, queries = digits.train.images / 255, digits.test.images / 255
    oracle = KNeighborsClassifier(1).fit(stored.reshape(len(stored), -1), digits.train.labels)
    found = nearest_labels(stored, digits.train.labels, queries)
    np.testing.assert_array_equal(found, oracle.predict(queries.reshape(len(queries), -1)))
    assert 0.7 < np.mean(found == digits.test.labels) < 1


@pytest.mark.parametrize("k", [2, 5, 10])
def test_votes_are_those_of_scikit_learn_and_ties_fall_to_the_nearest(k: int) -> None:
    generator = np.random.default_rng(k)
    stored, labels, queries = (
        generator.normal(size=(60, 3)),
        generator.integers(0, 4, 60),
        generator.normal(size=(80, 3)),
    )
    oracle = KNeighborsClassifier(k).fit(stored, labels)
    _, indices = oracle.kneighbors(queries)
    tied = 0
    for guess, ranked in zip(nearest_labels(stored, labels, queries, k), labels[indices], strict=True):
        votes = np.bincount(ranked, minlength=4)
        winners = np.flatnonzero(votes == votes.max())
        tied += len(winners) > 1
        assert guess == next(label for label in ranked if label in winners)
    assert 0 < tied < 80


def test_far_from_the_origin_the_nearest_is_the_same() -> None:
    rng = np.random.default_rng(0)
    stored, queries, labels = rng.random((40, 3)).round(3), rng.random((60, 3)).round(3), np.arange(40)
    near = nearest_labels(stored, labels, queries)
    for origin in (1e6, -1e9):
        assert np.array_equal(nearest_labels(stored + origin, labels, queries + origin), near)
    whole = [[2**40], [2**40 + 2]], [5, 3], [[2**40 + 1]]
    assert nearest_labels(*whole).tolist() == [5]  # A tie, which the first wins.


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("apart", [1e6, 1e9, 1e12])
def test_among_examples_far_apart_the_nearest_is_that_by_subtraction(
    apart: float, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "NUMBERS", 16)  # Several parts.
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [apart, 0], [-apart, apart / 3]]).round()
    stored, queries = (np.repeat(centres, 9, axis=0) + rng.integers(0, 64, size=(27, 2)) / 64 for _ in range(2))
    exact = np.square(queries[:, None] - stored).sum(axis=2)
    order = np.argsort(exact, axis=1, kind="stable")
    found = nearest_labels(stored, np.arange(27), queries, k)
    assert np.array_equal(found, order[:, 0])
    assert nearest_labels([[0.0], [1e9], [1e9 + 1]], [0, 1, 2], [[1e9 + 0.9], [1e9 + 0.1]]).tolist() == [2, 1]
    # A control: products with the origin amid the examples do not tell them apart.
    origin = stored.mean(axis=0)
    products = np.square(stored - origin).sum(axis=1) - 2 * (queries - origin) @ (stored - origin).T
    assert apart < 1e9 or not np.array_equal(products.argmin(axis=1), order[:, 0])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e200])
def test_what_has_no_distance_is_refused(wrong: float) -> None:
    for name, stored, queries in (("stored", [[wrong], [1.0]], [[1.0]]), ("queries", [[0.0], [1.0]], [[wrong]])):
        with pytest.raises(ValueError, match=rf"{name} must hold numbers below 1e\+150 in size"):
            nearest_labels(stored, [0, 1], queries)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"k \(=4\) must be at most the 3 stored examples"):
        nearest_labels(np.eye(3), [0, 1, 2], np.eye(3), 4)
    with pytest.raises(ValueError, match=r"k \(=0\) must be at least 1"):
        nearest_labels(np.eye(3), [0, 1, 2], np.eye(3), 0)
    with pytest.raises(ValueError, match="must be"):
        nearest_labels(np.eye(3), [0, 1], np.eye(3))
    with pytest.raises(ValueError, match="must be"):
        nearest_labels(np.eye(3), [0, 1, 2], np.ones((2, 4)))
    for labels in ([0, -1, 2], [0.0, 1.0, 2.0]):
        with pytest.raises(ValueError, match=r"labels \(=\[.*\]\) must be integers of at least 0"):
            nearest_labels(np.eye(3), labels, np.eye(3))
    with pytest.raises(ValueError, match=r"queries \(of shape \(0, 3\)\) must hold one example at least"):
        nearest_labels(np.eye(3), [0, 1, 2], np.empty((0, 3)))
    with pytest.raises(ValueError, match=r"stored \(of shape \(0,\)\) must hold one example at least"):
        nearest_labels([], [], np.eye(3))
