"""The topology of data: the neighbourhood graph of its variables, estimated from the weights of a linear denoiser.

A linear map W is trained to reconstruct examples x, `[n]`, of mean 0. Without regularisation it becomes the identity;
with noise of variance s on the inputs, or a ridge penalty s on the weights, it becomes `C (C + s)^-1`, C the
covariance. That is `1 - s P` with P the inverse of `C + s`, so the weights encode the partial correlations: the
correlation of two variables given all others. For pixels of images these are large between neighbours only.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, array, at_least, finite, reals
from weirdonetworks.algebra.groups.permutations import POINTS

Floats = npt.NDArray[np.float64]

LEAST_RESIDUE = 1e-3  # Below this residual variance a partial correlation is a ratio of rounding errors.


@dataclasses.dataclass(frozen=True)
class Recovery:
    """Precision and recall of the edges recovered from weights, over increasing thresholds.

    Attributes:
      thresholds: The thresholds, increasing.
      precision: The share of the recovered edges that are true; 1 where there are none.
      recall: The share of the true edges that are recovered.
    """

    thresholds: Floats
    precision: Floats
    recall: Floats

    @property
    def balanced(self) -> Floats:
        """The F1 score at each threshold, the harmonic mean of precision and recall; 0 where both are 0."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)


def standardised(examples: npt.ArrayLike) -> Floats:
    """Standardises each variable to mean 0 and variance 1 over the examples; constant variables become 0.

    >>> standardised([[1.0, 5.0], [3.0, 5.0]]).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]

    Args:
      examples: `[examples, n]`.

    Raises:
      TypeError: If the examples are not real numbers.
      ValueError: If they are not a matrix with at least one row, or not finite.
    """
    rows = checked_table(examples)
    centred = rows - rows.mean(axis=0)
    changes = np.ptp(rows, axis=0) > 0  # Else the rounding error of a constant would be scaled to variance 1.
    return np.where(changes, centred, 0) / np.where(changes, centred.std(axis=0), 1)


def denoiser(examples: npt.ArrayLike, noise: float) -> Floats:
    """Computes the linear map that best reconstructs examples from noisy copies: `C (C + noise)^-1`.

    It minimises E|W (x + e) - x|^2 over e of variance `noise` in each variable, and as well E|W x - x|^2 + noise |W|^2.

    >>> denoiser([[1.0, 1.0], [-1.0, -1.0]], noise=1.0).round(3).tolist()
    [[0.333, 0.333], [0.333, 0.333]]

    Args:
      examples: `[examples, n]`; C is their second moment, the covariance where the means are 0.
      noise: The variance of the noise, above 0.

    Returns:
      The symmetric weights, `[n, n]`.

    Raises:
      TypeError: If the examples or the noise are not real numbers.
      ValueError: If the examples are not a matrix with at least one row, the noise is not above 0, or a number is not
        finite.
    """
    rows = checked_table(examples)
    if finite("noise", noise) <= 0:
        raise ValueError(f"noise (={noise}) must be above 0: without it the identity is the solution.")
    moments = rows.T @ rows / len(rows)
    solved = np.linalg.solve(moments + noise * np.eye(len(moments)), moments)
    return (solved + solved.T) / 2


