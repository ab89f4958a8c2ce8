"""Elements of groups and image transformations, as maps of a batch or of the weights after it, and their sources."""

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.algebra.groups import PermutationGroup
from weirdonetworks.algebra.matrix_groups import MatrixGroup
from weirdonetworks.algebra.permutations import inverse
from weirdonetworks.algebra.transforms import ImageTransform

Transforms: TypeAlias = PermutationGroup | MatrixGroup | Iterable[ImageTransform]
Table: TypeAlias = npt.NDArray[Any] | tf.Tensor

POOL = 1024  # Elements of a large permutation group that samples inside a graph are products of.


class Action(Protocol):
    """Some elements as maps of flattened inputs."""

    @property
    def taps(self) -> tuple[int, int]:
        """How often `apply` reads each input, and `fold` each weight, for one element."""

    def check(self, shape: tf.TensorShape) -> None:
        """Raises a `ValueError` unless the elements act on inputs of a shape."""

    def apply(self, flat: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, n]` to `[elements, batch, n]`."""

    def fold(self, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Does what `Orbit.folded` says."""


class Source(Protocol):
    """What elements are taken from."""

    @property
    def order(self) -> int:
        """How many there are."""

    def every(self) -> Action:
        """Takes them all."""

    def sample(self, num: int, seed: int) -> Action:
        """Draws some."""

    def sampler(self, num: int, seed: int) -> Callable[[tf.Tensor], Action]:
        """Makes the function that draws some by a seed that is a tensor."""


@dataclasses.dataclass(frozen=True, eq=False)
class Taps:
    """Sparse matrices: (T_e rows)[i] = sum_t weights[e, i, t] rows[indices[e, i, t]].

    Attributes:
      indices: `[elements, rows, taps]`.
      weights: `[elements, rows, taps]`; None where all are 1.
    """

    indices: Table
    weights: Table | None

    @property
    def number(self) -> int:
        """How many taps a row has."""
        return int(self.indices.shape[2])

    def gather(self, rows: tf.Tensor, indices: Table, elements_first: bool = True) -> tf.Tensor:
        """Adds up rows `[..., m]` at indices like its own, to `[elements, rows, m]` or `[rows, elements, m]`."""
        axes = [2, 0, 1] if elements_first else [2, 1, 0]
        values = [tf.gather(rows, each) for each in _unstacked(indices, axes)]
        if self.weights is not None:
            weights = [tf.cast(each, rows.dtype) for each in _unstacked(self.weights, axes)]
            values = [value * weight[..., None] for value, weight in zip(values, weights, strict=True)]
        return functools.reduce(operator.add, values)

    def take(self, chosen: Table) -> "Taps":
        """Takes some of the elements."""
        return Taps(_picked(self.indices, chosen), _picked(self.weights, chosen))


def _unstacked(table: Table, axes: list[int]) -> list[Table]:
    """Transposes a table and takes its layers; what is known already not in the graph."""
    if isinstance(table, np.ndarray):
        return list(table.transpose(axes))
    return tf.unstack(tf.transpose(table, axes))


def _spread(rows: tf.Tensor, matrices: Taps, transposed: Taps, elements_first: bool) -> tf.Tensor:
    """Applies matrices to rows `[n, m]`, to `[elements, n, m]` or `[n, elements, m]`.

    The gradient gathers too, by the transposed matrices; to add each row to where it came from is several times slower.
    """
    elements, n = transposed.indices.shape[:2]

    @tf.custom_gradient
    def run(values: tf.Tensor) -> tuple[tf.Tensor, object]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            element = tf.range(elements)[:, None, None]
            places = element * n + transposed.indices if elements_first else transposed.indices * elements + element
            by_row = tf.reshape(upstream, [elements * n, -1])
            return tf.reduce_sum(transposed.gather(by_row, places), axis=0)

        return matrices.gather(values, matrices.indices, elements_first), gradient

    return run(rows)


@dataclasses.dataclass(frozen=True, eq=False)
class Sparse:
    """Permutations or image transformations: `apply` by their matrices, `fold` by the transposed ones.

    Attributes:
      matrices: What they do to the numbers that they move, or to the pixels, whose channels move with them.
      transposed: The same matrices transposed.
      frame: The height and width of the images; None for permutations.
      offset: What is added to each pixel, `[elements, pixels]`; None for 0.
    """

    matrices: Taps
    transposed: Taps
    frame: tuple[int, int] | None = None
    offset: Table | None = None

    @property
    def points(self) -> int:
        return int(self.matrices.indices.shape[1])

    @property
    def taps(self) -> tuple[int, int]:
        return self.matrices.number, self.transposed.number

    def check(self, shape: tf.TensorShape) -> None:
        if self.frame is None:
            _need_width(shape, self.points)
        elif not (shape[1:3] == self.frame or (shape.rank == 2 and shape[1] % self.points == 0)):
            images = f"[batch, {self.frame[0]}, {self.frame[1]}, channels]"
            raise ValueError(f"inputs of shape {shape} must be images {images}, or these flattened.")

    def apply(self, flat: tf.Tensor) -> tf.Tensor:
        # A row of the transposed batch is a run of memory, a column of the batch is not.
        rows = tf.reshape(tf.transpose(flat), [self.points, -1])
        values = _spread(rows, self.matrices, self.transposed, elements_first=True)
        if self.offset is not None:
            values += tf.cast(self.offset, flat.dtype)[:, :, None]
        return tf.transpose(tf.reshape(values, [values.shape[0], flat.shape[1], -1]), [0, 2, 1])

    def fold(self, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        width, outputs = weights.shape
        by_point = tf.reshape(weights, [self.points, -1])
        values = _spread(by_point, self.transposed, self.matrices, elements_first=False)
        by_channel = tf.reshape(values, [self.points, values.shape[1], width // self.points, outputs])
        folded = tf.reshape(tf.transpose(by_channel, [0, 2, 1, 3]), [width, -1])
        if self.offset is None:
            return folded, None
        sums = tf.reduce_sum(tf.reshape(weights, [self.points, -1, outputs]), axis=1)
        return folded, tf.reshape(tf.matmul(tf.cast(self.offset, weights.dtype), sums), [-1])

    def take(self, chosen: Table) -> "Sparse":
        """Takes some of the elements."""
        return Sparse(
            self.matrices.take(chosen), self.transposed.take(chosen), self.frame, _picked(self.offset, chosen)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Dense:
    """Matrices `[elements, n, n]`."""

    matrices: Table
    taps = (1, 1)

    def check(self, shape: tf.TensorShape) -> None:
        _need_width(shape, self.matrices.shape[1])

    def apply(self, flat: tf.Tensor) -> tf.Tensor:
        return tf.einsum("eij,bj->ebi", tf.cast(self.matrices, flat.dtype), flat)

    def fold(self, weights: tf.Tensor) -> tuple[tf.Tensor, None]:
        side_by_side = tf.einsum("eij,io->jeo", tf.cast(self.matrices, weights.dtype), weights)
        return tf.reshape(side_by_side, [weights.shape[0], -1]), None

    def take(self, chosen: Table) -> "Dense":
        """Takes some of the elements."""
        return Dense(_picked(self.matrices, chosen))


@dataclasses.dataclass(frozen=True, eq=False)
class Listed:
    """Elements that are all there already."""

    action: Sparse | Dense
    order: int

    def every(self) -> Action:
        return self.action

    def sample(self, num: int, seed: int) -> Action:
        return self.action.take(np.random.default_rng(seed).integers(self.order, size=num))

    def sampler(self, num: int, seed: int) -> Callable[[tf.Tensor], Action]:
        return lambda seed: self.action.take(drawn([num], self.order, seed))


@dataclasses.dataclass(frozen=True, eq=False)
class Permutations:
    """The elements of a permutation group, which may be far too many to list."""

    group: PermutationGroup

    @property
    def order(self) -> int:
        return self.group.order

    def every(self) -> Action:
        return _moves(self.group.elements(self.order))

    def sample(self, num: int, seed: int) -> Action:
        return _moves(self.group.sample(num, seed))

    def sampler(self, num: int, seed: int) -> Callable[[tf.Tensor], Action]:
        pool = self.group.elements(POOL) if self.order <= POOL else self.group.sample(POOL, seed)
        elements, inverses = pool.astype(np.int32), inverse(pool).astype(np.int32)

        def draw(seed: tf.Tensor) -> Action:
            # A product is uniform if one factor is, as it is where the pool is the group.
            first, second = tf.unstack(drawn([2, num], len(pool), seed))
            products = tf.gather(tf.gather(elements, first), tf.gather(elements, second), batch_dims=1)
            back = tf.gather(tf.gather(inverses, second), tf.gather(inverses, first), batch_dims=1)
            return Sparse(Taps(back[:, :, None], None), Taps(products[:, :, None], None))

        return draw


def source_of(given: Transforms) -> Source:
    """Reads what elements are to be taken from.

    Raises:
      TypeError: If it is neither a group nor transformations.
      ValueError: If there is no transformation, they differ in size, or a matrix is complex.
    """
    if isinstance(given, PermutationGroup):
        return Permutations(given)
    if isinstance(given, MatrixGroup):
        matrices = given.elements()
        if np.iscomplexobj(matrices):
            raise ValueError(f"group_or_transforms (={given!r}) must be real, and has complex matrices.")
        return Listed(Dense(matrices), len(matrices))
    listed = list(given) if np.iterable(given) else [given]
    if not all(isinstance(each, ImageTransform) for each in listed):
        raise TypeError(
            f"group_or_transforms (={given!r}) must be a PermutationGroup, a MatrixGroup or a list of ImageTransforms."
        )
    if not listed:
        raise ValueError("group_or_transforms must hold at least one transformation.")
    sizes = {(each.height, each.width) for each in listed}
    if len(sizes) > 1:
        raise ValueError(f"group_or_transforms must be of one size of image, and are of {sorted(sizes)}.")
    return Listed(_interpolations(listed), len(listed))


def _moves(elements: Ints) -> Sparse:
    return Sparse(
        Taps(inverse(elements).astype(np.int32)[:, :, None], None), Taps(elements.astype(np.int32)[:, :, None], None)
    )


def _interpolations(transforms: list[ImageTransform]) -> Sparse:
    taps = max(each.indices.shape[1] for each in transforms)
    pad = lambda table: np.pad(table, [(0, 0), (0, taps - table.shape[1])])  # noqa: E731
    indices = np.stack([pad(each.indices) for each in transforms]).astype(np.int32)
    weights = np.stack([pad(each.weights) for each in transforms])
    offset = np.stack([each.offset for each in transforms])
    return Sparse(
        Taps(indices, None if np.all(weights == 1) else weights),
        _transposed(indices, weights),
        (transforms[0].height, transforms[0].width),
        offset if np.any(offset) else None,
    )


def _transposed(indices: npt.NDArray[np.int32], weights: npt.NDArray[np.float64]) -> Taps:
    """Transposes sparse matrices, each given by its taps."""
    elements, size, _ = indices.shape
    element, row, tap = np.nonzero(weights)
    target = element * size + indices[element, row, tap]
    order = np.argsort(target, kind="stable")
    element, row, tap, target = (each[order] for each in (element, row, tap, target))
    # The place of a tap among those of its target, which are neighbours now.
    place = np.arange(len(target)) - np.searchsorted(target, target)
    shape = (elements * size, int(place.max(initial=0)) + 1)
    sources, factors = np.zeros(shape, np.int32), np.zeros(shape)
    sources[target, place], factors[target, place] = row, weights[element, row, tap]
    tables = (elements, size, shape[1])
    return Taps(sources.reshape(tables), None if np.all(factors == 1) else factors.reshape(tables))


def drawn(shape: list[Any], number: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws integers below a number by a seed, the same in graph mode and under XLA."""
    return tf.random.stateless_uniform(shape, seed, maxval=number, dtype=tf.int32, alg="philox")


def _picked(table: Any, chosen: Table) -> Any:
    """Picks elements of a table that may be None; in NumPy where that will do."""
    if table is None or isinstance(chosen, np.ndarray):
        return None if table is None else table[chosen]
    return tf.gather(table, chosen)


def _need_width(shape: tf.TensorShape, width: int) -> None:
    if shape[1:].num_elements() != width:
        raise ValueError(f"inputs of shape {shape} must have width {width}, on which the group acts.")
