"""Tests of discovered symmetries, against brute force and groups known in closed form."""

import inspect
import itertools
import sys

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import PermutationAction, PermutationGroup, image_dihedral, items
from weirdonetworks.algebra.groups.permutations import compose, inverse
from weirdonetworks.experiments.topology import TopologyConfig
from weirdonetworks.measure.discovery import Graph, discover_symmetries, kept_shares
from weirdonetworks.measure.stability import invariance_error
from weirdonetworks.measure.topology import denoiser, grid_edges
from weirdonetworks.nets.averaged import OrbitAverage
from weirdonetworks.nets.polynomial.invariant import InvariantMLP
from weirdonetworks.nets.shared import EquivariantLinear
from weirdonetworks.testing import assert_equivariant, assert_invariant


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
    group, dihedral = discover_symmetries(Graph(grid_edges(28, 28))), image_dihedral(28, 28)
    assert group.order == 8
    assert all(element in dihedral for element in group.elements())
    assert discover_symmetries(Graph(grid_edges(4, 7))).order == 4
    ring = [[i, (i + 1) % 9] for i in range(9)]
    assert discover_symmetries(Graph(ring)).order == 18 and discover_symmetries(Graph(ring[1:])).order == 2


def test_shuffled_vertices_have_the_conjugate_group() -> None:
    edges, order = grid_edges(5, 5), np.random.default_rng(0).permutation(25)
    graph = Graph(order[edges])
    plain, moved = discover_symmetries(Graph(edges)), discover_symmetries(graph)
    expected = compose(compose(order, plain.elements()), inverse(order))
    assert set(map(bytes, moved.elements())) == set(map(bytes, np.ascontiguousarray(expected)))
    assert (kept_shares(graph, expected) == 1).all()
    assert (kept_shares(graph, plain.elements()) == 1).mean() < 1


def test_vertices_without_an_edge_stay() -> None:
    group = discover_symmetries(Graph([[1, 3]], vertices=5))
    assert group.elements().tolist() == [[0, 1, 2, 3, 4], [0, 3, 2, 1, 4]]
    assert discover_symmetries(Graph([], vertices=3)).order == 1


def test_kept_shares_count_edges() -> None:
    rng = np.random.default_rng(1)
    edges, permutations = grid_edges(4, 4), [rng.permutation(16) for _ in range(5)]
    present = set(map(frozenset, edges.tolist()))
    expected = [np.mean([frozenset((s[i], s[j])) in present for i, j in edges]) for s in permutations]
    assert kept_shares(Graph(edges), permutations).tolist() == expected
    assert 0 < max(expected) < 1


def examples_on_a_ring(number: int = 20_000, n: int = 7) -> np.ndarray:
    """Draws from a Gaussian whose variables, given all others, depend on the next one and the one before in a ring."""
    shift = np.roll(np.eye(n), 1, axis=0)
    precision = 2.5 * np.eye(n) - 0.9 * (shift + shift.T)
    # Singular vectors would depend on the machine: a ring has equal singular values.
    rng = np.random.default_rng(2)
    return rng.multivariate_normal(np.zeros(n), np.linalg.inv(precision), number, method="cholesky")


def test_data_on_a_ring_have_its_symmetries() -> None:
    examples = examples_on_a_ring()
    graph = Graph.of_data(examples, noise=1e-3, threshold=0.1)
    assert graph.edges.tolist() == Graph([[i, (i + 1) % 7] for i in range(7)]).edges.tolist()
    assert discover_symmetries(graph).order == 14
    examples[:, 3] = np.random.default_rng(3).normal(size=len(examples))
    broken = Graph.of_data(examples, noise=1e-3, threshold=0.1)
    # What depended on it depends on each other now, by a partial correlation of 0.149: a ring of six.
    assert broken.vertices == 7 and 3 not in broken.edges and discover_symmetries(broken).order == 12


def test_weights_of_a_map_that_restores_its_inputs_have_a_graph() -> None:
    weights = np.array([[0.5, 0.3, 0.0], [0.1, 0.5, 0.0], [0.0, 0.0, 0.5]])  # Partial correlation 0.2 / 0.5.
    assert Graph.of_weights(weights, 0.39).edges.tolist() == [[0, 1]]
    assert Graph.of_weights(weights, 0.41).edges.tolist() == []
    assert Graph.of_weights(weights, 0.41).vertices == 3


def ring_like(found: PermutationAction, n: int = 7) -> bool:
    """Whether a group is that of a ring of n, in its order."""
    turned = discover_symmetries(Graph([[i, (i + 1) % n] for i in range(n)])).group
    return (
        isinstance(turned, PermutationGroup)
        and found.order == 2 * n
        and all(each in turned for each in found.elements())
    )


def test_what_is_found_is_given_to_layers_and_measures() -> None:
    found, inputs = discover_symmetries(Graph(grid_edges(3, 3))), np.random.default_rng(0).normal(size=(4, 3, 3, 1))
    assert_equivariant(EquivariantLinear(found, channels=1), inputs.reshape(4, 9), found, items(found.group))
    assert_invariant(InvariantMLP(found, 2, [3]), inputs, found)
    assert_invariant(OrbitAverage(snt.Sequential([snt.Flatten(), snt.nets.MLP([5, 2])]), found), inputs, found)
    assert invariance_error(snt.Sequential([snt.Flatten(), snt.Linear(2)]), inputs, found).overall_relative > 1e-2


