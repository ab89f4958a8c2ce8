"""k-nearest-neighbour classification."""

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, at_least, shown

QUERIES = 1000  # Per chunk, to keep the matrix of distances small.
NUMBERS = 2**20  # Subtracted at once.
LARGEST = 1e150  # Whose square is finite.
EPSILON = float(np.finfo(np.float64).eps)


def nearest_labels(stored: npt.ArrayLike, labels: npt.ArrayLike, queries: npt.ArrayLike, k: int = 1) -> Ints:
    """Classifies queries by majority vote of their k nearest stored examples in Euclidean distance.

    Ties between labels go to the label of the nearest example, ties in distance to the example stored first.

    >>> nearest_labels([[0.0], [1.0], [1.2]], [4, 7, 7], [[0.1], [0.9]], k=1).tolist()
    [4, 7]
    >>> nearest_labels([[0.0], [1.0], [1.2]], [4, 7, 7], [[0.1], [0.9]], k=3).tolist()
    [7, 7]

    Args:
      stored: Examples, `[examples, ...]`, flattened.
      labels: Their labels, integers of at least 0, `[examples]`.
      queries: The examples to classify, `[queries, ...]`, at least one, flattened.
      k: The number of neighbours that vote, in [1, examples].

    Returns:
      The predicted labels, `[queries]`.

    Raises:
      TypeError: If k is not an integer.
      ValueError: If k is out of range, a label is not an integer of at least 0, there are no examples or no queries,
        a number is NaN, infinite or above 1e150 in size, or the shapes do not match.
    """
    known, asked = _rows("stored", stored), _rows("queries", queries)
    classes = np.asarray(labels)
    if classes.shape != (len(known),) or known.shape[1] != asked.shape[1]:
        raise ValueError(
            f"stored (of shape {np.shape(stored)}), labels (of shape {classes.shape}) and queries (of shape "
            f"{np.shape(queries)}) must be [examples, ...], [examples] and [queries, ...]."
        )
    if not np.issubdtype(classes.dtype, np.integer) or classes.min() < 0:
        raise ValueError(f"labels (={shown(classes)}) must be integers of at least 0.")
    if at_least("k", k, 1) > len(known):
        raise ValueError(f"k (={k}) must be at most the {len(known)} stored examples.")
    parts = range(0, len(asked), QUERIES)
    return np.concatenate([_voted(known, classes, asked[start : start + QUERIES], k) for start in parts])


def _rows(name: str, examples: npt.ArrayLike) -> npt.NDArray[np.float64]:
    values = np.asarray(examples, np.float64)
    if not values.ndim or not len(values):
        raise ValueError(f"{name} (of shape {values.shape}) must hold one example at least.")
    if not (np.abs(values) < LARGEST).all():
        raise ValueError(f"{name} must hold numbers below {LARGEST:g} in size, and holds NaN or a larger one.")
    return values.reshape(len(values), -1)


def _voted(known: npt.NDArray[np.float64], classes: Ints, asked: npt.NDArray[np.float64], k: int) -> Ints:
    ranked = classes[np.argsort(_distances(known, asked, k), axis=1, kind="stable")[:, :k]]
    rows, shape = np.arange(len(asked)), (len(asked), int(classes.max()) + 1)
    votes, best = np.zeros(shape), np.full(shape, k)
    for rank in reversed(range(k)):
        chosen = rows, ranked[:, rank]
        votes[chosen] += 1
        best[chosen] = rank
    return (votes - best / (k + 1)).argmax(axis=1)


def _distances(known: npt.NDArray[np.float64], asked: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.float64]:
    """Computes squared distances to the k nearest and all as near up to rounding, `[asked, known]`; infinity else."""
    # By products first, without the squared norm of the query, which is the same for all. An origin amid the examples
    # makes the bound of the rounding small.
    origin = np.rint(known.mean(axis=0))
    around, of = known - origin, asked - origin
    squares, norms = np.square(around).sum(axis=1), np.linalg.norm(of, axis=1)
    products = squares - 2 * of @ around.T
    rounding = (known.shape[1] + 8) * EPSILON * (squares + 2 * np.outer(norms, np.sqrt(squares)))
    farthest = np.partition(products + rounding, k - 1, axis=1)[:, k - 1 : k]
    rows, columns = np.nonzero(products - rounding <= farthest)
    # Then by subtraction, in which nothing cancels, and ties of integers are exact.
    exact, step = np.full(products.shape, np.inf), max(1, NUMBERS // max(known.shape[1], 1))
    for start in range(0, len(rows), step):
        here = rows[start : start + step], columns[start : start + step]
        exact[here] = np.square(known[here[1]] - asked[here[0]]).sum(axis=1)
    return exact
