"""k-nearest-neighbour classification."""

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, at_least, shown

QUERIES = 1000  # Per chunk, to keep the matrix of distances small.


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
      ValueError: If k is out of range, a label is not an integer of at least 0, there are no examples or no queries, or
        the shapes do not match.
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
    return values.reshape(len(values), -1)


def _voted(known: npt.NDArray[np.float64], classes: Ints, asked: npt.NDArray[np.float64], k: int) -> Ints:
    # The squared norm of the query is left out: it is the same for all stored examples. Far from the origin the rest
    # would cancel; an origin of integers leaves integers, and so ties of theirs, exact.
    with np.errstate(invalid="ignore", over="ignore"):
        origin = np.nan_to_num(np.rint(known.mean(axis=0)), posinf=0, neginf=0)
    known, asked = known - origin, asked - origin
    distances = np.square(known).sum(axis=1) - 2 * asked @ known.T
    ranked = classes[np.argsort(distances, axis=1, kind="stable")[:, :k]]
    rows, shape = np.arange(len(asked)), (len(asked), int(classes.max()) + 1)
    votes, best = np.zeros(shape), np.full(shape, k)
    for rank in reversed(range(k)):
        chosen = rows, ranked[:, rank]
        votes[chosen] += 1
        best[chosen] = rank
    return (votes - best / (k + 1)).argmax(axis=1)
