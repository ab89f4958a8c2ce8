"""The kinds of actions: by permutations, by matrices, and by image transformations."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.actions.base import Action, Elements, Group, Placement
from weirdonetworks.algebra.actions.maps import DenseMaps, Maps, SparseMaps
from weirdonetworks.algebra.actions.transforms import ImageTransform
from weirdonetworks.algebra.arrays import Ints, at_least
from weirdonetworks.algebra.groups.matrix_groups import MatrixGroup
from weirdonetworks.algebra.groups.permutation_groups import LISTED, PermutationGroup
from weirdonetworks.algebra.groups.permutations import compose

# Maps elements `[k]` and the lengths of the axes to permutations of the positions, `[k, positions]`.
Move: TypeAlias = Callable[[Elements, tuple[int, ...]], Ints]


class PermutationAction(Action):
    """A group that permutes positions along the first axes of an example.

    >>> from weirdonetworks.algebra import image_rotations, points
    >>> action = points(image_rotations(2, 2))
    >>> action.size, action.permutations(action.elements()).tolist()
    (4, [[0, 1, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0], [1, 3, 0, 2]])

    Attributes:
      sizes: The lengths of these axes; None for an axis of variable length.
    """

    def __init__(
        self, name: str, group: Group, sizes: tuple[int | None, ...], move: Move, spans_example: bool = False
    ) -> None:
        """Constructs the action.

        Args:
          name: The text of its `repr`.
          group: The group.
          sizes: The lengths of the axes; None for variable ones.
          move: Maps elements and the lengths of the axes to permutations of the positions; raises a `ValueError` if
            the group does not act on axes of these lengths.
          spans_example: Whether the positions are all entries of an example, of any shape.
        """
        super().__init__(name, group, is_permutation=True)
        self.sizes = sizes
        self.spans_example = spans_example
        self._move = move

    @property
    def size(self) -> int:
        """The number of positions.

        Raises:
          ValueError: If an axis has variable length.
        """
        return math.prod(self.known_sizes())

    def position_group(self, sizes: tuple[int, ...] | None = None) -> PermutationGroup:
        """Returns the image of the group in the permutations of the positions, one generator per generator.

        >>> from weirdonetworks.algebra import cyclic_group, items, trivial
        >>> (items(cyclic_group(3)) * trivial(2)).position_group().generators.tolist()
        [[2, 3, 4, 5, 0, 1]]

        Raises:
          ValueError: As `permutations` does.
        """
        moved = self.permutations(self.generators, sizes)
        if isinstance(self.group, PermutationGroup) and np.array_equal(moved, self.group.generators):
            return self.group
        return PermutationGroup(moved)

    def permutations(self, elements: Elements, sizes: tuple[int, ...] | None = None) -> Ints:
        """Returns the permutations of the positions by which elements act, `[k, positions]`.

        Raises:
          ValueError: If the group does not act on axes of these lengths, or an axis has variable length and `sizes` is
            None.
        """
        return self._move(np.asarray(elements), self.known_sizes() if sizes is None else sizes)

    def on(self, shape: Sequence[int]) -> Placement:
        found = tuple(shape)
        count = len(self.sizes)
        if self.spans_example:
            found = (math.prod(found),)
        lengths = found[:count]
        if len(lengths) < count or any(
            want not in (None, size) for want, size in zip(self.sizes, lengths, strict=True)
        ):
            wanted = f"hold {self.size} numbers" if self.spans_example else f"begin with {self._written_sizes()}"
            raise ValueError(
                f"examples of shape {tuple(shape)} must {wanted} for {self!r} to act on them."
                + " For points with several features, use items(group)." * self.spans_example
                + self._invariant_hint(found) * (self._move is unmoved)
            )
        self.permutations(self.generators[:1], lengths)  # Raises where the group does not act on these lengths.
        channels = math.prod(found[count:])
        return Placement(1, math.prod(lengths), channels, lambda some: self._maps(some, lengths))

    def _maps(self, elements: Elements, sizes: tuple[int, ...]) -> Maps:
        return SparseMaps.of_permutations(self.permutations(elements, sizes))

    def known_sizes(self) -> tuple[int, ...]:
        """Gives the lengths of the axes.

        Raises:
          ValueError: If one depends on the example.
        """
        known = tuple(size for size in self.sizes if size is not None)
        if len(known) < len(self.sizes):
            raise ValueError(f"{self!r} must have a known number of positions here. Pass its side.")
        return known

    def _invariant_hint(self, found: tuple[int, ...]) -> str:
        remedy = f"use trivial({found[0]}), or " if found else ""
        return f" For invariant outputs, {remedy}assert_invariant and invariance_error, which take any shape."

    def _written_sizes(self) -> str:
        return f"[{', '.join('any' if size is None else str(size) for size in self.sizes)}]"


class LinearAction(Action):
    """A group that acts by matrices on the last axis of an example; the other axes index copies."""

    def __init__(
        self, name: str, group: Group | None, size: int, matrices: Callable[[Elements], npt.NDArray[Any]]
    ) -> None:
        """Constructs the action.

        Args:
          name: The text of its `repr`.
          group: The group; None for a Lie group.
          size: The length of the axis.
          matrices: Maps elements `[k]` to their matrices, `[k, size, size]`.
        """
        super().__init__(name, group, is_permutation=False)
        self.size = size
        self.matrices = matrices

    def position_group(self) -> MatrixGroup:
        """Returns the image of the group in the matrices; in floating point where these are not the group's own."""
        matrices = self.matrices(self.generators)
        if isinstance(self.group, MatrixGroup) and np.array_equal(matrices, self.group.generators):
            return self.group
        return MatrixGroup(matrices, limit=self.order)

    def on(self, shape: Sequence[int]) -> Placement:
        if math.prod(shape) != self.size and (not shape or shape[-1] != self.size):
            raise ValueError(f"examples of shape {tuple(shape)} must end with {self.size} for {self!r} to act on them.")
        copies = math.prod(shape) // self.size
        return Placement(copies, self.size, 1, lambda some: DenseMaps(self.matrices(np.asarray(some))))


