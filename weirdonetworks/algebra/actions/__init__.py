"""Actions: a group, and what it acts on. Every layer that has a symmetry and every measure of one takes them.

The elements of an action move the positions of an example, `a.(b.x) = compose(a, b).x`. What a position holds are its
channels, which move along. Which axes of an example `[...]`, without the batch, are positions:

    points(group)           all: the n numbers of an example, whatever its shape
    items(group)            the first, of `[items, ...]`
    pixels(group)           the first two, of square images, by symmetries of the square
    image_transforms(list)  the same, of images of one size, by transformations that as a rule form no group
    coordinates(group)      the last, by matrices
    regular(group)          the first, whose positions are the elements of the group itself
    trivial(size)           the first, and it stays as it is
    a + b                   the first, which holds the positions of a, then those of b
    a * b                   the axes of a, then those of b, all moved by the same element
    independent(a, b)       the same, those of a and of b each moved by an element of its own

So the maps `[height, width, 4, channels]` of a convolution over quarter turns are moved by `pixels(C4) * regular(C4)`.
Other libraries call an action a field type (escnn) or a representation (EMLP).
"""

from weirdonetworks.algebra.actions.base import (
    Action,
    Elements,
    Group,
    LinearAction,
    PermutationAction,
    Placement,
    TransformAction,
)
from weirdonetworks.algebra.actions.combining import independent
from weirdonetworks.algebra.actions.kinds import (
    ActionLike,
    as_action,
    coordinates,
    image_transforms,
    items,
    pixels,
    points,
    regular,
    trivial,
)
from weirdonetworks.algebra.actions.pairing import paired

__all__ = [
    "Action",
    "ActionLike",
    "Elements",
    "Group",
    "LinearAction",
    "PermutationAction",
    "Placement",
    "TransformAction",
    "as_action",
    "coordinates",
    "image_transforms",
    "independent",
    "items",
    "paired",
    "pixels",
    "points",
    "regular",
    "trivial",
]
