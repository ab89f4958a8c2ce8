"""The `Action` base class: elements, their products, and how they act on a batch of examples."""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.actions.maps import Maps
from weirdonetworks.algebra.arrays import Ints, at_least
from weirdonetworks.algebra.groups.permutation_groups import LISTED, PermutationGroup
from weirdonetworks.algebra.groups.permutations import inverse
from weirdonetworks.algebra.polynomials.rings import Group as Group

# `[k, points]` for permutations, `[k, n, n]` for matrices, indices `[k]` into a list of transformations.
Elements: TypeAlias = npt.NDArray[Any]
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
    def is_finite(self) -> bool:
        """Whether the elements can be listed; a Lie group has infinitely many."""
        return True

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