class TransformAction(Action):
    """A list of transformations of images of one size, in general not a group.

    The elements are indices into the list. `is_group` is true if they permute the pixels and are closed under
    composition. Then `compose` multiplies indices, all of them are `generators`, and `position_group()` is the group of
    permutations of the pixels; `group`, whose elements would be no indices, is None.

    Attributes:
      transforms: The transformations.
    """

    def __init__(self, listed: Sequence[ImageTransform]) -> None:
        sizes = {(each.height, each.width) for each in listed}
        if len(sizes) != 1:
            raise ValueError(f"transforms must be of one size of image, at least one, and are of {sorted(sizes)}.")
        ((self.height, self.width),) = sizes
        self.transforms = tuple(listed)
        self._tables = SparseMaps.of_transforms(self.transforms)
        self._permutations = self._tables.permutations()
        name = f"transforms of {self.height} x {self.width} pixels, {len(listed)} of them"
        super().__init__(f"<{name}>", None, self._permutations is not None)

    @property
    def is_group(self) -> bool:
        return self._table is not None

    @functools.cached_property
    def _table(self) -> Ints | None:
        """The multiplication table, of indices; None if the transformations form no group."""
        if self._permutations is None:
            return None
        numbers = {each.tobytes(): number for number, each in enumerate(self._permutations)}
        products = (compose(each, self._permutations) for each in self._permutations)
        table = np.array([[numbers.get(each.tobytes(), -1) for each in rows] for rows in products])
        return table if len(numbers) == self.order and np.all(table >= 0) else None

    @property
    def abstract_group(self) -> Group:
        if not self.is_group:
            return super().abstract_group
        raise ValueError(f"{self!r} must be given as the action of a group here, such as pixels(), not as a list.")

    @property
    def generators(self) -> Elements:
        return self.elements(self.order) if self.is_group else self.abstract_group.generators

    def compose(self, first: Elements, second: Elements) -> Elements:
        return self.abstract_group.compose(first, second) if self._table is None else self._table[first, second]

    def position_group(self) -> Group:
        return self.abstract_group if self._permutations is None else PermutationGroup(self._permutations)

    @property
    def order(self) -> int:
        return len(self.transforms)

    def elements(self, limit: int = LISTED) -> Elements:
        if self.order > limit:
            raise ValueError(f"limit (={limit}) must be at least the number of transforms (={self.order}).")
        return np.arange(self.order)

    def sample(self, num: int, seed: int) -> Elements:
        rng = np.random.default_rng(at_least("seed", seed, 0))
        return rng.integers(self.order, size=at_least("num", num, 1))

    def on(self, shape: Sequence[int]) -> Placement:
        pixels, numbers = self.height * self.width, math.prod(shape)
        if not (tuple(shape[:2]) == (self.height, self.width) or (len(shape) == 1 and numbers % pixels == 0)):
            raise ValueError(
                f"examples of shape {tuple(shape)} must be images [{self.height}, {self.width}, channels], or these "
                f"flattened, for {self!r} to act on them."
            )
        return Placement(1, pixels, numbers // pixels, self._maps)

    def _maps(self, elements: Elements) -> Maps:
        return SparseMaps.of_transforms([self.transforms[int(number)] for number in elements])


def unmoved(elements: Elements, sizes: tuple[int, ...]) -> Ints:
    return np.tile(np.arange(math.prod(sizes)), (len(elements), 1))
