"""The elements by which a measure transforms a model's inputs and outputs, read from actions, groups or orbits."""

from typing import TypeAlias

import numpy as np

from weirdonetworks.algebra.actions import Action, ActionLike, Elements, as_action, paired
from weirdonetworks.nets.orbits import ListedElements

# An action, or a group or a list of image transformations where only one action can be meant; or an `Orbit`, which
# holds chosen elements of one.
Moving: TypeAlias = ActionLike | ListedElements

LIMIT = 1024  # The order of the largest group applied whole; of a larger or infinite one so many elements are drawn:
SAMPLES = 64


def moves_of(name: str, given: Moving) -> ListedElements:
    """Lists the elements to apply to the inputs.

    Args:
      name: The argument's name, for errors.
      given: An action, a group, image transformations, or an `Orbit`.

    Returns:
      The elements: all, or 64 random ones of a group of more than 1024.

    Raises:
      TypeError: As `as_action`.
      ValueError: As `as_action`.
    """
    if isinstance(given, ListedElements):
        return given
    action = as_action(name, given)
    return ListedElements(action, _chosen(action))


def paired_moves(action_in: Moving, action_out: Moving | None) -> tuple[ListedElements, ListedElements]:
    """Lists the elements to apply to the inputs and to the outputs: the same elements in the same order.

    Two groups are paired as in `algebra.paired`. Transformations without a group are paired element by element, in
    order. Beside an `Orbit`, the other action is of the same group, and moves by the elements of the `Orbit`.

    Args:
      action_in: As in `moves_of`.
      action_out: As in `moves_of`; None for the same action.

    Raises:
      TypeError: As `as_action` and `paired`.
      ValueError: As `as_action` and `paired`, if two paired lists differ in length, or if an `Orbit` is paired with
        elements of another group, or with others.
    """
    moves = moves_of("action_in", action_in)
    if action_out is None:
        return moves, moves
    others = moves_of("action_out", action_out)
    if moves.action.group is not None and others.action.group is not None:
        one, other = paired(moves.action, others.action)
        orbits = [each for each in (action_in, action_out) if isinstance(each, ListedElements)]
        # Of a pair of groups, or with the trivial one, elements are those of a group that an orbit was not made for.
        lists = [each.elements for each in orbits if each.action is one or each.action is other]
        if orbits and not (lists and all(np.array_equal(each, lists[0]) for each in lists)):
            raise ValueError(
                f"action_out (={others.action!r}) must move the outputs by the same elements as action_in "
                f"(={moves.action!r}) the inputs. Pass the actions themselves, or orbits under the two actions that "
                "algebra.paired makes of them."
            )
        elements = lists[0] if orbits else _chosen(one)
        return ListedElements(one, elements), ListedElements(other, elements)
    if others.action.group is not None and len(others) == 1:  # The trivial action goes with any other.
        return moves, ListedElements(others.action, np.repeat(others.elements, len(moves), axis=0))
    if not (moves.action.is_finite and others.action.is_finite) and moves.elements.shape != others.elements.shape:
        raise ValueError(
            f"action_out (={others.action!r}) must be a flow of as many generators as action_in (={moves.action!r})."
        )
    if len(moves) != len(others):
        raise ValueError(
            f"action_out has {len(others)} elements and must have as many as action_in (={len(moves)}), to be paired "
            "with them by their places."
        )
    return moves, others


def _chosen(action: Action) -> Elements:
    # Transformations listed by the user are all applied, however many.
    if not action.is_finite or (action.group is not None and action.order > LIMIT):
        return action.sample(SAMPLES, seed=0)
    return action.elements()
