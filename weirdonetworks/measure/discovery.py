"""The permutation symmetries of data and of models, found as the automorphisms of a graph of their variables.

A permutation of variables is a symmetry of a graph if it takes each edge to an edge. Of a graph that is known the
symmetries are exact. A graph that is estimated from data misses some edges and has some too many, so that hardly any
permutation keeps them all; how near one comes to it is its share of kept edges.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks import extras
from weirdonetworks.algebra.actions import PermutationAction, points
from weirdonetworks.algebra.arrays import Ints, at_least, finite
from weirdonetworks.algebra.groups import PermutationGroup, trivial_group
from weirdonetworks.algebra.permutations import as_permutations
from weirdonetworks.measure.topology import denoiser, partial_correlations, recovered_edges, standardised

NOISE, THRESHOLD = 0.03, 0.13


class Graph:
    """An undirected graph without loops.

    >>> graph = Graph([[1, 0], [2, 1], [0, 1]])
    >>> graph.vertices, graph.edges.tolist()
    (3, [[0, 1], [1, 2]])

    Attributes:
      edges: The edges, `[edges, 2]`, each once, the smaller vertex first, in lexicographic order.
      vertices: How many vertices there are, those without an edge among them.
    """

    def __init__(self, edges: npt.ArrayLike, vertices: int | None = None):
        """Makes a graph.

        Args:
          edges: The edges, `[edges, 2]`, in any order and direction; what is repeated counts once.
          vertices: How many vertices there are; if None, no more than the edges name.

        Raises:
          TypeError: If a vertex is no integer.
          ValueError: If the edges are no pairs of different vertices, one at least unless `vertices` is given, or name
            more vertices than there are.
        """
        pairs = np.asarray(edges)
        if not pairs.size and vertices is not None:
            pairs = np.zeros((0, 2), np.intp)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or (vertices is None and not len(pairs)):
            raise ValueError(f"edges (of shape {pairs.shape}) must be pairs of vertices, one at least.")
        if pairs.dtype.kind not in "iu":
            raise TypeError(f"edges (of type {pairs.dtype}) must hold integers.")
        if pairs.min(initial=0) < 0:
            raise ValueError(f"edges must name vertices from 0 on, and not {pairs.min()}.")
        loops = pairs[pairs[:, 0] == pairs[:, 1]]
        if len(loops):
            raise ValueError(f"edges must join different vertices, and not {loops[0, 0]} with itself.")
        named = int(pairs.max(initial=0)) + 1
        self.edges: Ints = np.unique(np.sort(pairs.astype(np.intp), axis=1), axis=0)
        self.vertices = named if vertices is None else at_least("vertices", vertices, named)

    def __repr__(self) -> str:
        return f"<Graph of {self.vertices} vertices and {len(self.edges)} edges>"

    @classmethod
    def of_weights(cls, weights: npt.ArrayLike, threshold: float) -> "Graph":
        """Reads the graph off a linear map that restores its inputs: partial correlations above a threshold are edges.

        Negative ones are none, however large.

        Args:
          weights: `[n, n]`, those of a denoiser or a linear autoencoder; of other maps they say nothing of neighbours.
          threshold: What a partial correlation must exceed, at least 0.

        Raises:
          TypeError: If the threshold is no number.
          ValueError: If the weights are not square, a number is not finite, or the threshold is negative.
        """
        finite("threshold", threshold, least=0)
        links = partial_correlations(weights)
        return cls(recovered_edges(links, threshold), len(links))

    @classmethod
    def of_data(cls, examples: npt.ArrayLike, *, noise: float, threshold: float) -> "Graph":
        """Estimates the graph of data: that of the linear map that best restores examples from themselves with noise.

        Each variable is first scaled to mean 0 and variance 1, so that neither its offset nor its unit counts.

        Args:
          examples: `[examples, n]`.
          noise: The variance of the noise, above 0; see `topology.denoiser`.
          threshold: As in `of_weights`.

        Raises:
          TypeError: If the examples, the noise or the threshold are no real numbers.
          ValueError: As `topology.denoiser` and `of_weights`.
        """
        return cls.of_weights(denoiser(standardised(examples), noise), threshold)

    @classmethod
    def of_model(cls, model: Any, threshold: float) -> "Graph":
        """Reads the graph off a linear layer that has learned to restore its inputs, as `of_weights`.

        Args:
          model: A linear layer of Sonnet or Keras with as many outputs as inputs, or a chain of such a layer alone,
            what comes before it left aside; it has been called. Its bias does not count.
          threshold: As in `of_weights`.

        Raises:
          TypeError: If the model is no such layer or chain.
          ValueError: If more than the layer is in it, or it has not been called, or as in `of_weights`.
        """
        import sonnet as snt
        import tensorflow as tf

        from weirdonetworks.measure.layer_chain import layers_of

        remedy = "Of another give Graph.of_weights(weights, threshold)."
        if not isinstance(model, snt.Linear | snt.Sequential | tf.keras.layers.Dense | tf.keras.Sequential):
            raise TypeError(
                f"model (={model!r}) must be a linear layer of Sonnet or Keras, or a chain of one. {remedy}"
            )
        layer, *others = layers_of(model)
        if others or layer.activation or layer.norm or layer.weights.shape.rank != 2:
            raise ValueError(f"model (={model!r}) must be one linear layer and nothing after it. {remedy}")
        return cls.of_weights(layer.weights.numpy(), threshold)


def discover_symmetries(source: Any, *, noise: float = NOISE, threshold: float = THRESHOLD) -> PermutationAction:
    """Finds the permutation symmetries of data or of a model, as those of the graph of their variables; or of a graph.

        {s(i), s(j)} is an edge for each edge {i, j}, and s(i) = i for each vertex i without an edge

    They are the group of all such permutations s. Any two vertices without an edge could be exchanged, but nothing is
    known of them, so they stay in place.

    The defaults are those at which `experiments.topology` recovers the grid from shuffled images: the threshold lies
    between the partial correlations of neighbours and those of most other pixels. By chance alone one is some
    1 / sqrt(examples) in size, so of a few hundred examples the threshold should be higher.

    >>> from weirdonetworks.measure.topology import grid_edges
    >>> discover_symmetries(Graph(grid_edges(28, 28))).order  # The turns and mirror images of a square.
    8
    >>> walks = np.random.default_rng(0).normal(size=(2000, 4)).cumsum(axis=1)
    >>> discover_symmetries(walks).elements().tolist()  # Each step depends on the one before: a path, or its reverse.
    [[0, 1, 2, 3], [3, 2, 1, 0]]

    Args:
      source: A `Graph`; examples, `[examples, n]`, of which `Graph.of_data` makes one; or a linear layer that has
        learned to restore its inputs, of which `Graph.of_model` does. Edges are given as `Graph(edges)`.
      noise: Of examples, the variance of the noise, where each variable has variance 1.
      threshold: Of examples or a model, what a partial correlation must exceed to be an edge.

    Returns:
      The action of the group on the vertices, `points(group)`, for layers and measures; the group, exact, is its
      `group`. Found by BLISS (Junttila & Kaski 2007), in igraph.

    Raises:
      ImportError: If igraph is not installed.
      TypeError, ValueError: As the methods of `Graph`, or if the examples are pairs of integers, as edges are.
    """
    if isinstance(source, Graph):
        graph = source
    elif callable(source):
        graph = Graph.of_model(source, threshold)
    else:
        examples = np.asarray(source)
        if examples.ndim == 2 and examples.shape[1] == 2 and examples.dtype.kind in "iu":
            raise ValueError(
                f"source (integers of shape {examples.shape}) may be edges or examples. Give Graph(edges), or examples "
                "in floating point."
            )
        graph = Graph.of_data(examples, noise=noise, threshold=threshold)
    colours = 1 + np.arange(graph.vertices)  # A vertex of a colour of its own cannot move.
    colours[graph.edges] = 0
    searched = _igraph().Graph(n=graph.vertices, edges=graph.edges.tolist())
    generators = searched.automorphism_group(color=colours.tolist())
    return points(PermutationGroup(generators) if generators else trivial_group(graph.vertices))


def kept_shares(graph: Graph, permutations: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Measures the share of a graph's edges that each of some permutations takes to edges.

    Of the permutations that leave vertices without an edge in place, it is 1 for the symmetries of the graph and for no
    other.

    >>> kept_shares(Graph([[0, 1], [1, 2]]), [[2, 1, 0], [1, 0, 2]]).tolist()
    [1.0, 0.5]

    Args:
      graph: A graph with an edge at least.
      permutations: Permutations of its vertices, `[permutations, vertices]`.

    Raises:
      TypeError: If the graph is none, or a permutation does not hold integers.
      ValueError: If one is no permutation of the vertices, or there is no edge.
    """
    if not isinstance(graph, Graph):
        raise TypeError("graph must be a Graph. Give edges as Graph(edges).")
    elements = as_permutations(permutations)
    if elements.ndim != 2 or elements.shape[1] != graph.vertices:
        raise ValueError(f"permutations (of shape {elements.shape}) must be [permutations, {graph.vertices}].")
    if not len(graph.edges):
        raise ValueError("graph must have an edge, for there to be a share.")
    is_edge = np.zeros((graph.vertices, graph.vertices), bool)
    is_edge[tuple(graph.edges.T)] = is_edge[tuple(graph.edges.T[::-1])] = True
    one, other = elements[:, graph.edges[:, 0]], elements[:, graph.edges[:, 1]]
    return is_edge[one, other].mean(axis=1)


def _igraph() -> Any:
    with extras.needed("symmetry", "finding symmetries needs it", "igraph"):
        import igraph
    return igraph
