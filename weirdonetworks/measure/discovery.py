"""The permutation symmetries of data and of models, found as the automorphisms of a graph of their variables.

A permutation of variables is a symmetry of a graph if it takes each edge to an edge. Of a graph that is known the
symmetries are exact. A graph that is estimated from data misses some edges and has some too many, so that hardly any
permutation keeps them all; how near one comes to it is its share of kept edges.
"""

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, at_least
from weirdonetworks.algebra.groups import PermutationGroup, trivial_group
from weirdonetworks.algebra.permutations import as_permutations
from weirdonetworks.measure.topology import denoiser, partial_correlations, recovered_edges


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

        Args:
          weights: `[n, n]`, those of a denoiser or a linear autoencoder; of other maps they say nothing of neighbours.
          threshold: What a partial correlation must exceed.

        Raises:
          ValueError: If the weights are not square.
        """
        links = partial_correlations(weights)
        return cls(recovered_edges(links, threshold), len(links))

    @classmethod
    def of_data(cls, examples: npt.ArrayLike, *, noise: float, threshold: float) -> "Graph":
        """Estimates the graph of data: that of the linear map that best restores examples from themselves with noise.

        Args:
          examples: `[examples, n]`, each variable of mean 0, all of like size.
          noise: The variance of the noise, above 0; see `topology.denoiser`.
          threshold: What a partial correlation must exceed.

        Raises:
          ValueError: As `topology.denoiser`.
        """
        return cls.of_weights(denoiser(examples, noise), threshold)


def discover_symmetries(graph: Graph | npt.ArrayLike) -> PermutationGroup:
    """Finds the group of all permutations of a graph's vertices that take each edge to an edge.

        {s(i), s(j)} is an edge for each edge {i, j}

    Of data and of a model it is the group of their graph: `Graph.of_data`, `Graph.of_weights`. A vertex without an edge
    stays in place, though any two such could be exchanged: nothing is known of it.

    >>> from weirdonetworks.measure.topology import grid_edges
    >>> discover_symmetries(grid_edges(28, 28)).order  # The turns and mirror images of a square.
    8

    Args:
      graph: A graph, or its edges, `[edges, 2]`.

    Returns:
      The group on the vertices, exact; found by BLISS (Junttila & Kaski 2007), in igraph.

    Raises:
      ImportError: If igraph is not installed.
      TypeError, ValueError: As `Graph`.
    """
    known = graph if isinstance(graph, Graph) else Graph(graph)
    colours = 1 + np.arange(known.vertices)  # A vertex of a colour of its own cannot move.
    colours[known.edges] = 0
    searched = _igraph().Graph(n=known.vertices, edges=known.edges.tolist())
    generators = searched.automorphism_group(color=colours.tolist())
    return PermutationGroup(generators) if generators else trivial_group(known.vertices)


def kept_shares(graph: Graph | npt.ArrayLike, permutations: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Measures the share of a graph's edges that each of some permutations takes to edges.

    It is 1 for the symmetries of the graph and for no other permutation.

    >>> kept_shares([[0, 1], [1, 2]], [[2, 1, 0], [1, 0, 2]]).tolist()
    [1.0, 0.5]

    Args:
      graph: A graph, or its edges; one edge at least.
      permutations: Permutations of its vertices, `[permutations, vertices]`.

    Raises:
      TypeError: If a permutation does not hold integers.
      ValueError: If one is no permutation of the vertices, or there is no edge.
    """
    known = graph if isinstance(graph, Graph) else Graph(graph)
    elements = as_permutations(permutations)
    if elements.ndim != 2 or elements.shape[1] != known.vertices:
        raise ValueError(f"permutations (of shape {elements.shape}) must be [permutations, {known.vertices}].")
    if not len(known.edges):
        raise ValueError("graph must have an edge, for there to be a share.")
    is_edge = np.zeros((known.vertices, known.vertices), bool)
    is_edge[tuple(known.edges.T)] = is_edge[tuple(known.edges.T[::-1])] = True
    one, other = elements[:, known.edges[:, 0]], elements[:, known.edges[:, 1]]
    return is_edge[one, other].mean(axis=1)


def _igraph() -> Any:
    try:
        return importlib.import_module("igraph")
    except ImportError as error:
        raise ImportError(
            "igraph is not installed, and finding symmetries needs it: pip install weirdonetworks[symmetry]."
        ) from error
