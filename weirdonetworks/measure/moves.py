"""What moves the inputs and the outputs of a measured model: the same elements of one action or of two, all at once."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from weirdonetworks.algebra.actions import Action, Elements, Group, as_action, paired
from weirdonetworks.algebra.transforms import ImageTransform
from weirdonetworks.nets.orbits import ListedElements, Orbit

# An action, or what stands for one where only one can be meant; an `Orbit` moves by the elements that it has.
Moving: TypeAlias = Action | Group | Iterable[ImageTransform] | Orbit

LIMIT = 1024  # Elements of the largest group that are all applied; of a larger one so many random ones:
SAMPLES = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Moves:
    """Some elements of an action.

    Attributes:
      elements: All elements, or some drawn from a group of more than 1024.
      is_group: Whether the elements of the action form a group.
      move: Maps examples `[batch, ...]` to `[elements, batch, ...]`; raises a `ValueError` where it does not act.
    """

    elements: Elements
    is_group: bool
    move: Callable[[tf.Tensor], tf.Tensor]

    def __len__(self) -> int:
        return len(self.elements)


def moves_of(name: str, given: Moving) -> Moves:
    """Reads what moves the inputs.

    Args:
      name: The argument's name, for errors.
      given: What was given.

    Raises:
      TypeError: If it is no action and stands for none.
      ValueError: If it is a list of no transformations, or of images of several sizes.
    """
    if isinstance(given, Orbit):
        return Moves(np.arange(len(given)), given.is_exact, given)
    action = as_action(name, given)
    return _by(action, _chosen(action))


def paired_moves(action_in: Moving, action_out: Moving | None) -> tuple[Moves, Moves]:
    """Reads what moves the inputs and the outputs, the same elements in the same order.

    Two groups are paired as `algebra.paired` does. Transformations that form no group, and the elements of an `Orbit`,
    are paired with others by their places.

    Raises:
      TypeError: As `moves_of` and `paired`.
      ValueError: As `moves_of` and `paired`, or if what is paired by places differs in number.
    """
    moves = moves_of("action_in", action_in)
    if action_out is None:
        return moves, moves
    others = moves_of("action_out", action_out)
    if not isinstance(action_in, Orbit) and not isinstance(action_out, Orbit):
        one, other = as_action("action_in", action_in), as_action("action_out", action_out)
        if one.group is not None and other.group is not None:
            one, other = paired(one, other)
            elements = _chosen(one)
            return _by(one, elements), _by(other, elements)
        if other.group is not None and len(others) == 1:  # It moves nothing, whatever is done to the inputs.
            return moves, _by(other, np.repeat(others.elements, len(moves), axis=0))
    if len(moves) != len(others):
        raise ValueError(
            f"action_out has {len(others)} elements and must have as many as action_in (={len(moves)}), to be paired "
            "with them by their places."
        )
    return moves, others


def _chosen(action: Action) -> Elements:
    # Each transformation of a list was asked for, so none is left to a sample.
    return action.sample(SAMPLES, seed=0) if action.group is not None and action.order > LIMIT else action.elements()


def _by(action: Action, elements: Elements) -> Moves:
    return Moves(elements, action.is_group, ListedElements(action, elements))
