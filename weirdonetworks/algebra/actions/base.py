"""What an action is: a group, or a list of transformations, and what it acts on."""

import abc
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, at_least
from weirdonetworks.algebra.groups import LISTED, PermutationGroup
from weirdonetworks.algebra.maps import DenseMaps, Maps, SparseMaps
from weirdonetworks.algebra.permutations import compose, inverse
from weirdonetworks.algebra.polynomials import Group as Group
from weirdonetworks.algebra.transforms import ImageTransform

# Of a permutation group `[k, points]`, of a matrix group `[k, n, n]`, of a list of transformations their numbers `[k]`.
Elements: TypeAlias = npt.NDArray[Any]
# Gives the permutations `[k, positions]` that elements make of positions along axes of some lengths.
Move: TypeAlias = Callable[[Elements, tuple[int, ...]], Ints]
# Two actions of one kind make one of that kind.
Kind = TypeVar("Kind", bound="Action")

TABULATED = 2048  # Elements of the largest group whose products are tabulated: 32 MB.


@dataclasses.dataclass(frozen=True, eq=False)
class Placement:
    """An action on examples of one shape, which flatten to `[copies, positions, channels]`.

    Attributes:
      copies: How many times the positions are there; all are moved alike.
      positions: How many positions there are.
      channels: How many numbers each holds.
      maps: Gives the linear maps of the positions that some elements make.
    """

    copies: int
    positions: int
    channels: int
    maps: Callable[[Elements], Maps]


class Action(abc.ABC):
    """A group, or a list of transformations, and what it acts on. The functions of `algebra.actions` make them.

    >>> from weirdonetworks.algebra import cyclic_group, items
    >>> action = items(cyclic_group(3))
    >>> action.order, action.is_group, action.is_permutation
    (3, True, True)
    >>> turn = action.elements()[1:2]
    >>> action.apply(turn, [[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]])[0, 0].tolist()
    [[3.0, 30.0], [1.0, 10.0], [2.0, 20.0]]

    Attributes:
      group: The group; None if there is but a list of transformations.
      is_permutation: Whether each element permutes the positions, so that an activation applied to each number commutes
        with the action.
    """

    def __init__(self, name: str, group: Group | None, is_permutation: bool) -> None:
        self.group = group
        self.is_permutation = is_permutation
        self._name = name

    def __repr__(self) -> str:
        return self._name

    @abc.abstractmethod
    def on(self, shape: Sequence[int]) -> Placement:
        """Places the action on examples of a shape, without the batch.

        Raises:
          ValueError: If it does not act on such examples.
        """

    @property
    def is_group(self) -> bool:
        """Whether the elements form a group, so that a mean over all of them is exactly invariant."""
        return self.group is not None

    @property
    def order(self) -> int:
        """The number of elements."""
        return self.abstract_group.order

    @property
    def generators(self) -> Elements:
        """Elements whose products are all elements."""
        return self.abstract_group.generators

    def elements(self, limit: int = LISTED) -> Elements:
        """Lists all elements, for a group in the order of `group.elements()`, the identity first.

        Args:
          limit: The most elements to list.

        Raises:
          ValueError: If there are more.
        """
        return self.abstract_group.elements(limit)

    def sample(self, num: int, seed: int) -> Elements:
        """Draws elements uniformly, with replacement.

        Args:
          num: How many, at least 1.
          seed: At least 0; the same one draws the same elements.

        Raises:
          ValueError: If an argument is too small.
        """
        return self.abstract_group.sample(num, seed)

    def ball(self, radius: int, limit: int = LISTED) -> Elements:
        """Lists the products of at most so many generators and their inverses, the identity first.

        >>> from weirdonetworks.algebra import cyclic_group, points
        >>> points(cyclic_group(5)).ball(radius=1).tolist()
        [[0, 1, 2, 3, 4], [1, 2, 3, 4, 0], [4, 0, 1, 2, 3]]

        Args:
          radius: How many factors, at least 0.
          limit: The most elements to list.

        Raises:
          ValueError: If there are more, an argument is too small, or the elements form no group.
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

    def compose(self, first: Elements, second: Elements) -> Elements:
        """Multiplies elements, `[k]` by `[k]` or by one: the product acts as the second does, and then the first.

        Raises:
          ValueError: If the elements form no group.
        """
        return self.abstract_group.compose(first, second)

    def table(self, limit: int = TABULATED) -> Ints:
        """Tabulates the products: entry `[i, j]` is the number in `elements()` of the product of elements i and j.

        >>> from weirdonetworks.algebra import cyclic_group, points
        >>> points(cyclic_group(3)).table().tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1]]

        Raises:
          ValueError: If the elements form no group, or there are more than `limit`.
        """
        elements = self.elements(limit)
        numbers = Numbers(elements)
        return np.stack([numbers(self.compose(each, elements)) for each in elements])

    def apply(self, elements: Elements, inputs: npt.ArrayLike) -> npt.NDArray[Any]:
        """Lets elements act on a batch.

        Args:
          elements: Some elements, `[k]`, as `elements`, `sample` and `generators` give them.
          inputs: Examples, `[batch, ...]`.

        Returns:
          The examples moved, `[k, batch, ...]`, in the inputs' type where positions are permuted or it is floating.

        Raises:
          ValueError: If the action does not act on such examples.
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
        """The group, where there must be one.

        Raises:
          ValueError: If there is none.
        """
        if self.group is None:
            raise ValueError(f"{self!r} holds transformations without a group, so it has no generators and products.")
        return self.group


