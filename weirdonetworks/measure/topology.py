"""The topology of data: which of its variables are neighbours, read off a linear map that restores the data.

A linear map W learns to reproduce examples x, `[n]`, each variable of mean 0. Left alone it would become the identity;
with noise of variance s on the inputs, or a ridge of s on the weights, it becomes `C (C + s)^-1`, C the covariance.
That is `1 - s P` with P the inverse of `C + s`, so its weights hold the partial correlations: how two variables go
together once all others are known. Of the pixels of images, those are large between neighbours and nowhere else.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, at_least, finite

Floats = npt.NDArray[np.float64]

LEAST_RESIDUE = 1e-3  # Of a variable restored better than that, partial correlations would be noise over noise.


@dataclasses.dataclass(frozen=True)
class Recovery:
    """How well the graph of the weights above a threshold matches the true one, over rising thresholds.

    Attributes:
      thresholds: The thresholds, rising.
      precision: The share of the graph's edges that are true; 1 where it has none.
      recall: The share of the true edges that the graph has.
    """

    thresholds: Floats
    precision: Floats
    recall: Floats

    @property
    def balanced(self) -> Floats:
        """The harmonic mean of precision and recall (F1) at each threshold; 0 where both are."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)


def standardised(examples: npt.ArrayLike) -> Floats:
    """Scales each variable to mean 0 and variance 1 over the examples; one that never changes becomes 0.

    >>> standardised([[1.0, 5.0], [3.0, 5.0]]).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]

    Args:
      examples: `[examples, n]`.

    Raises:
      TypeError: If they are no real numbers.
      ValueError: If they are no such table, or not finite.
    """
    rows = _table(examples)
    centred = rows - rows.mean(axis=0)
    changes = np.ptp(rows, axis=0) > 0  # Rounding alone would be scaled up.
    return np.where(changes, centred, 0) / np.where(changes, centred.std(axis=0), 1)


def denoiser(examples: npt.ArrayLike, noise: float) -> Floats:
    """Solves for the linear map that best restores examples from themselves with noise: `C (C + noise)^-1`.

    It minimises E|W (x + e) - x|^2 over e of variance `noise` in each variable, and as well E|W x - x|^2 + noise |W|^2.

    >>> denoiser([[1.0, 1.0], [-1.0, -1.0]], noise=1.0).round(3).tolist()
    [[0.333, 0.333], [0.333, 0.333]]

    Args:
      examples: `[examples, n]`; C is their second moment, the covariance where the means are 0.
      noise: Above 0.

    Returns:
      The symmetric weights, `[n, n]`.

    Raises:
      TypeError: If the examples are no real numbers, or the noise is none.
      ValueError: If the examples are no such table, the noise is not above 0, or a number is not finite.
    """
    rows = _table(examples)
    if finite("noise", noise) <= 0:
        raise ValueError(f"noise (={noise}) must be above 0: without it the identity is the solution.")
    moments = rows.T @ rows / len(rows)
    solved = np.linalg.solve(moments + noise * np.eye(len(moments)), moments)
    return (solved + solved.T) / 2


def partial_correlations(weights: npt.ArrayLike) -> Floats:
    """Scales the weights of a map that restores its inputs to partial correlations.

        c_ij = (w_ij + w_ji) / 2 / sqrt((1 - w_ii) (1 - w_jj)),    c_ii = 1

    For the weights of `denoiser` these are exactly the partial correlations of the noisy variables (if no 1 - w_ii is
    below `LEAST_RESIDUE`, as which it then counts). Pairs that are restored well and pairs that are not become
    comparable by them.

    Args:
      weights: `[n, n]`.

    Raises:
      ValueError: If the weights are not square, or not finite.
    """
    values = _square(weights)
    residues = np.sqrt(np.maximum(1 - np.diag(values), LEAST_RESIDUE))
    scaled = (values + values.T) / 2 / np.outer(residues, residues)
    np.fill_diagonal(scaled, 1.0)
    return scaled


def recovered_edges(weights: npt.ArrayLike, threshold: float) -> Ints:
    """Lists the pairs whose weight, the mean of both directions, is above a threshold.

    >>> recovered_edges([[9.0, 2.0, 0.1], [1.0, 9.0, 0.0], [0.1, 0.0, 9.0]], 1.0).tolist()
    [[0, 1]]

    Args:
      weights: `[n, n]`.
      threshold: What a weight must exceed.

    Returns:
      The edges, `[edges, 2]`, the smaller vertex first, in lexicographic order.

    Raises:
      ValueError: If the weights are not square, a weight is not finite, or the threshold is NaN.
    """
    values = _square(weights)
    if np.isnan(threshold):
        raise ValueError(f"threshold (={threshold}) must be a number.")
    return np.argwhere(np.triu((values + values.T) / 2 > threshold, 1))


