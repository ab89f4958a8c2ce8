"""Discovery of permutation symmetries of data and models, as automorphisms of a graph of their variables.

A permutation of the variables is an automorphism of a graph if it maps each edge to an edge. The symmetries of a known
graph are exact. A graph estimated from data misses some edges and has some spurious ones, so that hardly any
permutation preserves all edges; the share of edges preserved tells how close one comes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks import extras
from weirdonetworks.algebra.actions import PermutationAction, points
from weirdonetworks.algebra.arrays import Ints, array, at_least, finite
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup, trivial_group
from weirdonetworks.algebra.groups.permutations import as_permutations
from weirdonetworks.measure.topology import checked_table, denoiser, partial_correlations, recovered_edges, standardised

NOISE, THRESHOLD = 0.03, 0.13
OTHERWISE = "For any other model pass Graph.of_weights(weights, threshold)."


class Graph:
    """An undirected simple graph.

    >>> graph = Graph([[1, 0], [2, 1], [0, 1]])
    >>> graph.vertices, graph.edges.tolist()
    (3, [[0, 1], [1, 2]])

    Attributes:
      edges: The edges, `[edges, 2]`, each once, the smaller vertex first, in lexicographic order.
      vertices: The number of vertices, isolated ones included.
    """

    def __init__(self, edges: npt.ArrayLike, vertices: int | None = None):
        """Makes a graph.

        Args:
          edges: The edges, `[edges, 2]`, in any order and direction; repeated edges count once.
          vertices: The number of vertices; None for one more than the largest vertex in `edges`.

        Raises:
          TypeError: If a vertex is not an integer.
          ValueError: If the edges are not pairs of distinct vertices in [0, vertices), or there is none and `vertices`
            is None.
        """
        pairs = array("edges", edges)
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
        """Makes the graph whose edges are the partial correlations above a threshold in a denoiser's weights.

        Negative partial correlations, however large, are not edges.

        Args:
          weights: The weights of a linear denoiser or autoencoder, `[n, n]`; the weights of other maps do not encode
            partial correlations.
          threshold: The lower bound of an edge's partial correlation, at least 0.

        Raises:
          TypeError: If the threshold is not a number.
          ValueError: If the weights are not square, a number is not finite, or the threshold is negative.
        """
        finite("threshold", threshold, least=0)
        links = partial_correlations(weights)
        return cls(recovered_edges(links, threshold), len(links))

    @classmethod
    def of_data(cls, examples: npt.ArrayLike, *, noise: float, threshold: float) -> "Graph":
        """Estimates the graph of the variables of data, from the weights of the optimal linear denoiser.

        Each variable is first standardised to mean 0 and variance 1.

        Args:
          examples: The data, `[examples, n]`.
          noise: The variance of the noise, above 0; see `topology.denoiser`.
          threshold: As in `of_weights`.

        Raises:
          TypeError: If the examples, the noise or the threshold are not real numbers.
          ValueError: As `topology.denoiser` and `of_weights`.
        """
        return cls.of_weights(denoiser(standardised(examples), noise), threshold)

    @classmethod
    def of_model(cls, model: Any, threshold: float) -> "Graph":
        """Makes the graph of a linear layer trained to reconstruct its inputs, as `of_weights` does of its weights.

        Args:
          model: A linear layer of Sonnet or Keras with as many outputs as inputs, or a model of one alone; called once,
            so that its weights exist. Its bias is ignored.
          threshold: As in `of_weights`.

        Raises:
          TypeError: If the model is none of Sonnet or Keras, with variables.
          ValueError: If it has other weights, has not been called, or is more than its weights times the inputs; or as
            in `of_weights`.
        """
        import tensorflow as tf

        _checked_model(model, "model")
        try:
            matrices = [np.asarray(each) for each in model.trainable_variables if len(each.shape) >= 2]
        except ValueError:  # Sonnet's complaint that there are none.
            matrices = []
        if not matrices:
            raise ValueError(f"model (={model!r}) has no weights yet. Call the model once.")
        weights = matrices[0]
        if len(matrices) > 1 or weights.ndim > 2:
            raise ValueError(f"model (={model!r}) must be one linear layer and nothing after it. {OTHERWISE}")
        inputs = np.random.default_rng(0).normal(size=(64, len(weights))).astype(weights.dtype)
        outputs = np.asarray(model(tf.constant(inputs))) - np.asarray(model(tf.zeros_like(inputs)))
        if outputs.shape != (64, weights.shape[1]) or not np.allclose(outputs, inputs @ weights, rtol=1e-3, atol=1e-3):
            raise ValueError(f"model (={model!r}) must be one linear layer and nothing after it. {OTHERWISE}")
        return cls.of_weights(weights, threshold)


def discover_symmetries(source: Any, *, noise: float = NOISE, threshold: float = THRESHOLD) -> PermutationAction:
    """Finds the permutation symmetries of data, a linear model or a graph: the automorphisms of the graph of variables.

        {s(i), s(j)} is an edge for each edge {i, j}, and s(i) = i for each vertex i without an edge

    The result is the group of all such permutations s. Isolated vertices are fixed: the graph holds no evidence that
    they are interchangeable.

    With the defaults `experiments.topology` recovers the pixel grid from shuffled images: the threshold lies between
    the partial correlations of neighbours and those of most other pixels. The partial correlation of independent
    variables is about 1 / sqrt(examples) in size, so a few hundred examples need a higher threshold.

    >>> from weirdonetworks.measure.topology import grid_edges
    >>> discover_symmetries(Graph(grid_edges(28, 28))).order  # The turns and mirror images of a square.
    8
    >>> walks = np.random.default_rng(0).normal(size=(2000, 4)).cumsum(axis=1)
    >>> discover_symmetries(walks).elements().tolist()  # Each step depends on the one before: a path, or its reverse.
    [[0, 1, 2, 3], [3, 2, 1, 0]]

    Args:
      source: A `Graph`; examples, `[examples, n]`, for `Graph.of_data`; or a linear layer trained to reconstruct its
        inputs, for `Graph.of_model`. For a list of edges pass `Graph(edges)`.
      noise: For examples, the variance of the noise relative to variables of variance 1.
      threshold: For examples or a model, the lower bound of an edge's partial correlation.

    Returns:
      The action `points(group)` of the automorphism group on the vertices, for layers and measures. The group is exact,
      computed by BLISS (Junttila & Kaski 2007) in igraph.

    Raises:
      ImportError: If igraph is not installed.
      TypeError, ValueError: As the methods of `Graph`, or if the examples are pairs of integers, as edges would be.
    """
    if isinstance(source, Graph):
        graph = source
    elif callable(source):
        graph = Graph.of_model(_checked_model(source, "source"), threshold)
    else:
        examples = array("source", source)
        if examples.ndim == 2 and examples.shape[1] == 2 and examples.dtype.kind in "iu":
            raise ValueError(
                f"source (integers of shape {examples.shape}) may be edges or examples. Give Graph(edges), or examples "
                "in floating point."
            )
        graph = Graph.of_data(checked_table(examples, "source"), noise=noise, threshold=threshold)
    colours = 1 + np.arange(graph.vertices)  # A vertex with a unique colour is fixed.
    colours[graph.edges] = 0
    searched = _igraph().Graph(n=graph.vertices, edges=graph.edges.tolist())
    generators = searched.automorphism_group(color=colours.tolist())
    return points(PermutationGroup(generators) if generators else trivial_group(graph.vertices))


def kept_shares(graph: Graph, permutations: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Computes the share of a graph's edges that each permutation maps to edges.

    Among permutations that fix isolated vertices it is 1 exactly for the automorphisms.

    >>> kept_shares(Graph([[0, 1], [1, 2]]), [[2, 1, 0], [1, 0, 2]]).tolist()
    [1.0, 0.5]

    Args:
      graph: A graph with at least one edge.
      permutations: Permutations of its vertices, `[permutations, vertices]`.

    Raises:
      TypeError: If `graph` is not a `Graph`, or the permutations are not integers.
      ValueError: If a row is not a permutation of the vertices, or the graph has no edge.
    """
    if not isinstance(graph, Graph):
        raise TypeError("graph must be a Graph. Give edges as Graph(edges).")
    elements = as_permutations(permutations, "permutations")
    if elements.ndim != 2 or elements.shape[1] != graph.vertices:
        raise ValueError(f"permutations (of shape {elements.shape}) must be [permutations, {graph.vertices}].")
    if not len(graph.edges):
        raise ValueError("graph must have at least one edge.")
    is_edge = np.zeros((graph.vertices, graph.vertices), bool)
    is_edge[tuple(graph.edges.T)] = is_edge[tuple(graph.edges.T[::-1])] = True
    one, other = elements[:, graph.edges[:, 0]], elements[:, graph.edges[:, 1]]
    return is_edge[one, other].mean(axis=1)


def _checked_model(model: Any, name: str) -> Any:
    if not hasattr(type(model), "trainable_variables"):
        raise TypeError(
            f"{name} (={model!r}) must be a linear layer of Sonnet or Keras, or a chain of one. {OTHERWISE}"
        )
    return model


def _igraph() -> Any:
    with extras.needed("symmetry", "finding symmetries needs it", "igraph"):
        import igraph
    return igraph
