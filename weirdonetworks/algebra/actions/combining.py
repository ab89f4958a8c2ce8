"""How actions are put together: paired, summed and multiplied."""

from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.actions.base import (
    Action,
    Elements,
    Group,
    LinearAction,
    PermutationAction,
    check_kind,
    unmoved,
)
from weirdonetworks.algebra.arrays import Ints, written
from weirdonetworks.algebra.groups import PermutationGroup, direct_product


def paired(one: Action, other: Action) -> tuple[Action, Action]:
    """Gives two actions as actions of one group, so that an element of it acts on both.

    Actions of the same group are paired as they are, and one that moves nothing with any. Else the generators are
    paired by their places, and the pairs must make a homomorphism from the group of the first to that of the second:
    the group that the pairs generate must be no larger than the first.

    >>> from weirdonetworks.algebra import cyclic_group, points, symmetric_group
    >>> one, other = paired(points(cyclic_group(4)), points(cyclic_group(2)))  # i -> i + 1 on both.
    >>> one.order, other.permutations(one.generators).tolist()
    (4, [[1, 0]])
    >>> paired(points(symmetric_group(3)), points(symmetric_group(4)))
    Traceback (most recent call last):
    ...
    ValueError: The generators of points(<PermutationGroup on 4 points, 2 generators>) must follow those of \
points(<PermutationGroup on 3 points, 2 generators>) as a homomorphism does, and paired by their places they generate \
144 elements, not 6. Pass an action of the same group, generators in matching order, or trivial(size).

    Raises:
      TypeError: If one is no action, or of a group of matrices and the other of another group.
      ValueError: If the generators cannot be paired.
    """
    for each in (one, other):
        check_kind("action", each, Action)
    if _is_same(one.group, other.group):
        return one, other
    if isinstance(other, PermutationAction) and _moves_nothing(other):
        return one, _still(other, one.abstract_group)
    if isinstance(one, PermutationAction) and _moves_nothing(one):
        return _still(one, other.abstract_group), other
    first, second = one.abstract_group, other.abstract_group
    if not (isinstance(first, PermutationGroup) and isinstance(second, PermutationGroup)):
        raise TypeError(f"{one!r} and {other!r} must be actions of the same group. Pass both the same MatrixGroup.")
    if len(first.generators) != len(second.generators):
        raise ValueError(
            f"{other!r} must have as many generators as {one!r}, to act in pairs with them. Pass an action of the same "
            "group, or trivial(size)."
        )
    group = PermutationGroup(np.concatenate([first.generators, second.generators + first.degree], axis=1))
    if group.order != first.order:
        raise ValueError(
            f"The generators of {other!r} must follow those of {one!r} as a homomorphism does, and paired by their "
            f"places they generate {written(group.order)} elements, not {written(first.order)}. Pass an action of the "
            "same group, generators in matching order, or trivial(size)."
        )
    return _restricted(one, group, 0), _restricted(other, group, first.degree)


def independent(one: PermutationAction, other: PermutationAction) -> PermutationAction:
    """Makes the action of the direct product of two groups on pairs: each axis is moved by an element of its own.

    >>> from weirdonetworks.algebra import items
    >>> independent(items(3), items(2)).order
    12

    Raises:
      TypeError: If one does not permute positions by a group of permutations.
    """
    for each in (one, other):
        check_kind("action", each, PermutationAction)
        check_kind("group", each.group, PermutationGroup)
    group = direct_product(one.group, other.group)  # type: ignore[arg-type]
    split = one.generators.shape[1]
    return product(_restricted(one, group, 0), _restricted(other, group, split))


def direct_sum(one: Action, other: Action) -> Action:
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


def _restricted(action: Any, group: PermutationGroup, start: int) -> PermutationAction:
    """Sees an action as one of a larger group, among whose points are those of its own, from `start` on."""
    stop = start + action.group.degree

    def move(elements: Elements, sizes: tuple[int, ...]) -> Ints:
        return action.permutations(elements[:, start:stop] - start, sizes)

    return PermutationAction(repr(action), group, action.sizes, move, action.spans_example)


def _still(action: PermutationAction, group: Group) -> PermutationAction:
    return PermutationAction(repr(action), group, action.sizes, unmoved, action.spans_example)


def _moves_nothing(action: PermutationAction) -> bool:
    generators = action.generators
    return bool(np.all(generators == np.arange(generators.shape[-1]))) if generators.ndim == 2 else False


def _is_same(one: Group | None, other: Group | None) -> bool:
    if one is None or other is None or type(one) is not type(other):
        return False
    return one is other or np.array_equal(one.generators, other.generators)