class PermutationAction(Action):
    """A group that permutes positions along the first axes of an example.

    Attributes:
      sizes: The lengths of these axes; None for one that may have any length the group fits.
    """

    def __init__(
        self, name: str, group: Group, sizes: tuple[int | None, ...], move: Move, spans_example: bool = False
    ) -> None:
        """Constructs the action.

        Args:
          name: How it is written.
          group: The group.
          sizes: The lengths of the axes.
          move: Gives the permutations that elements make of the positions along axes of given lengths; raises a
            `ValueError` where the group does not act on them.
          spans_example: Whether the positions are all numbers of an example, whatever its shape.
        """
        super().__init__(name, group, is_permutation=True)
        self.sizes = sizes
        self.spans_example = spans_example
        self._move = move

    @property
    def size(self) -> int:
        """The number of positions.

        Raises:
          ValueError: If it depends on the example.
        """
        return math.prod(self.known_sizes())

    def permutation_group(self, sizes: tuple[int, ...] | None = None) -> PermutationGroup:
        """Gives the group of the permutations of the positions, a generator for each of the group's.

        >>> from weirdonetworks.algebra import cyclic_group, items, trivial
        >>> (items(cyclic_group(3)) * trivial(2)).permutation_group().generators.tolist()
        [[2, 3, 4, 5, 0, 1]]

        Raises:
          ValueError: As `permutations` does.
        """
        moved = self.permutations(self.generators, sizes)
        if isinstance(self.group, PermutationGroup) and np.array_equal(moved, self.group.generators):
            return self.group
        return PermutationGroup(moved)

    def permutations(self, elements: Elements, sizes: tuple[int, ...] | None = None) -> Ints:
        """Gives the permutations of the positions that elements make, `[k, positions]`.

        Raises:
          ValueError: If the group does not act on axes of these lengths, or none are given and they are not known.
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
                + " Where points have several features, which move along, use items(group)." * self.spans_example
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
            raise ValueError(f"{self!r} must have a known number of positions here. Give it a side.")
        return known

    def _written_sizes(self) -> str:
        return f"[{', '.join('any' if size is None else str(size) for size in self.sizes)}]"


class LinearAction(Action):
    """A group of matrices on the last axis of an example; each of the other axes holds copies of it."""

    def __init__(self, name: str, group: Group, size: int, matrices: Callable[[Elements], npt.NDArray[Any]]) -> None:
        """Constructs the action.

        Args:
          name: How it is written.
          group: The group.
          size: The length of the axis.
          matrices: Gives the matrices of elements, `[k, size, size]`.
        """
        super().__init__(name, group, is_permutation=False)
        self.size = size
        self.matrices = matrices

    def on(self, shape: Sequence[int]) -> Placement:
        if math.prod(shape) != self.size and (not shape or shape[-1] != self.size):
            raise ValueError(f"examples of shape {tuple(shape)} must end with {self.size} for {self!r} to act on them.")
        copies = math.prod(shape) // self.size
        return Placement(copies, self.size, 1, lambda some: DenseMaps(self.matrices(np.asarray(some))))


class TransformAction(Action):
    """Image transformations of one size; no group, unless they permute the pixels and are closed under composition.

    Its elements are the numbers of the transformations in the list, which are not drawn and composed as elements of a
    group are: `group` is None.

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


class Numbers:
    """Finds the numbers of elements in a list of all."""

    def __init__(self, listed: Elements) -> None:
        self._places = {key: place for place, key in enumerate(element_keys(listed))}

    def __call__(self, elements: Elements) -> Ints:
        return np.array([self._places[key] for key in element_keys(elements)])


def element_keys(elements: Elements) -> list[bytes]:
    """Gives what tells elements apart."""
    # Of matrices up to rounding; adding 0 makes -0 and 0 the same.
    rounded = elements if elements.dtype.kind == "i" else np.round(elements, 6) + 0.0
    return [each.tobytes() for each in rounded]


def check_kind(name: str, given: Any, kind: Any) -> None:
    if not isinstance(given, kind):
        kinds = getattr(kind, "__args__", (kind,))
        raise TypeError(f"{name} (={given!r}) must be a {' or a '.join(each.__name__ for each in kinds)}.")
