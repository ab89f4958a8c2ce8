"""The kinds of actions, each made by a function."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from weirdonetworks.algebra.actions.base import (
    TABULATED,
    Action,
    Elements,
    Group,
    LinearAction,
    Numbers,
    PermutationAction,
    TransformAction,
    check_kind,
    unmoved,
)
from weirdonetworks.algebra.arrays import Ints, at_least
from weirdonetworks.algebra.groups import PermutationGroup, symmetric_group, trivial_group
from weirdonetworks.algebra.image_groups import image_dihedral, image_rotations
from weirdonetworks.algebra.matrix_groups import MatrixGroup
from weirdonetworks.algebra.permutations import inverse
from weirdonetworks.algebra.transforms import ImageTransform

# What `as_action` reads.
ActionLike: TypeAlias = Action | Group | ImageTransform | Iterable[ImageTransform]


def points(group: PermutationGroup) -> PermutationAction:
    """Makes the action of a group of permutations of n points on the n numbers of an example, flattened.

    >>> from weirdonetworks.algebra import image_rotations
    >>> points(image_rotations(2, 2)).apply([[1, 3, 0, 2]], [[[1, 2], [3, 4]]]).tolist()
    [[[[3, 1], [4, 2]]]]

    Raises:
      TypeError: If the group is none.
    """
    check_kind("group", group, PermutationGroup)
    return PermutationAction(f"points({group!r})", group, (group.degree,), lambda some, _: some, spans_example=True)


def items(group: PermutationGroup | int) -> PermutationAction:
    """Makes the action of a group of permutations on the items of sets `[items, ...]`, whose features move along.

    >>> items(3).order, items(3).on((3, 2)).channels
    (6, 2)

    Args:
      group: Permutes the items; a number n for all n! orders of n items.

    Raises:
      TypeError: If it is neither.
      ValueError: If the number is below 1.
    """
    if not isinstance(group, PermutationGroup):
        group = symmetric_group(at_least("group", group, 1))
    return PermutationAction(f"items({group!r})", group, (group.degree,), lambda some, _: some)


def pixels(group: PermutationGroup | None = None, side: int | None = None) -> PermutationAction:
    """Makes the action of symmetries of the square on square images `[side, side, ...]`, whose channels move along.

    >>> turn = pixels().generators
    >>> pixels().apply(turn, [[[1, 2], [3, 4]]]).tolist()
    [[[[2, 4], [1, 3]]]]

    Args:
      group: Symmetries of the square, as they permute the pixels of images 2 x 2: `image_rotations(2, 2)`, the four
        quarter turns counter-clockwise, unless given; `image_dihedral(2, 2)`, with mirror images; or a subgroup.
      side: The side of the images; None for any.

    Raises:
      TypeError: If the group is none.
      ValueError: If it does not consist of symmetries of the square, or the side is below 1.
    """
    group = image_rotations(2, 2) if group is None else group
    remedy = "Use image_rotations(2, 2), image_dihedral(2, 2) or a subgroup."
    if not isinstance(group, PermutationGroup):
        raise TypeError(f"group (={group!r}) must be a PermutationGroup of the four pixels of images 2 x 2. {remedy}")
    square = image_dihedral(2, 2)
    if group.degree != 4 or not all(each in square for each in group.generators):
        raise ValueError(
            f"group (={group!r}) must permute the pixels of images 2 x 2 as symmetries of the square do. {remedy}"
        )
    size = None if side is None else at_least("side", side, 1)
    name = f"pixels({group!r}{'' if side is None else f', side={side}'})"
    return PermutationAction(name, group, (size, size), _moved_pixels)


def image_transforms(listed: Iterable[ImageTransform]) -> TransformAction:
    """Makes an action of image transformations of one size; as a rule they form no group, which `is_group` tells.

    >>> from weirdonetworks.algebra.transforms import rotation
    >>> image_transforms([rotation(8, 8, 30 * step) for step in range(12)]).is_group
    False
    >>> image_transforms([rotation(8, 8, 90 * step) for step in range(4)]).is_group
    True

    Raises:
      TypeError: If they are no transformations.
      ValueError: If there is none, or they differ in size.
    """
    given = list(listed) if np.iterable(listed) else [listed]
    if not all(isinstance(each, ImageTransform) for each in given):
        raise TypeError(f"transforms (={listed!r}) must be a list of ImageTransforms.")
    if not given:
        raise ValueError("transforms must hold at least one transformation.")
    return TransformAction(given)


def coordinates(group: MatrixGroup) -> LinearAction:
    """Makes the action of a group of real matrices, x -> g x, on the last axis of an example.

    >>> from weirdonetworks.algebra import cyclic_rotations
    >>> quarter = coordinates(cyclic_rotations(4)).elements()[1:2]
    >>> coordinates(cyclic_rotations(4)).apply(quarter, [[[1.0, 0.0], [3.0, 5.0]]]).tolist()
    [[[[0.0, 1.0], [-5.0, 3.0]]]]

    Raises:
      TypeError: If the group is none.
      ValueError: If a matrix is complex.
    """
    check_kind("group", group, MatrixGroup)
    if np.iscomplexobj(group.generators):
        raise ValueError(f"group (={group!r}) must be real, and has complex matrices.")
    return LinearAction(f"coordinates({group!r})", group, group.dimension, lambda some: some)


def regular(group: Group, right: bool = False) -> PermutationAction:
    """Makes the action of a group on an axis of its own elements, in the order of `elements()`.

        (s.x)[s g] = x[g],    or from the right (s.x)[g s^-1] = x[g].

    >>> from weirdonetworks.algebra import cyclic_group
    >>> regular(cyclic_group(3)).permutations(cyclic_group(3).elements()).tolist()
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]

    Args:
      group: The group, of at most 2,048 elements.
      right: Whether it acts from the right, as on the values network(g x) of a network at the elements.

    Raises:
      TypeError: If the group is none.
      ValueError: If it has too many elements.
    """
    check_kind("group", group, PermutationGroup | MatrixGroup)
    base = as_action("group", group)
    listed = base.elements(TABULATED)
    numbers = Numbers(listed)

    def move(elements: Elements, sizes: tuple[int, ...]) -> Ints:
        if right:  # Inverse to g -> g s.
            return inverse(np.stack([numbers(base.compose(listed, each)) for each in elements]))
        return np.stack([numbers(base.compose(each, listed)) for each in elements])

    return PermutationAction(f"regular({group!r}{', right=True' * right})", group, (base.order,), move)


def trivial(size: int = 1) -> PermutationAction:
    """Makes the action that leaves an axis as it is; it pairs with any other, as the action on invariant outputs.

    >>> trivial(10).order
    1

    Raises:
      ValueError: If the size is below 1.
    """
    size = at_least("size", size, 1)
    return PermutationAction(f"trivial({size})", trivial_group(1), (size,), unmoved)


def as_action(name: str, given: Any) -> Action:
    """Reads an action: itself, or what a group or transformations act on where only one action can be meant.

    A permutation group acts on `points`, a matrix group on `coordinates`, and image transformations on images.

    Args:
      name: The argument's name, for errors.
      given: What was given.

    Raises:
      TypeError: If it is none of these.
      ValueError: As the kinds do.
    """
    if isinstance(given, Action):
        return given
    if isinstance(given, PermutationGroup):
        return points(given)
    if isinstance(given, MatrixGroup):
        return coordinates(given)
    listed = list(given) if np.iterable(given) and not isinstance(given, str) else [given]
    if not all(isinstance(each, ImageTransform) for each in listed):
        raise TypeError(
            f"{name} (={given!r}) must be an Action, such as items(group), a PermutationGroup, a MatrixGroup or a list "
            "of ImageTransforms."
        )
    if not listed:
        raise ValueError(f"{name} must hold at least one transformation.")
    return TransformAction(listed)


def _moved_pixels(elements: Elements, sizes: tuple[int, ...]) -> Ints:
    """Moves the pixels of a square image as elements move the four pixels of an image 2 x 2."""
    side, width = sizes
    if side != width:
        raise ValueError(
            f"images of {side} x {width} pixels must be square, or their turns do not fit the frame. Crop or pad them."
        )
    rows, columns = np.divmod(np.arange(side * side), side)
    # Twice the distance from the centre, downwards and to the right; that of the four pixels is (-1, -1), (-1, 1), ...
    middle = np.stack([2 * rows - side + 1, 2 * columns - side + 1])
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    moved = []
    for element in elements:
        # The axes go where the element takes them: (down, right) = (corner 2 - corner 0, corner 1 - corner 0) / 2.
        start = corners[element[0]]
        linear = np.stack([corners[element[2]] - start, corners[element[1]] - start], axis=1) // 2
        down, right = (linear @ middle + side - 1) // 2
        moved.append(down * side + right)
    return np.stack(moved)
