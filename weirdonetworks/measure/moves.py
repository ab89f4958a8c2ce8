"""What moves the inputs and the outputs of a measured model: the same elements of one action or of two."""

from typing import TypeAlias

import numpy as np

from weirdonetworks.algebra.actions import Action, ActionLike, Elements, as_action, paired
from weirdonetworks.nets.orbits import ListedElements

# An action, or a group or a list of image transformations where only one action can be meant; or chosen elements of
# one, as an `Orbit` has them.
Moving: TypeAlias = ActionLike | ListedElements

LIMIT = 1024  # The order of the largest group whose elements are all applied; of a larger one so many random elements:
SAMPLES = 64


def moves_of(name: str, given: Moving) -> ListedElements:
    """Reads what moves the inputs.

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
    """Reads what moves the inputs and the outputs: the same elements in the same order.

    Two groups are paired as `algebra.paired` does. Transformations that form no group, and the elements of an `Orbit`,
    are paired with others by their places in the list.

    Args:
      action_in: As in `moves_of`.
      action_out: As in `moves_of`; None for the same action.

    Raises:
      TypeError: As `as_action` and `paired`.
      ValueError: As `as_action` and `paired`, or if lists that are paired differ in length.
    """
    moves = moves_of("action_in", action_in)
    if action_out is None:
        return moves, moves
    others = moves_of("action_out", action_out)
    if not isinstance(action_in, ListedElements) and not isinstance(action_out, ListedElements):
        if moves.action.group is not None and others.action.group is not None:
            one, other = paired(moves.action, others.action)
            elements = _chosen(one)
            return ListedElements(one, elements), ListedElements(other, elements)
        if others.action.group is not None and len(others) == 1:  # A trivial action, whatever moves the inputs.
            return moves, ListedElements(others.action, np.repeat(others.elements, len(moves), axis=0))
    if len(moves) != len(others):
        raise ValueError(
            f"action_out has {len(others)} elements and must have as many as action_in (={len(moves)}), to be paired "
            "with them by their places."
        )
    return moves, others


def _chosen(action: Action) -> Elements:
    # Each transformation of a list was asked for, so none is left to a sample.
    return action.sample(SAMPLES, seed=0) if action.group is not None and action.order > LIMIT else action.elements()
