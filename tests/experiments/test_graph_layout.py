"""A grid is laid out as a grid, and without igraph there is one clear line."""

import sys

import numpy as np
import pytest

from weirdonetworks.experiments.topology import graph_layout
from weirdonetworks.measure import topology


def test_a_shuffled_grid_unfolds() -> None:
    height, width = 6, 9
    order = np.random.default_rng(0).permutation(height * width)
    vertices, places = graph_layout.unfolded(order[topology.grid_edges(height, width)])
    assert vertices.tolist() == list(range(height * width))
    true = np.empty((height * width, 2))
    true[order] = [(row, column) for row in range(height) for column in range(width)]
    # Turned, mirrored and scaled to fit, the places are the true ones.
    one, other = (each - each.mean(axis=0) for each in (places, true))
    left, sizes, right = np.linalg.svd(one.T @ other)
    fitted = one @ left @ right * sizes.sum() / np.square(one).sum()
    assert np.abs(fitted - other).max() < 0.7


def test_only_the_largest_part_is_laid_out() -> None:
    vertices, places = graph_layout.unfolded([[0, 1], [4, 5], [5, 7], [4, 7], [8, 9]])
    assert vertices.tolist() == [4, 5, 7] and places.shape == (3, 2)
    sides = [np.linalg.norm(places[i] - places[j]) for i, j in ((0, 1), (1, 2), (0, 2))]
    assert sides == pytest.approx([sides[0]] * 3, rel=0.05)


def test_no_edges_are_refused() -> None:
    with pytest.raises(ValueError, match="one at least"):
        graph_layout.unfolded(np.zeros((0, 2), int))


def test_missing_igraph_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    graph_layout.check()
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(ImportError, match=r"igraph is not installed.*pip install weirdonetworks\[symmetry\]"):
        graph_layout.check()
