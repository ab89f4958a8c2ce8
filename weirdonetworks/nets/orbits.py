"""Orbits of batches: the images g x of inputs under all, sampled or chosen elements of an action."""

import dataclasses
import functools
import operator
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra.actions import ActionLike, Elements, PermutationAction, Placement, as_action
from weirdonetworks.algebra.actions.maps import Maps, SparseMaps
from weirdonetworks.algebra.arrays import array, at_least, brief, truth
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.nets.gradients import custom_gradient
from weirdonetworks.nets.inputs import checked_seed, checked_tensor, flattened

Table: TypeAlias = npt.NDArray[Any] | tf.Tensor
Placed: TypeAlias = "tuple[Placement, _Sparse | _Dense]"

POOL = 1024  # Fixed elements of a large permutation group, whose products are the samples drawn inside a graph.
PURPOSE = 0x0B17  # Makes the seed of a sample differ from those that a network derives from the same one.


class ListedElements:
    """The map from inputs x to their images g x under fixed elements g of an action.

        images(x)[i] = g_i x,    x of shape [batch, ...], images(x) [elements, batch, ...]

    >>> from weirdonetworks.algebra import cyclic_group, items
    >>> action = items(cyclic_group(3))
    >>> ListedElements(action, action.ball(radius=1))(tf.constant([[[1.0], [2.0], [3.0]]]))[:, 0, :, 0].numpy().tolist()
    [[1.0, 2.0, 3.0], [3.0, 1.0, 2.0], [2.0, 3.0, 1.0]]

    Attributes:
      action: The action.
      elements: The elements, as the action gives them.
    """

    def __init__(self, action: ActionLike, elements: Elements):
        """Sets the action and the elements.

        Args:
          action: The action on the inputs; or a bare group or image transformations, as in `algebra.actions.as_action`.
          elements: Some of its elements, at least one, such as `action.ball(radius)` or `action.sample(num, seed)`.
        """
        self.action = as_action("action", action)
        self.elements = array("elements", elements)
        if not self.elements.ndim:
            raise TypeError(f"elements (={brief(elements)}) must be a list of elements of the action.")
        if not len(self.elements):
            raise ValueError("elements must hold at least one.")
        self._placed: dict[tuple[int, ...], Placed] = {}

    def __len__(self) -> int:
        """The number of elements."""
        return len(self.elements)

    def __call__(self, inputs: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps inputs `[batch, ...]` to their images `[elements, batch, ...]`.

        Args:
          inputs: Inputs of a shape that the action acts on, floating point.
          seed: Two integers, the seed of a new sample for an `Orbit` with `resample`; None for the fixed sample.
        """
        inputs = checked_tensor(inputs)
        images = self._images(flattened(inputs), *self._at(inputs.shape[1:], seed))
        return tf.reshape(images, [len(self), -1, *inputs.shape[1:]])

    def images(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps inputs to their images for `Averaged`; in training under a new sample if the orbit is resampled."""
        return self(inputs, self.call_seed(is_training, seed))

    def call_seed(self, is_training: bool | None, seed: tf.Tensor | None) -> tf.Tensor | None:
        """Returns the seed of one call, given that of the training step; None where the elements are fixed."""
        return None

    def check(self, shape: tf.TensorShape) -> None:
        """Raises a `ValueError` unless the action acts on inputs of a shape, `[batch, ...]`."""
        self._at(shape[1:], None)

    def folded(
        self, weights: tf.Tensor, seed: tf.Tensor | None = None, shape: tuple[int, ...] | None = None
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Folds the elements into the weights of a linear map: `W (g x) = (W g) x`.

            tf.matmul(x, folded) + offset = [W g_0 x, W g_1 x, ...], side by side

        Args:
          weights: W, `[n, outputs]`, for flattened inputs.
          seed: As in a call; the same seed draws the same elements.
          shape: The shape of an input, of size n; None for `(n,)`.

        Returns:
          The weights, `[n, elements * outputs]`, and the offset, `[elements * outputs]`: the contribution of the fill
          value outside the image; None where that is 0.
        """
        place, maps = self._at(weights.shape[:1] if shape is None else shape, seed)
        return self._folded(weights, place, maps)

    def linear(self, inputs: tf.Tensor, weights: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Computes `W (g x)` for each element g, transforming the inputs or the weights, whichever costs less.

        The weights are transformed where the batch size is known and at least the number of outputs; for interpolated
        images the numbers are weighted by the taps of the transformations and of their transposes.

        Args:
          inputs: Inputs, `[batch, ...]`, as in a call.
          weights: W, `[n, outputs]`, of the inputs' type.
          seed: As in a call.

        Returns:
          The images, `[batch, elements, outputs]`.
        """
        inputs = checked_tensor(inputs)
        flat, outputs = flattened(inputs), weights.shape[1]
        if weights.shape[0] != flat.shape[1]:
            raise ValueError(f"weights of shape {weights.shape} must have the inputs' width (={flat.shape[1]}) first.")
        place, maps = self._at(inputs.shape[1:], seed)
        if flat.shape[0] is not None and flat.shape[0] * maps.taps[0] >= outputs * maps.taps[1]:
            folded, offset = self._folded(weights, place, maps)
            values = tf.matmul(flat, folded)
            return tf.reshape(values if offset is None else values + offset, [-1, len(self), outputs])
        values = tf.matmul(tf.reshape(self._images(flat, place, maps), [-1, flat.shape[1]]), weights)
        return tf.transpose(tf.reshape(values, [len(self), -1, outputs]), [1, 0, 2])

    def _at(self, shape: Iterable[int], seed: tf.Tensor | None) -> Placed:
        """Places the elements of a call on inputs of a shape, without the batch."""
        shape = tuple(shape)
        if shape not in self._placed:
            place = self.action.on(shape)
            self._placed[shape] = place, _tables(place.maps(self.elements))
        return self._placed[shape]

    def _images(self, flat: tf.Tensor, place: Placement, maps: "_Sparse | _Dense") -> tf.Tensor:
        """Maps `[batch, n]` to `[elements, batch * copies, n / copies]`, the copies as further examples."""
        return maps.apply(tf.reshape(flat, [-1, place.positions * place.channels]))

    def _folded(
        self, weights: tf.Tensor, place: Placement, maps: "_Sparse | _Dense"
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        width, outputs = weights.shape
        copies, positions, channels = place.copies, place.positions, place.channels
        by_copy = tf.reshape(weights, [copies, positions, channels * outputs])
        by_position = tf.reshape(tf.transpose(by_copy, [1, 0, 2]), [positions, -1])
        values = tf.reshape(maps.fold(by_position), [positions, len(self), copies, channels, outputs])
        folded = tf.reshape(tf.transpose(values, [2, 0, 3, 1, 4]), [width, -1])
        if maps.offset is None:
            return folded, None
        sums = tf.reduce_sum(tf.reshape(by_position, [positions, -1, outputs]), axis=1)
        return folded, tf.reshape(tf.matmul(tf.cast(maps.offset, weights.dtype), sums), [-1])


class Orbit(ListedElements):
    """The map from inputs x to their images g x under all elements g of an action, or a sample of them.

        orbit(x)[i] = g_i x,    x of shape [batch, ...], orbit(x) [elements, batch, ...]

    The action may be any: `items(3)` on sets `[batch, 3, features]`, `pixels()` on square images, products. A bare
    permutation group on n points acts on inputs of n numbers, flattened, `(s.x)[s(i)] = x[i]`; a matrix group on
    vectors by `x -> g x`; image transformations on images `[batch, height, width, channels]`, on each channel alike,
    flattened or not. The elements are in the order of `action.elements()`.

    Of more than `limit` elements a sample is drawn with replacement: once, or anew at each call with a seed. Pooling
    over a sample, or over transformations that form no group, is not exactly invariant.

    >>> from weirdonetworks.algebra import cyclic_group, items
    >>> orbit = Orbit(cyclic_group(3))
    >>> orbit(tf.constant([[1.0, 2.0, 3.0]]))[:, 0].numpy().tolist()
    [[1.0, 2.0, 3.0], [3.0, 1.0, 2.0], [2.0, 3.0, 1.0]]
    >>> len(orbit), orbit.is_exact
    (3, True)
    >>> Orbit(items(3))(tf.ones([2, 3, 2])).shape.as_list()
    [6, 2, 3, 2]

    Attributes:
      is_exact: Whether the orbit holds all elements of a group, so that pooling over it is exactly invariant.
      is_resampled: Whether a call with a seed draws a new sample.
    """

    def __init__(
        self, action: ActionLike, *, limit: int = 1024, samples: int = 64, resample: bool = False, seed: int = 0
    ):
        """Lists the elements, or draws a sample.

        Args:
          action: The action on the inputs; or a permutation group, a group of real matrices or a list of image
            transformations of one size, at least one.
          limit: The maximum number of elements to list, at least 1.
          samples: The number of elements to draw where there are more, at least 1.
          resample: Whether a call with a seed draws a new sample. It is uniform for transformations, matrix groups and
            permutation groups of at most 1024 elements. In a larger permutation group each element drawn is the product
            of two of 1024 fixed uniform ones, so about a million can occur.
          seed: Seed of the fixed sample, at least 0.
        """
        limit, samples, seed = at_least("limit", limit, 1), at_least("samples", samples, 1), at_least("seed", seed, 0)
        action = as_action("action", action)
        is_listed = action.order <= limit
        super().__init__(action, action.elements(limit) if is_listed else action.sample(samples, seed))
        self.is_exact = is_listed and action.is_group
        self.is_resampled = truth("resample", resample) and not is_listed
        self._pool = self._are_products = None
        if self.is_resampled:
            self._are_products = isinstance(action, PermutationAction) and isinstance(action.group, PermutationGroup)
            is_whole = action.order <= POOL or not self._are_products
            pool = action.elements(action.order) if is_whole else action.sample(POOL, seed)
            self._pool = ListedElements(action, pool)

    def call_seed(self, is_training: bool | None, seed: tf.Tensor | None) -> tf.Tensor | None:
        if is_training is None and self.is_resampled:
            raise ValueError(
                "is_training (=None) must be given with resample: True or False; "
                "an objective gives it and the seed with takes=('is_training', 'seed')."
            )
        if not (is_training and self.is_resampled):
            return None
        return tf.random.experimental.stateless_fold_in(checked_seed(seed, "resample"), PURPOSE, alg="philox")

    def _at(self, shape: Iterable[int], seed: tf.Tensor | None) -> Placed:
        if seed is None or self._pool is None:
            return super()._at(shape, seed)
        place, maps = self._pool._at(shape, None)
        if self._are_products:
            # The product of a uniform element with any other is uniform, so this is exact where the pool is the group.
            assert isinstance(maps, _Sparse), "permutations are"
            return place, maps.products(*tf.unstack(drawn([2, len(self)], len(self._pool), seed)))
        return place, maps.take(drawn([len(self)], len(self._pool), seed))


def drawn(shape: list[Any], number: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws integers in [0, number) from a seed, the same in graph mode and under XLA."""
    return tf.random.stateless_uniform(shape, seed, maxval=number, dtype=tf.int32, alg="philox")


@dataclasses.dataclass(frozen=True, eq=False)
class _Taps:
    """Sparse matrices with a fixed number of taps per row, (T_e x)[i] = sum_t weights[e, i, t] x[indices[e, i, t]].

    Indices and weights are `[elements, rows, taps]`; weights None where all are 1.
    """

    indices: Table
    weights: Table | None = None

    def read(self, rows: tf.Tensor, indices: Table, elements_first: bool = True) -> tf.Tensor:
        """Sums weighted rows `[n, m]` at given indices, to `[elements, rows, m]` or `[rows, elements, m]`.

        Taps of weight 0 read nothing, not even NaN or infinity.
        """
        axes = [2, 0, 1] if elements_first else [2, 1, 0]
        if self.weights is None:
            return functools.reduce(operator.add, [tf.gather(rows, each) for each in _unstacked(indices, axes)])
        where = np.where if isinstance(self.weights, np.ndarray) and isinstance(indices, np.ndarray) else tf.where
        indices = where(self.weights == 0, np.int32(rows.shape[0]), indices)  # A row of zeros.
        rows = tf.pad(rows, [[0, 1], [0, 0]])
        taps = zip(_unstacked(indices, axes), _unstacked(self.weights, axes), strict=True)
        values = [tf.gather(rows, each) * tf.cast(weight, rows.dtype)[..., None] for each, weight in taps]
        return functools.reduce(operator.add, values)

    def take(self, chosen: tf.Tensor) -> "_Taps":
        """Selects some of the elements."""
        weights = None if self.weights is None else tf.gather(self.weights, chosen)
        return _Taps(tf.gather(self.indices, chosen), weights)

    def products(self, first: tf.Tensor, second: tf.Tensor) -> "_Taps":
        """Composes elements that are permutations: gathers at `first[second[i]]`."""
        rows, columns = (tf.gather(self.indices, each) for each in (first, second))
        return _Taps(tf.gather(rows[:, :, 0], columns[:, :, 0], batch_dims=1)[:, :, None])


def _unstacked(table: Table, axes: list[int]) -> list[Table]:
    """Transposes a table and unstacks it, in NumPy where its values are known."""
    if isinstance(table, np.ndarray):
        return list(table.transpose(axes))
    return tf.unstack(tf.transpose(table, axes))


def _spread(rows: tf.Tensor, matrices: _Taps, transposed: _Taps, elements_first: bool) -> tf.Tensor:
    """Applies matrices to rows `[n, m]`, to `[elements, n, m]` or `[n, elements, m]`.

    The gradient is a gather too, by the transposed matrices; a scatter is several times slower.
    """
    elements, n = transposed.indices.shape[:2]

    @custom_gradient
    def run(values: tf.Tensor) -> tuple[tf.Tensor, object]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            element = tf.range(elements)[:, None, None]
            places = element * n + transposed.indices if elements_first else transposed.indices * elements + element
            by_row = tf.reshape(upstream, [elements * n, -1])
            return tf.reduce_sum(transposed.read(by_row, places), axis=0)

        return matrices.read(values, matrices.indices, elements_first), gradient

    return run(rows)


@dataclasses.dataclass(frozen=True, eq=False)
class _Sparse:
    """The `SparseMaps` of an action on batches: `apply` by their matrices, `fold` by the transposed ones.

    `offset`, `[elements, positions]`, is added at each position; None for 0.
    """

    matrices: _Taps
    transposed: _Taps
    offset: Table | None = None

    @property
    def taps(self) -> tuple[int, int]:
        """Reads per input in `apply` and per weight in `fold`, for one element."""
        return int(self.matrices.indices.shape[2]), int(self.transposed.indices.shape[2])

    def apply(self, flat: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, positions * channels]` to `[elements, batch, positions * channels]`."""
        # Rows of the transposed batch are contiguous in memory, columns of the batch are not.
        rows = tf.reshape(tf.transpose(flat), [self.matrices.indices.shape[1], -1])
        values = _spread(rows, self.matrices, self.transposed, elements_first=True)
        if self.offset is not None:
            values += tf.cast(self.offset, flat.dtype)[:, :, None]
        return tf.transpose(tf.reshape(values, [values.shape[0], flat.shape[1], -1]), [0, 2, 1])

    def fold(self, rows: tf.Tensor) -> tf.Tensor:
        """Maps rows `[positions, m]` by the transposed matrices, to `[positions, elements, m]`."""
        return _spread(rows, self.transposed, self.matrices, elements_first=False)

    def take(self, chosen: tf.Tensor) -> "_Sparse":
        """Selects some of the elements."""
        offset = None if self.offset is None else tf.gather(self.offset, chosen)
        return _Sparse(self.matrices.take(chosen), self.transposed.take(chosen), offset)

    def products(self, first: tf.Tensor, second: tf.Tensor) -> "_Sparse":
        """Composes some of the elements with others: the second act first."""
        # The image under a permutation is a gather at its inverse.
        return _Sparse(self.matrices.products(second, first), self.transposed.products(first, second))


@dataclasses.dataclass(frozen=True, eq=False)
class _Dense:
    """The `DenseMaps` of an action on batches, `[elements, n, n]`, with the same methods."""

    matrices: Table
    taps = (1, 1)
    offset = None

    def apply(self, flat: tf.Tensor) -> tf.Tensor:
        return tf.einsum("eij,bj->ebi", tf.cast(self.matrices, flat.dtype), flat)

    def fold(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.einsum("eij,im->jem", tf.cast(self.matrices, rows.dtype), rows)

    def take(self, chosen: tf.Tensor) -> "_Dense":
        return _Dense(tf.gather(self.matrices, chosen))


def _tables(maps: Maps) -> Any:
    if not isinstance(maps, SparseMaps):
        return _Dense(maps.matrices)
    matrices, transposed = (_Taps(each.indices.astype(np.int32), each.weights) for each in (maps, maps.transposed()))
    return _Sparse(matrices, transposed, maps.offset)
