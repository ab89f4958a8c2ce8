"""Batches of linear maps R^n -> R^n: sparse affine maps, with permutations as a special case, and dense matrices."""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.actions.transforms import ImageTransform
from weirdonetworks.algebra.arrays import Ints, weighted
from weirdonetworks.algebra.groups.permutations import inverse

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class SparseMaps:
    """A batch of sparse affine maps of R^n,

        (T_e x)[i] = sum_t weights[e, i, t] x[indices[e, i, t]] + offset[e, i].

    >>> maps = SparseMaps.of_permutations(np.array([[1, 2, 0]]))
    >>> maps.apply(np.array([[10], [20], [30]])).tolist(), maps.transposed().indices[0, :, 0].tolist()
    ([[[30], [10], [20]]], [1, 2, 0])

    Attributes:
      indices: The input positions of each output, `[maps, n, taps]`.
      weights: The factors of these inputs, `[maps, n, taps]`; None if all are 1.
      offset: The constants added, `[maps, n]`; None if all are 0.
    """

    indices: Ints
    weights: Floats | None = None
    offset: Floats | None = None

    @classmethod
    def of_permutations(cls, permutations: Ints) -> "SparseMaps":
        """Makes the maps `(s.x)[s[i]] = x[i]` of permutations `[maps, n]`."""
        return cls(inverse(permutations)[:, :, None])

    @classmethod
    def of_transforms(cls, transforms: Sequence[ImageTransform]) -> "SparseMaps":
        """Stacks image transformations of one image size (at least one) as maps of pixels."""
        taps = max(each.indices.shape[1] for each in transforms)
        pad = lambda table: np.pad(table, [(0, 0), (0, taps - table.shape[1])])  # noqa: E731
        indices = np.stack([pad(each.indices) for each in transforms])
        weights = np.stack([pad(each.weights) for each in transforms])
        offset = np.stack([each.offset for each in transforms])
        return cls(indices, None if np.all(weights == 1) else weights, offset if np.any(offset) else None)

    def __len__(self) -> int:
        return len(self.indices)

    def transposed(self) -> "SparseMaps":
        """Returns the transposes of the linear parts; unused taps get index 0 and weight 0."""
        permutations = self.permutations()
        if permutations is not None:
            return SparseMaps(permutations[:, :, None])
        maps, positions, _ = self.indices.shape
        weights = np.ones(self.indices.shape) if self.weights is None else self.weights
        each, row, tap = np.nonzero(weights)
        target = each * positions + self.indices[each, row, tap]
        order = np.argsort(target, kind="stable")
        each, row, tap, target = (values[order] for values in (each, row, tap, target))
        # The place of a tap among those of its target, which are neighbours now.
        place = np.arange(len(target)) - np.searchsorted(target, target)
        shape = (maps * positions, int(place.max(initial=0)) + 1)
        sources, factors = np.zeros(shape, np.intp), np.zeros(shape)
        sources[target, place], factors[target, place] = row, weights[each, row, tap]
        tables = (maps, positions, shape[1])
        return SparseMaps(sources.reshape(tables), None if np.all(factors == 1) else factors.reshape(tables))

    def permutations(self) -> Ints | None:
        """Returns the maps as permutations `[maps, n]`, or None if one of them is not a permutation."""
        maps, positions, taps = self.indices.shape
        indices = self.indices[:, :, 0]
        if self.weights is not None:
            # A row is a permutation's if one tap has weight 1 and the others 0.
            if not np.array_equal(np.sort(self.weights, axis=2), np.eye(taps)[[-1] * positions][None].repeat(maps, 0)):
                return None
            indices = np.take_along_axis(self.indices, self.weights.argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
        elif taps > 1:
            return None
        if self.offset is not None or not np.array_equal(np.sort(indices), np.tile(np.arange(positions), (maps, 1))):
            return None
        return inverse(indices)

    def apply(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Applies each map to the m columns of `rows`, `[n, m]`; the result is `[maps, n, m]`."""
        if self.weights is None:
            values = rows[self.indices].sum(axis=2) if self.indices.shape[2] > 1 else rows[self.indices[:, :, 0]]
        else:
            dtype = rows.dtype if rows.dtype.kind == "f" else np.dtype(np.float64)
            taps = range(self.indices.shape[2])
            values = sum(
                weighted(rows[self.indices[:, :, tap]].astype(dtype), self.weights[:, :, tap, None].astype(dtype))
                for tap in taps
            )
        return values if self.offset is None else values + self.offset[:, :, None].astype(values.dtype)

    def dense(self) -> Floats:
        """Returns the linear parts as matrices, `[maps, n, n]`."""
        maps, positions, _ = self.indices.shape
        matrices = np.zeros((maps, positions, positions))
        weights = np.ones(self.indices.shape) if self.weights is None else self.weights
        np.add.at(matrices, (np.arange(maps)[:, None, None], np.arange(positions)[:, None], self.indices), weights)
        return matrices


@dataclasses.dataclass(frozen=True, eq=False)
class DenseMaps:
    """A batch of dense linear maps of R^n, x -> g x.

    Attributes:
      matrices: The matrices g, `[maps, n, n]`.
    """

    matrices: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.matrices)

    def apply(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Applies each matrix to the m columns of `rows`, `[n, m]`; the result is `[maps, n, m]`."""
        matrices = self.matrices.astype(rows.dtype) if rows.dtype.kind == "f" else self.matrices
        return matrices @ rows

    def dense(self) -> npt.NDArray[Any]:
        """Returns the matrices, `[maps, n, n]`."""
        return self.matrices


Maps: TypeAlias = SparseMaps | DenseMaps
