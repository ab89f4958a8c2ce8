"""Direct sums and tensor products of actions."""

from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.actions.base import (
    Action,
    Elements,
)
from weirdonetworks.algebra.actions.kinds import (
    LinearAction,
    PermutationAction,
)
from weirdonetworks.algebra.actions.pairing import restricted
from weirdonetworks.algebra.arrays import Ints, instance
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup, direct_product


def independent(one: PermutationAction, other: PermutationAction) -> PermutationAction:
    """Makes the action of the direct product of two groups: one factor moves the axes of `one`, one those of `other`.

    >>> from weirdonetworks.algebra import items
    >>> independent(items(3), items(2)).order
    12

    Raises:
      TypeError: If an argument is not a `PermutationAction` of a `PermutationGroup`.
    """
    for name, each in (("one", one), ("other", other)):
        instance(f"{name}.group", instance(name, each, PermutationAction).group, PermutationGroup)
    group = direct_product(one.group, other.group)  # type: ignore[arg-type]
    split, rest = one.generators.shape[1], other.generators.shape[1]
    return product(restricted(one, group, 0, split), restricted(other, group, split, rest))


def direct_sum(one: Action, other: Action) -> Any:
    name = f"{one!r} + {other!r}"
    if isinstance(one, PermutationAction) and isinstance(other, PermutationAction):
        here, there, size = one, other, one.size

        def move(elements: Elements, sizes: tuple[int, ...]) -> Ints:
            return np.concatenate([here.permutations(elements), size + there.permutations(elements)], axis=1)

        return PermutationAction(name, one.abstract_group, (size + other.size,), move)

    def matrices(elements: Elements) -> npt.NDArray[Any]:
        blocks = [_matrices(each, elements) for each in (one, other)]
        size = blocks[0].shape[1]
        whole = np.zeros((len(elements), *[size + blocks[1].shape[1]] * 2))
        whole[:, :size, :size], whole[:, size:, size:] = blocks
        return whole

    return LinearAction(name, one.abstract_group, _size(one) + _size(other), matrices)


def product(one: Action, other: Action) -> Any:
    name = f"({one!r}) * ({other!r})"
    if isinstance(one, PermutationAction) and isinstance(other, PermutationAction):
        here, there, axes = one, other, len(one.sizes)

        def move(elements: Elements, sizes: tuple[int, ...]) -> Ints:
            rows, columns = here.permutations(elements, sizes[:axes]), there.permutations(elements, sizes[axes:])
            return (rows[:, :, None] * columns.shape[1] + columns[:, None]).reshape(len(rows), -1)

        return PermutationAction(name, one.abstract_group, (*one.sizes, *other.sizes), move)

    def matrices(elements: Elements) -> npt.NDArray[Any]:
        left, right = (_matrices(each, elements) for each in (one, other))
        size = left.shape[1] * right.shape[1]
        return np.einsum("eij,ekl->eikjl", left, right).reshape(len(left), size, size)

    return LinearAction(name, one.abstract_group, _size(one) * _size(other), matrices)


def _size(action: Action) -> int:
    if not isinstance(action, PermutationAction | LinearAction):
        raise TypeError(f"{action!r} must be an action of a group, to be added or multiplied.")
    return action.size


def _matrices(action: Action, elements: Elements) -> npt.NDArray[Any]:
    return action.on((_size(action),)).maps(elements).dense()
