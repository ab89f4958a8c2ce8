"""The `Action` base class, and its three kinds: by permutations, by matrices, and by image transformations."""

import abc
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.actions.maps import DenseMaps, Maps, SparseMaps
from weirdonetworks.algebra.actions.transforms import ImageTransform
from weirdonetworks.algebra.arrays import Ints, at_least
from weirdonetworks.algebra.groups.matrix_groups import MatrixGroup
from weirdonetworks.algebra.groups.permutation_groups import LISTED, PermutationGroup
from weirdonetworks.algebra.groups.permutations import compose, inverse
from weirdonetworks.algebra.polynomials.rings import Group as Group

# `[k, points]` for permutations, `[k, n, n]` for matrices, indices `[k]` into a list of transformations.
Elements: TypeAlias = npt.NDArray[Any]
# Maps elements `[k]` and the lengths of the axes to permutations of the positions, `[k, positions]`.
Move: TypeAlias = Callable[[Elements, tuple[int, ...]], Ints]
# Two actions of one kind make one of that kind.
Kind = TypeVar("Kind", bound="Action")

TABULATED = 2048  # The largest order of a group with a table of products: 32 MB.


@dataclasses.dataclass(frozen=True, eq=False)
class Placement:
    """An action on examples of a given shape, seen as `[copies, positions, channels]`.

    Attributes:
      copies: The number of copies of the positions, each moved in the same way.
      positions: The number of positions.
      channels: The number of values at each position.
      maps: Maps elements `[k]` to the linear maps of the positions by which they act.
    """

    copies: int
    positions: int
    channels: int
    maps: Callable[[Elements], Maps]


class Action(abc.ABC):
    """A group, or a list of transformations, together with what it acts on; made by the functions of `algebra.actions`.

    >>> from weirdonetworks.algebra import cyclic_group, items
    >>> action = items(cyclic_group(3))
    >>> action.order, action.is_group, action.is_permutation
    (3, True, True)
    >>> turn = action.elements()[1:2]
    >>> action.apply(turn, [[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]])[0, 0].tolist()
    [[3.0, 30.0], [1.0, 10.0], [2.0, 20.0]]

    Attributes:
      group: The group; None for a list of transformations.
      is_permutation: Whether each element permutes the positions, so that pointwise activations commute with the
        action.
    """

    def __init__(self, name: str, group: Group | None, is_permutation: bool) -> None:
        self.group = group
        self.is_permutation = is_permutation
        self._name = name

    def __repr__(self) -> str:
        return self._name

    @abc.abstractmethod
    def on(self, shape: Sequence[int]) -> Placement:
        """Describes the action on examples of a given shape, without the batch.

        Raises:
          ValueError: If it does not act on examples of this shape.
        """

    @property
    def is_group(self) -> bool:
        """Whether the elements form a group, so that averaging over them makes any function exactly invariant."""
        return self.group is not None

    @property
    def order(self) -> int:
        """The number of elements."""
        return self.abstract_group.order

    @property
    def generators(self) -> Elements:
        """Elements that generate the group."""
        return self.abstract_group.generators

    def elements(self, limit: int = LISTED) -> Elements:
        """Lists all elements; those of a group in the order of `group.elements()`, the identity first.

        Args:
          limit: The largest number of elements to list.

        Raises:
          ValueError: If there are more than `limit`.
        """
        return self.abstract_group.elements(limit)

    def sample(self, num: int, seed: int) -> Elements:
        """Draws elements uniformly, with replacement.

        Args:
          num: The number of elements, at least 1.
          seed: The random seed, at least 0.

        Raises:
          ValueError: If an argument is too small.
        """
        return self.abstract_group.sample(num, seed)

    def ball(self, radius: int, limit: int = LISTED) -> Elements:
        """Lists the elements of word length at most `radius` in the generators and their inverses, the identity first.

        >>> from weirdonetworks.algebra import cyclic_group, points
        >>> points(cyclic_group(5)).ball(radius=1).tolist()
        [[0, 1, 2, 3, 4], [1, 2, 3, 4, 0], [4, 0, 1, 2, 3]]

        Args:
          radius: The largest word length, at least 0.
          limit: The largest number of elements to list.

        Raises:
          ValueError: If there are more than `limit`, an argument is too small, or the elements form no group.
        """
        radius, limit = at_least("radius", radius, 0), at_least("limit", limit, 1)
        forward = self.generators
        permutes = isinstance(self.abstract_group, PermutationGroup)
        steps = np.concatenate([forward, inverse(forward) if permutes else np.linalg.inv(forward)])
        newest = [np.arange(forward.shape[-1]) if permutes else np.eye(forward.shape[-1])]
        found = dict(zip(element_keys(np.array(newest)), newest, strict=True))
        for _ in range(radius):
            products = np.concatenate([self.compose(steps, element[None]) for element in newest])
            images = dict(zip(element_keys(products), products, strict=True))
            newest = [each for key, each in images.items() if key not in found]
            found |= dict(zip(element_keys(np.array(newest)), newest, strict=True))
            if len(found) > limit:
                raise ValueError(
                    f"limit (={limit}) must be at least the number of elements within radius (={radius}), and there "
                    f"are {len(found)} or more. Take a smaller radius, or raise limit."
                )
            if not newest:
                break
        return np.stack(list(found.values()))

    def position_group(self) -> Group:
        """Returns the image of the group in the linear maps of the positions, one generator per generator.

        Raises:
          ValueError: If there is no group, or the number of positions depends on the example.
        """
        return self.abstract_group

    def compose(self, first: Elements, second: Elements) -> Elements:
        """Multiplies elements, `[k]` by `[k]` or `[1]`: the product acts by the second factor, then by the first.

        Raises:
          ValueError: If the elements form no group.
        """
        return self.abstract_group.compose(first, second)

    def table(self, limit: int = TABULATED) -> Ints:
        """Returns the multiplication table: entry `[i, j]` is the index in `elements()` of element i times element j.

        >>> from weirdonetworks.algebra import cyclic_group, points
        >>> points(cyclic_group(3)).table().tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1]]

        Raises:
          ValueError: If the elements form no group, or there are more than `limit`.
        """
        elements = self.elements(limit)
        index = ElementIndex(elements)
        return np.stack([index(self.compose(each, elements)) for each in elements])

    def apply(self, elements: Elements, inputs: npt.ArrayLike) -> npt.NDArray[Any]:
        """Applies elements to a batch of examples.

        Args:
          elements: Elements `[k]`, as `elements`, `sample` and `generators` return them.
          inputs: Examples, `[batch, ...]`.

        Returns:
          The transformed examples, `[k, batch, ...]`; of the dtype of the inputs if it is floating or the positions are
          permuted, else float64.

        Raises:
          ValueError: If the action does not act on examples of this shape.
        """
        values = np.asarray(inputs)
        place = self.on(values.shape[1:])
        rows = values.reshape(-1, place.positions, place.channels).swapaxes(0, 1)
        moved = place.maps(elements).apply(rows.reshape(place.positions, -1))
        return moved.reshape(len(moved), *rows.shape).swapaxes(1, 2).reshape(len(moved), *values.shape)

    def __add__(self: Kind, other: Kind) -> Kind:
        from weirdonetworks.algebra.actions import combining, pairing  # Which make actions, and so import this module.

        return combining.direct_sum(*pairing.paired(self, other))

    def __mul__(self: Kind, other: Kind) -> Kind:
        from weirdonetworks.algebra.actions import combining, pairing

        return combining.product(*pairing.paired(self, other))

    @property
    def abstract_group(self) -> Group:
        """The group.

        Raises:
          ValueError: If the action is a list of transformations.
        """
        if self.group is None:
            raise ValueError(f"{self!r} holds transformations without a group, so it has no generators or products.")
        return self.group


