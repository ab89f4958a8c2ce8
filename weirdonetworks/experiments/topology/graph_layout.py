"""Layout of graphs in the plane."""

from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks import extras


def check() -> None:
    """Checks, before any training, that graphs can be laid out.

    Raises:
      ImportError: If igraph is not installed.
    """
    _igraph()


def unfolded(edges: npt.ArrayLike) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Lays out the largest connected component of a graph, distances in the plane near those along the edges.

    Multidimensional scaling unfolds it, and the springs of Kamada & Kawai (An algorithm for drawing general undirected
    graphs, 1989) even it out. A grid comes out as a grid.

    Args:
      edges: Pairs of vertices, `[edges, 2]`, one at least.

    Returns:
      The vertices of that component, rising, and their coordinates, `[vertices, 2]`.

    Raises:
      ImportError: If igraph is not installed.
      ValueError: If there is no edge.
    """
    pairs = np.asarray(edges)
    if pairs.ndim != 2 or pairs.shape[1:] != (2,) or not len(pairs):
        raise ValueError(f"edges (of shape {pairs.shape}) must be pairs of vertices, one at least.")
    graph = _igraph().Graph(edges=pairs.tolist())
    vertices = np.sort(max(graph.connected_components(), key=len))
    part = graph.induced_subgraph(vertices.tolist())
    layout = part.layout_kamada_kawai(seed=part.layout_mds())
    return vertices, np.array(layout.coords)


def _igraph() -> Any:
    with extras.needed("symmetry", "drawing graphs needs it", "igraph"):
        import igraph
    return igraph
