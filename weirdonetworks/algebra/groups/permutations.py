"""Permutations as int arrays: `s[i]` is the image of point `i`, and `(s.x)[s[i]] = x[i]`."""

from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, array, shown

POINTS = 2**24  # The most points of a group made by number: its generators then take some gigabytes.


def as_permutations(values: npt.ArrayLike, name: str = "values") -> Ints:
    """Converts values to an int array and checks that they are permutations.

    >>> as_permutations([0, 0, 2])
    Traceback (most recent call last):
    ...
    ValueError: values (=[0, 0, 2]) must hold each of 0, ..., 2 exactly once.

    Args:
      values: Permutations of n points, `[..., n]`.
      name: What messages call them.

    Returns:
      A copy, as an int array.

    Raises:
      TypeError: If the values are not integers.
      ValueError: If a row does not hold each of 0, ..., n - 1 exactly once.
    """
    rows = array(name, values)
    if rows.ndim == 0 or rows.shape[-1] == 0:
        raise ValueError(f"{name} (={shown(rows)}) must be permutations, of at least one point.")
    if rows.dtype.kind not in "iu":
        raise TypeError(f"{name} (={shown(rows)}) must hold integers.")
    wrong = np.any(np.sort(rows, axis=-1) != np.arange(rows.shape[-1]), axis=-1)
    if np.any(wrong):
        raise ValueError(
            f"{name} (={shown(rows[wrong][0])}) must hold each of 0, ..., {rows.shape[-1] - 1} exactly once."
        )
    return rows.astype(np.intp)


def compose(first: npt.ArrayLike, second: npt.ArrayLike) -> Ints:
    """Composes permutations as functions, `compose(a, b)[i] = a[b[i]]`: b acts first.

    >>> compose([1, 2, 0], [1, 0, 2]).tolist()
    [2, 1, 0]

    Args:
      first: Permutations `a`, `[..., n]`.
      second: Permutations `b`, `[..., n]`; leading axes broadcast.

    Returns:
      The compositions, `[..., n]`.

    Raises:
      TypeError: If an argument does not hold integers.
      ValueError: If an argument is not a permutation, or the two differ in size.
    """
    outer, inner = as_permutations(first, "first"), as_permutations(second, "second")
    if outer.shape[-1] != inner.shape[-1]:
        sizes = f"of {outer.shape[-1]} and of {inner.shape[-1]} points"
        raise ValueError(f"first and second ({sizes}) must be of equal size.")
    shape = np.broadcast_shapes(outer.shape, inner.shape)
    return np.take_along_axis(np.broadcast_to(outer, shape), np.broadcast_to(inner, shape), axis=-1)


def inverse(permutation: npt.ArrayLike) -> Ints:
    """Inverts permutations, `inverse(s)[s[i]] = i`, so that `s.x = x[inverse(s)]`.

    >>> inverse([1, 2, 0]).tolist()
    [2, 0, 1]

    Args:
      permutation: Permutations, `[..., n]`.

    Returns:
      The inverses, of the same shape.

    Raises:
      TypeError: If the argument does not hold integers.
      ValueError: If it is not a permutation.
    """
    rows = as_permutations(permutation, "permutation")
    inverses = np.empty_like(rows)
    np.put_along_axis(inverses, rows, np.broadcast_to(np.arange(rows.shape[-1]), rows.shape), axis=-1)
    return inverses


def act(permutation: npt.ArrayLike, x: npt.ArrayLike) -> npt.NDArray[Any]:
    """Applies permutations to vectors, `(s.x)[s[i]] = x[i]`, so `act(a, act(b, x)) = act(compose(a, b), x)`.

    >>> act([1, 2, 0], [10, 20, 30]).tolist()
    [30, 10, 20]

    Args:
      permutation: One permutation `[n]`, or several `[k, n]`.
      x: Vectors, `[..., n]`.

    Returns:
      The permuted vectors, `[..., n]`, or `[k, ..., n]` for several permutations.

    Raises:
      TypeError: If the permutation does not hold integers.
      ValueError: If it is not a permutation, or the last axis of x has another size.
    """
    gather, vectors = inverse(permutation), array("x", x)
    if gather.ndim > 2 or vectors.ndim == 0 or vectors.shape[-1] != gather.shape[-1]:
        raise ValueError(
            f"x (of shape {vectors.shape}) must end in the {gather.shape[-1]} entries that permutation moves."
        )
    moved = vectors[..., gather]
    return moved if gather.ndim == 1 else np.moveaxis(moved, -2, 0)
