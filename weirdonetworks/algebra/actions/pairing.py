"""Pairing of two actions as actions of one group, checked to be a homomorphism."""

import math
from collections.abc import Callable
from typing import Any, overload

import numpy as np

from weirdonetworks.algebra.actions.base import (
    Action,
    Elements,
    Group,
)
from weirdonetworks.algebra.actions.constructors import regular
from weirdonetworks.algebra.actions.kinds import (
    LinearAction,
    PermutationAction,
    unmoved,
)
from weirdonetworks.algebra.arrays import Ints, instance
from weirdonetworks.algebra.groups.orbits import join
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup

WORDS = 20  # Random products of generators whose orders are compared.
STARTS = 100  # The largest number of pairs of orbits to search for an equivariant map.


@overload
def paired(one: PermutationAction, other: PermutationAction) -> tuple[PermutationAction, PermutationAction]: ...
@overload
def paired(one: Action, other: Action) -> tuple[Action, Action]: ...
def paired(one: Action, other: Action) -> tuple[Action, Action]:
    """Returns two actions as actions of one group, whose elements act on both.

    Actions of the same group are returned unchanged, and a trivial action pairs with any other. Otherwise generator i
    of the first is paired with generator i of the second, and g_i -> h_i must extend to a homomorphism: each product
    of generators that is the identity in the first group must be the identity in the second.

    >>> from weirdonetworks.algebra import cyclic_group, points, symmetric_group
    >>> one, other = paired(points(cyclic_group(4)), points(cyclic_group(2)))  # i -> i + 1 on both.
    >>> one.order, other.permutations(one.generators).tolist()
    (4, [[1, 0]])
    >>> paired(points(symmetric_group(3)), points(symmetric_group(4)))
    Traceback (most recent call last):
    ...
    ValueError: The generators of points(<PermutationGroup on 3 points, 2 generators>), mapped in order to those of \
points(<PermutationGroup on 4 points, 2 generators>), must extend to a homomorphism, and do not: some product of them \
is the identity in the first group alone. Pass an action of the same group, generators in matching order, or \
trivial(size).

    Raises:
      TypeError: If an argument is not an `Action`.
      ValueError: If the numbers of generators differ, or the pairs of generators make no homomorphism; or if a group of
        more than 2,048 matrices is paired with another.
    """
    instance("one", one, Action)
    instance("other", other, Action)
    if _is_same(one.group, other.group):
        return one, other
    if isinstance(other, PermutationAction) and _moves_nothing(other):
        return one, _still(other, one.abstract_group)
    if isinstance(one, PermutationAction) and _moves_nothing(one):
        return _still(one, other.abstract_group), other
    one, first = _of_permutations(one)
    other, second = _of_permutations(other)
    if len(first.generators) != len(second.generators):
        raise ValueError(
            f"{other!r} must have as many generators as {one!r}, since they are paired. Pass an action of the same "
            "group, or trivial(size)."
        )
    group = PermutationGroup(np.concatenate([first.generators, second.generators + first.degree], axis=1))
    if not _is_homomorphism(first, second, group):
        raise ValueError(
            f"The generators of {one!r}, mapped in order to those of {other!r}, must extend to a homomorphism, and do "
            "not: some product of them is the identity in the first group alone. Pass an action of the same group, "
            "generators in matching order, or trivial(size)."
        )
    return restricted(one, group, 0, first.degree), restricted(other, group, first.degree, second.degree)


def restricted(action: Action, group: PermutationGroup, start: int, degree: int) -> Any:
    """Extends an action to a larger group, whose points `start`, `start` + 1, ... are those of its own group."""
    return _through(action, group, lambda elements: elements[:, start : start + degree] - start)


def _of_permutations(action: Action) -> tuple[Action, PermutationGroup]:
    """Writes an action of a matrix group as one of its regular permutation group."""
    group = action.abstract_group
    if isinstance(group, PermutationGroup):
        return action, group
    elements, permuted = group.elements(), PermutationGroup(regular(group).permutations(group.generators))
    # The first element is the identity, whose image is the matrix itself.
    return _through(action, permuted, lambda permutations: elements[permutations[:, 0]]), permuted


def _through(action: Any, group: PermutationGroup, read: Callable[[Ints], Elements]) -> Action:
    """Pulls an action back along the homomorphism `read` from another group to its own."""
    if isinstance(action, LinearAction):
        return LinearAction(repr(action), group, action.size, lambda elements: action.matrices(read(elements)))

    def move(elements: Elements, sizes: tuple[int, ...]) -> Ints:
        return action.permutations(read(elements), sizes)

    return PermutationAction(repr(action), group, action.sizes, move, action.spans_example)


def _is_homomorphism(first: PermutationGroup, second: PermutationGroup, both: PermutationGroup) -> bool:
    """Tells whether first.generators[i] -> second.generators[i] extends to a homomorphism.

    It does if and only if the group of the pairs, `both`, has the order of `first`. Two cheaper tests come first: the
    orders of products must divide, and equivariant maps from orbits of `first` onto each orbit of `second` suffice.
    """
    rng, split = np.random.default_rng(0), first.degree
    words = list(both.generators)
    for choice in rng.integers(len(both.generators), size=WORDS):
        words.append(words[-1][both.generators[choice]])
    if any(_order(word[:split]) % _order(word[split:] - split) for word in words):
        return False
    starts, ends = first.orbits().representatives, second.orbits().representatives
    if len(starts) * len(ends) <= STARTS and all(any(_maps(first, second, i, k) for i in starts) for k in ends):
        return True
    return both.order == first.order


def _order(permutation: Ints) -> int:
    return math.lcm(*set(join([permutation], len(permutation)).sizes.tolist()))


def _maps(first: PermutationGroup, second: PermutationGroup, start: int, end: int) -> bool:
    """Tells whether an equivariant map from the orbit of `start` to that of `end` takes `start` to `end`."""
    image = np.full(first.degree, -1)
    image[start] = end
    newest = np.array([start])
    while len(newest):
        reached = []
        for s, t in zip(first.generators, second.generators, strict=True):
            fresh = newest[image[s[newest]] < 0]
            image[s[fresh]] = t[image[fresh]]
            reached.append(s[fresh])
        newest = np.concatenate(reached)
    inside = np.flatnonzero(image >= 0)
    pairs = zip(first.generators, second.generators, strict=True)
    return all(np.array_equal(image[s[inside]], t[image[inside]]) for s, t in pairs)


def _still(action: PermutationAction, group: Group) -> PermutationAction:
    return PermutationAction(repr(action), group, action.sizes, unmoved, action.spans_example)


def _moves_nothing(action: PermutationAction) -> bool:
    generators = action.generators
    return bool(np.all(generators == np.arange(generators.shape[-1]))) if generators.ndim == 2 else False


def _is_same(one: Group | None, other: Group | None) -> bool:
    if one is None or other is None or type(one) is not type(other):
        return False
    return one is other or np.array_equal(one.generators, other.generators)