class PermutationAction(Action):
    """A group that permutes positions along the first axes of an example.

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

    def _written_sizes(self) -> str:
        return f"[{', '.join('any' if size is None else str(size) for size in self.sizes)}]"


class LinearAction(Action):
    """A group that acts by matrices on the last axis of an example; the other axes index copies."""

    def __init__(self, name: str, group: Group, size: int, matrices: Callable[[Elements], npt.NDArray[Any]]) -> None:
        """Constructs the action.

        Args:
          name: The text of its `repr`.
          group: The group.
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

    `is_group` is true if they permute the pixels and are closed under composition. The elements are indices into the
    list and cannot be composed: `group` is None.

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
        if self._permutations is None:
            return False
        distinct = {each.tobytes() for each in self._permutations}
        products = (compose(each, self._permutations) for each in self._permutations)
        return len(distinct) == self.order and all(each.tobytes() in distinct for rows in products for each in rows)

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


class ElementIndex:
    """An index of the elements of a group: maps elements to their places in a list."""

    def __init__(self, listed: Elements) -> None:
        self._places = {key: place for place, key in enumerate(element_keys(listed))}

    def __call__(self, elements: Elements) -> Ints:
        return np.array([self._places[key] for key in element_keys(elements)])


def element_keys(elements: Elements) -> list[bytes]:
    """Returns a hashable key for each element."""
    # Matrices are rounded, so that equal ones have equal keys; adding 0 turns -0 into 0.
    rounded = elements if elements.dtype.kind == "i" else np.round(elements, 6) + 0.0
    return [each.tobytes() for each in rounded]


def check_kind(name: str, given: Any, kind: Any) -> None:
    if not isinstance(given, kind):
        kinds = getattr(kind, "__args__", (kind,))
        raise TypeError(f"{name} (={given!r}) must be a {' or a '.join(each.__name__ for each in kinds)}.")
