"""Symmetries of graphs, against brute force and groups known in closed form; and those of data and weights."""

import itertools
import sys

import numpy as np
import pytest

from weirdonetworks.algebra import image_dihedral
from weirdonetworks.algebra.permutations import compose, inverse
from weirdonetworks.measure.discovery import Graph, discover_symmetries, kept_shares
from weirdonetworks.measure.topology import grid_edges


def by_brute_force(graph: Graph) -> set[tuple[int, ...]]:
    """All permutations that keep the set of edges, vertices without one in place."""
    edges, lonely = set(map(tuple, graph.edges.tolist())), set(range(graph.vertices)) - set(graph.edges.ravel())
    return {
        images
        for images in itertools.permutations(range(graph.vertices))
        if {tuple(sorted((images[i], images[j]))) for i, j in edges} == edges and all(images[i] == i for i in lonely)
    }


@pytest.mark.parametrize("seed", range(6))
def test_the_group_is_that_of_all_permutations_that_keep_the_edges(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = np.array(list(itertools.combinations(range(6), 2)))
    graph = Graph(pairs[rng.random(len(pairs)) < 0.3], 6)
    expected = by_brute_force(graph)
    assert set(map(tuple, discover_symmetries(graph).elements().tolist())) == expected
    everything = np.array(list(itertools.permutations(range(6))))
    shares = kept_shares(graph, everything)
    kept_by_all = {tuple(each) for each, share in zip(everything.tolist(), shares, strict=True) if share == 1}
    assert expected <= kept_by_all and (expected == kept_by_all) == (len(np.unique(graph.edges)) >= 5)


def test_the_grid_of_an_image_has_the_symmetries_of_a_square() -> None:
    group, dihedral = discover_symmetries(grid_edges(28, 28)), image_dihedral(28, 28)
    assert group.order == 8
    assert all(element in dihedral for element in group.elements())
    assert discover_symmetries(grid_edges(4, 7)).order == 4
    ring = [[i, (i + 1) % 9] for i in range(9)]
    assert discover_symmetries(ring).order == 18 and discover_symmetries(ring[1:]).order == 2


def test_shuffled_vertices_have_the_conjugate_group() -> None:
    edges, order = grid_edges(5, 5), np.random.default_rng(0).permutation(25)
    plain, moved = discover_symmetries(edges), discover_symmetries(order[edges])
    expected = compose(compose(order, plain.elements()), inverse(order))
    assert set(map(bytes, moved.elements())) == set(map(bytes, np.ascontiguousarray(expected)))
    assert (kept_shares(order[edges], expected) == 1).all()
    assert (kept_shares(order[edges], plain.elements()) == 1).mean() < 1


def test_vertices_without_an_edge_stay() -> None:
    group = discover_symmetries(Graph([[1, 3]], vertices=5))
    assert group.elements().tolist() == [[0, 1, 2, 3, 4], [0, 3, 2, 1, 4]]
    assert discover_symmetries(Graph([], vertices=3)).order == 1


def test_kept_shares_count_edges() -> None:
    rng = np.random.default_rng(1)
    edges, permutations = grid_edges(4, 4), [rng.permutation(16) for _ in range(5)]
    present = set(map(frozenset, edges.tolist()))
    expected = [np.mean([frozenset((s[i], s[j])) in present for i, j in edges]) for s in permutations]
    assert kept_shares(edges, permutations).tolist() == expected
    assert 0 < max(expected) < 1


def examples_on_a_ring(number: int = 20_000, n: int = 7) -> np.ndarray:
    """Draws from a Gaussian whose variables, given all others, depend on the next one and the one before in a ring."""
    shift = np.roll(np.eye(n), 1, axis=0)
    precision = 2.5 * np.eye(n) - 0.9 * (shift + shift.T)
    return np.random.default_rng(2).multivariate_normal(np.zeros(n), np.linalg.inv(precision), number)


def test_data_on_a_ring_have_its_symmetries() -> None:
    examples = examples_on_a_ring()
    graph = Graph.of_data(examples, noise=1e-3, threshold=0.15)
    assert graph.edges.tolist() == Graph([[i, (i + 1) % 7] for i in range(7)]).edges.tolist()
    assert discover_symmetries(graph).order == 14
    examples[:, 3] = np.random.default_rng(3).normal(size=len(examples))
    broken = Graph.of_data(examples, noise=1e-3, threshold=0.15)
    # What depended on it depends on each other now: a ring of six.
    assert broken.vertices == 7 and 3 not in broken.edges and discover_symmetries(broken).order == 12


def test_weights_of_a_map_that_restores_its_inputs_have_a_graph() -> None:
    weights = np.array([[0.5, 0.3, 0.0], [0.1, 0.5, 0.0], [0.0, 0.0, 0.5]])  # Partial correlation 0.2 / 0.5.
    assert Graph.of_weights(weights, 0.39).edges.tolist() == [[0, 1]]
    assert Graph.of_weights(weights, 0.41).edges.tolist() == []
    assert Graph.of_weights(weights, 0.41).vertices == 3


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(ValueError, match=r"edges \(of shape \(2,\)\) must be pairs of vertices"):
        Graph([0, 1])
    with pytest.raises(ValueError, match=r"edges \(of shape \(0,\)\) must be pairs of vertices, one at least"):
        Graph([])
    with pytest.raises(TypeError, match=r"edges \(of type float64\) must hold integers"):
        discover_symmetries([[0.0, 1.0]])
    with pytest.raises(ValueError, match="edges must name vertices from 0 on, and not -1"):
        Graph([[-1, 1]])
    with pytest.raises(ValueError, match="edges must join different vertices, and not 2 with itself"):
        Graph([[0, 1], [2, 2]])
    with pytest.raises(ValueError, match=r"vertices \(=2\) must be at least 3"):
        Graph([[0, 2]], vertices=2)
    with pytest.raises(ValueError, match="weights"):
        Graph.of_weights(np.zeros((2, 3)), 0.1)
    with pytest.raises(ValueError, match=r"permutations \(of shape \(1, 2\)\) must be \[permutations, 3\]"):
        kept_shares([[0, 2]], [[1, 0]])
    with pytest.raises(ValueError, match="graph must have an edge"):
        kept_shares(Graph([], vertices=2), [[1, 0]])


def test_a_missing_igraph_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(ImportError, match=r"pip install weirdonetworks\[symmetry\]"):
        discover_symmetries([[0, 1]])