def test_data_have_their_symmetries_whatever_their_offset_and_units() -> None:
    examples = examples_on_a_ring(2000)
    moved = 1000 + examples * np.geomspace(1e-3, 1e3, 7)
    assert ring_like(discover_symmetries(examples)) and ring_like(discover_symmetries(moved))
    assert ring_like(discover_symmetries(np.rint(100 * examples).astype(int)))
    found = Graph.of_data(np.insert(moved, 2, 0.1, axis=1), noise=0.03, threshold=0.13)
    assert found.vertices == 8 and 2 not in found.edges and len(found.edges) == 7  # What never changes has no edge.
    independent = 3 + np.random.default_rng(4).normal(size=(2000, 5))
    assert not len(Graph.of_data(independent, noise=0.03, threshold=0.13).edges)
    assert len(Graph.of_weights(denoiser(independent, 0.03), 0.13).edges) == 10  # What an offset alone would join.
    assert discover_symmetries(examples, threshold=0.9).order == 1
    mirrored = examples * [1, -1, 1, 1, 1, 1, 1]  # Of negative partial correlation with two others.
    assert len(Graph.of_data(mirrored, noise=0.03, threshold=0.13).edges) == 5


def test_the_defaults_are_those_of_the_topology_experiment() -> None:
    options = inspect.signature(discover_symmetries).parameters
    config = TopologyConfig()
    assert (options["noise"].default, options["threshold"].default) == (config.strength, config.threshold)


def test_a_linear_layer_that_restores_its_inputs_has_their_symmetries() -> None:
    examples = examples_on_a_ring(2000)
    weights = denoiser(examples, 0.03).astype(np.float32)
    linear, dense = snt.Linear(7), tf.keras.layers.Dense(7)
    with pytest.raises(ValueError, match="has no weights yet"):
        discover_symmetries(linear)
    with pytest.raises(ValueError, match="has no weights yet"):
        discover_symmetries(dense)
    chain = snt.Sequential([snt.Flatten(), linear])
    chain(tf.zeros([1, 7, 1]))
    dense(tf.zeros([1, 7]))
    linear.w.assign(weights)
    dense.kernel.assign(weights)
    for model in (linear, chain, dense, tf.keras.Sequential([dense])):
        assert ring_like(discover_symmetries(model))
    assert discover_symmetries(linear, threshold=0.9).order == 1
    convolution = snt.Conv2D(1, 1)
    convolution(tf.zeros([1, 1, 1, 7]))
    for model in (snt.Sequential([linear, tf.nn.relu]), snt.Sequential([linear, linear]), convolution):
        with pytest.raises(ValueError, match=r"must be one linear layer .* Graph.of_weights\(weights, threshold\)"):
            discover_symmetries(model)
    with pytest.raises(TypeError, match=r"must be a linear layer of Sonnet or Keras, .* Graph.of_weights"):
        discover_symmetries(tf.identity)
    narrow = snt.Linear(2)
    narrow(tf.zeros([1, 7]))
    with pytest.raises(ValueError, match=r"weights \(of shape \(7, 2\)\) must be \[n, n\]"):
        discover_symmetries(narrow)


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(ValueError, match=r"edges \(of shape \(2,\)\) must be pairs of vertices"):
        Graph([0, 1])
    with pytest.raises(ValueError, match=r"edges \(of shape \(0,\)\) must be pairs of vertices, one at least"):
        Graph([])
    with pytest.raises(TypeError, match=r"edges \(of type float64\) must hold integers"):
        Graph([[0.0, 1.0]])
    with pytest.raises(ValueError, match="edges must name vertices from 0 on, and not -1"):
        Graph([[-1, 1]])
    with pytest.raises(ValueError, match="edges must join different vertices, and not 2 with itself"):
        Graph([[0, 1], [2, 2]])
    with pytest.raises(ValueError, match=r"vertices \(=2\) must be at least 3"):
        Graph([[0, 2]], vertices=2)
    with pytest.raises(ValueError, match="weights"):
        Graph.of_weights(np.zeros((2, 3)), 0.1)
    with pytest.raises(ValueError, match=r"permutations \(of shape \(1, 2\)\) must be \[permutations, 3\]"):
        kept_shares(Graph([[0, 2]]), [[1, 0]])
    with pytest.raises(ValueError, match="graph must have at least one edge"):
        kept_shares(Graph([], vertices=2), [[1, 0]])
    with pytest.raises(TypeError, match=r"graph must be a Graph. Give edges as Graph\(edges\)"):
        kept_shares([[0, 1]], [[1, 0]])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"source \(integers of shape \(2, 2\)\) may be edges or examples"):
        discover_symmetries([[0, 1], [1, 2]])
    for threshold in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"threshold \(=.*\) must be at least 0, and finite"):
            Graph.of_weights(np.eye(3), threshold)
    with pytest.raises(ValueError, match="weights must be finite"):
        Graph.of_weights(np.full((3, 3), np.nan), 0.1)
    with pytest.raises(ValueError, match="source must be finite"):
        discover_symmetries([[0.0, 1.0, np.nan], [1.0, 2.0, 3.0]])
    with pytest.raises(TypeError, match=r"source \(of type <U5\) must hold real numbers"):
        discover_symmetries("MNIST")


def test_a_missing_igraph_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(ImportError, match=r"pip install weirdonetworks\[symmetry\]"):
        discover_symmetries(Graph([[0, 1]]))