def partial_correlations(weights: npt.ArrayLike) -> Floats:
    """Converts the weights of a linear denoiser to partial correlations.

        c_ij = (w_ij + w_ji) / 2 / sqrt((1 - w_ii) (1 - w_jj)),    c_ii = 1

    For the weights of `denoiser` these are exactly the partial correlations of the noisy variables, unless some
    1 - w_ii is below `LEAST_RESIDUE` and clipped to it. They are comparable between variables of unequal residual
    variance.

    >>> partial_correlations([[0.5, 0.1], [0.1, 0.5]]).round(3).tolist()
    [[1.0, 0.2], [0.2, 1.0]]

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
    """Lists the pairs of variables whose weight, symmetrised, is above a threshold.

    >>> recovered_edges([[9.0, 2.0, 0.1], [1.0, 9.0, 0.0], [0.1, 0.0, 9.0]], 1.0).tolist()
    [[0, 1]]

    Args:
      weights: `[n, n]`.
      threshold: The lower bound of an edge's weight.

    Returns:
      The edges, `[edges, 2]`, the smaller vertex first, in lexicographic order.

    Raises:
      ValueError: If the weights are not square, a weight is not finite, or the threshold is NaN.
    """
    values = _square(weights)
    level = reals("threshold", threshold)
    if level.ndim or np.isnan(level):
        raise ValueError(f"threshold (={threshold}) must be a number.")
    return np.argwhere(np.triu((values + values.T) / 2 > level, 1))


def grid_edges(height: int, width: int, kept: npt.ArrayLike | None = None) -> Ints:
    """Lists the horizontal and vertical neighbours among the pixels of an image flattened row by row.

    >>> grid_edges(2, 2).tolist()
    [[0, 1], [0, 2], [1, 3], [2, 3]]
    >>> grid_edges(2, 2, kept=[True, True, False, True]).tolist()
    [[0, 1], [1, 3]]

    Args:
      height: The number of rows, at least 1.
      width: The number of columns, at least 1.
      kept: Mask of the pixels to include, booleans `[height * width]`; None for all.

    Returns:
      The edges between included pixels, `[edges, 2]`, the smaller pixel first, in lexicographic order.

    Raises:
      ValueError: If a size is below 1, or `kept` has another length.
    """
    size = at_least("height * width", at_least("height", height, 1) * at_least("width", width, 1), 1, POINTS)
    points = np.arange(size).reshape(height, width)
    across, down = (points[:, :-1], points[:, 1:]), (points[:-1], points[1:])
    edges = np.concatenate([np.stack([one.ravel(), other.ravel()], axis=1) for one, other in (across, down)])
    edges = edges[np.lexsort(edges.T[::-1])]
    if kept is None:
        return edges
    counts = array("kept", kept).astype(bool)
    if counts.shape != (points.size,):
        raise ValueError(f"kept (of shape {counts.shape}) must hold a boolean for each of the {points.size} pixels.")
    return edges[counts[edges].all(axis=1)]


def recovery(weights: npt.ArrayLike, edges: npt.ArrayLike, thresholds: npt.ArrayLike) -> Recovery:
    """Computes precision and recall of `recovered_edges` against the true edges at each threshold.

    >>> recovery([[1.0, 0.6], [0.4, 1.0]], [[0, 1]], [0.2, 0.8]).recall.tolist()
    [1.0, 0.0]

    Args:
      weights: `[n, n]`. To exclude a vertex, delete its row and column or set them to 0.
      edges: The true edges, `[edges, 2]`, at least one, in either direction; repeated edges count once.
      thresholds: The thresholds, in any order.

    Raises:
      ValueError: If the weights are not square or not finite, or the edges are not pairs of distinct vertices.
    """
    values = _square(weights)
    pairs = array("edges", edges)
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
    levels = np.sort(reals("thresholds", thresholds).ravel())
    found = _above(means[np.triu_indices(len(values), 1)], levels)
    true = _above(means[pairs[:, 0], pairs[:, 1]], levels)
    precision = np.divide(true, found, out=np.ones(len(levels)), where=found > 0)
    return Recovery(levels, precision, true / len(pairs))


def _above(values: Floats, levels: Floats) -> npt.NDArray[np.intp]:
    """Counts the values above each level."""
    return len(values) - np.searchsorted(np.sort(values), levels, side="right")


def checked_table(examples: npt.ArrayLike, name: str = "examples") -> Floats:
    """Returns examples `[examples, n]` in float64; messages call them `name`."""
    rows = array(name, examples)
    if rows.dtype.kind not in "biuf":
        raise TypeError(f"{name} (of type {rows.dtype}) must hold real numbers.")
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"{name} (of shape {rows.shape}) must be [examples, n], one at least.")
    values = rows.astype(np.float64, copy=False)  # Products of bytes would overflow.
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite.")
    return values


def _square(weights: npt.ArrayLike) -> Floats:
    values = reals("weights", weights)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"weights (of shape {values.shape}) must be [n, n].")
    if not np.isfinite(values).all():
        raise ValueError("weights must be finite.")
    return values