def grid_edges(height: int, width: int, kept: npt.ArrayLike | None = None) -> Ints:
    """Lists the pairs of pixels side by side, one above the other, in an image flattened row by row.

    >>> grid_edges(2, 2).tolist()
    [[0, 1], [0, 2], [1, 3], [2, 3]]
    >>> grid_edges(2, 2, kept=[True, True, False, True]).tolist()
    [[0, 1], [1, 3]]

    Args:
      height: Rows, at least 1.
      width: Columns, at least 1.
      kept: Which pixels count, booleans `[height * width]`; all if None.

    Returns:
      The edges between pixels that count, `[edges, 2]`, the smaller pixel first, in lexicographic order.

    Raises:
      ValueError: If a size is below 1, or `kept` has another length.
    """
    points = np.arange(at_least("height", height, 1) * at_least("width", width, 1)).reshape(height, width)
    across, down = (points[:, :-1], points[:, 1:]), (points[:-1], points[1:])
    edges = np.concatenate([np.stack([one.ravel(), other.ravel()], axis=1) for one, other in (across, down)])
    edges = edges[np.lexsort(edges.T[::-1])]
    if kept is None:
        return edges
    counts = np.asarray(kept, bool)
    if counts.shape != (points.size,):
        raise ValueError(f"kept (of shape {counts.shape}) must hold a boolean for each of the {points.size} pixels.")
    return edges[counts[edges].all(axis=1)]


def recovery(weights: npt.ArrayLike, edges: npt.ArrayLike, thresholds: npt.ArrayLike) -> Recovery:
    """Measures how well the graphs of `recovered_edges` match the true edges.

    >>> recovery([[1.0, 0.6], [0.4, 1.0]], [[0, 1]], [0.2, 0.8]).recall.tolist()
    [1.0, 0.0]

    Args:
      weights: `[n, n]`. To leave a vertex out, leave out its row and column, or make them 0.
      edges: The true edges, `[edges, 2]`, one at least, in either direction; what is repeated counts once.
      thresholds: The thresholds; they are sorted.

    Raises:
      ValueError: If the weights are not square, or not finite, or the edges are no pairs of different vertices.
    """
    values = _square(weights)
    pairs = np.asarray(edges)
    if (
        pairs.ndim != 2
        or pairs.shape[1:] != (2,)
        or not len(pairs)
        or not 0 <= pairs.min() <= pairs.max() < len(values)
    ):
        raise ValueError(f"edges (of shape {pairs.shape}) must be pairs of the {len(values)} vertices, one at least.")
    loops = pairs[pairs[:, 0] == pairs[:, 1]]
    if len(loops):
        raise ValueError(f"edges must join different vertices, and not {loops[0, 0]} with itself.")
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    means = (values + values.T) / 2
    levels = np.sort(np.asarray(thresholds, np.float64).ravel())
    found = _above(means[np.triu_indices(len(values), 1)], levels)
    true = _above(means[pairs[:, 0], pairs[:, 1]], levels)
    precision = np.divide(true, found, out=np.ones(len(levels)), where=found > 0)
    return Recovery(levels, precision, true / len(pairs))


def _above(values: Floats, levels: Floats) -> npt.NDArray[np.intp]:
    """Counts the values above each level."""
    return len(values) - np.searchsorted(np.sort(values), levels, side="right")


def _table(examples: npt.ArrayLike) -> Floats:
    rows = np.asarray(examples)
    if rows.dtype.kind not in "biuf":
        raise TypeError(f"examples (of type {rows.dtype}) must hold real numbers.")
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"examples (of shape {rows.shape}) must be [examples, n], one at least.")
    values = rows.astype(np.float64, copy=False)  # The products of bytes would overflow.
    if not np.isfinite(values).all():
        raise ValueError("examples must be finite.")
    return values


def _square(weights: npt.ArrayLike) -> Floats:
    values = np.asarray(weights, np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"weights (of shape {values.shape}) must be [n, n].")
    if not np.isfinite(values).all():
        raise ValueError("weights must be finite.")
    return values
