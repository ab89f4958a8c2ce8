"""Constructors of the actions: points, items, pixels, image transformations, coordinates, regular and trivial."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from weirdonetworks.algebra.actions.base import (
    TABULATED,
    Action,
    ElementIndex,
    Elements,
    Group,
)
from weirdonetworks.algebra.actions.kinds import (
    LinearAction,
    PermutationAction,
    TransformAction,
    unmoved,
)
from weirdonetworks.algebra.actions.transforms import ImageTransform
from weirdonetworks.algebra.arrays import Ints, at_least, brief, instance, truth
from weirdonetworks.algebra.groups.image_groups import image_dihedral, image_rotations
from weirdonetworks.algebra.groups.matrix_groups import MatrixGroup
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup, symmetric_group, trivial_group
from weirdonetworks.algebra.groups.permutations import POINTS, inverse

# What `as_action` accepts.
ActionLike: TypeAlias = Action | Group | ImageTransform | Iterable[ImageTransform]


def points(group: PermutationGroup) -> PermutationAction:
    """Makes the action of a permutation group on n points on the n entries of an example, flattened.

    >>> from weirdonetworks.algebra import image_rotations
    >>> points(image_rotations(2, 2)).apply([[1, 3, 0, 2]], [[[1, 2], [3, 4]]]).tolist()
    [[[[3, 1], [4, 2]]]]

    Raises:
      TypeError: If the group is not a `PermutationGroup`.
    """
    instance("group", group, PermutationGroup)
    return PermutationAction(f"points({group!r})", group, (group.degree,), lambda some, _: some, spans_example=True)


def items(group: PermutationGroup | int) -> PermutationAction:
    """Makes the action of a permutation group on the items of sets `[items, ...]`; features move with their item.

    >>> items(3).order, items(3).on((3, 2)).channels
    (6, 2)

    Args:
      group: The group that permutes the items; an integer n stands for `symmetric_group(n)`.

    Raises:
      TypeError: If the group is neither a `PermutationGroup` nor an integer.
      ValueError: If the integer is below 1.
    """
    if not isinstance(group, PermutationGroup):
        group = symmetric_group(at_least("group", group, 1, POINTS))
    return PermutationAction(f"items({group!r})", group, (group.degree,), lambda some, _: some)


def pixels(group: PermutationGroup | None = None, side: int | None = None) -> PermutationAction:
    """Makes the action of symmetries of the square on images `[side, side, ...]`; channels move with their pixel.

    >>> turn = pixels().generators
    >>> pixels().apply(turn, [[[1, 2], [3, 4]]]).tolist()
    [[[[2, 4], [1, 3]]]]

    Args:
      group: Symmetries of the square, as permutations of the pixels of a 2 x 2 image: `image_rotations(2, 2)` for the
        rotations by multiples of 90 degrees (the default), `image_dihedral(2, 2)` for reflections too, or a subgroup.
      side: The height and width of the images in pixels; None for any.

    Raises:
      TypeError: If the group is not a `PermutationGroup`.
      ValueError: If the group does not consist of symmetries of the square, or the side is below 1.
    """
    group = image_rotations(2, 2) if group is None else group
    remedy = "Use image_rotations(2, 2), image_dihedral(2, 2) or a subgroup."
    if not isinstance(group, PermutationGroup):
        raise TypeError(f"group (={group!r}) must be a PermutationGroup on the four pixels of a 2 x 2 image. {remedy}")
    square = image_dihedral(2, 2)
    if group.degree != 4 or not all(each in square for each in group.generators):
        raise ValueError(
            f"group (={group!r}) must permute the pixels of a 2 x 2 image as symmetries of the square do. {remedy}"
        )
    size = None if side is None else at_least("side", side, 1)
    name = f"pixels({group!r}{'' if side is None else f', side={side}'})"
    return PermutationAction(name, group, (size, size), _moved_pixels)


def image_transforms(listed: Iterable[ImageTransform]) -> TransformAction:
    """Makes the action of a list of transformations of images of one size, which in general form no group.

    >>> from weirdonetworks.algebra.actions.transforms import rotation
    >>> image_transforms([rotation(8, 8, 30 * step) for step in range(12)]).is_group
    False
    >>> image_transforms([rotation(8, 8, 90 * step) for step in range(4)]).is_group
    True

    Raises:
      TypeError: If an entry is not an `ImageTransform`.
      ValueError: If the list is empty, or the transformations differ in image size.
    """
    given = list(listed) if np.iterable(listed) else [listed]
    if not all(isinstance(each, ImageTransform) for each in given):
        raise TypeError(f"listed (={brief(listed)}) must be a list of ImageTransforms.")
    if not given:
        raise ValueError("listed must hold at least one transformation.")
    return TransformAction(given)


def coordinates(group: MatrixGroup) -> LinearAction:
    """Makes the action x -> g x of a group of real matrices on the last axis of an example.

    >>> from weirdonetworks.algebra import cyclic_rotations
    >>> quarter = coordinates(cyclic_rotations(4)).elements()[1:2]
    >>> coordinates(cyclic_rotations(4)).apply(quarter, [[[1.0, 0.0], [3.0, 5.0]]]).tolist()
    [[[[0.0, 1.0], [-5.0, 3.0]]]]

    Raises:
      TypeError: If the group is not a `MatrixGroup`.
      ValueError: If a matrix is complex.
    """
    instance("group", group, MatrixGroup)
    if np.iscomplexobj(group.generators):
        raise ValueError(f"group (={group!r}) must be real, and has complex matrices.")
    return LinearAction(f"coordinates({group!r})", group, group.dimension, lambda some: some)


def regular(group: Group, right: bool = False) -> PermutationAction:
    """Makes the regular representation: the action of a group on an axis indexed by its `elements()`.

        (s.x)[s g] = x[g],    or from the right (s.x)[g s^-1] = x[g].

    >>> from weirdonetworks.algebra import cyclic_group
    >>> regular(cyclic_group(3)).permutations(cyclic_group(3).elements()).tolist()
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]

    Args:
      group: The group, of order at most 2,048.
      right: Whether it acts from the right, as on the outputs `network(g x)` over the orbit of an input.

    Raises:
      TypeError: If the group is neither a `PermutationGroup` nor a `MatrixGroup`.
      ValueError: If the group has more than 2,048 elements.
    """
    instance("group", group, PermutationGroup, MatrixGroup)
    right = truth("right", right)
    base = as_action("group", group)
    listed = base.elements(TABULATED)
    index = ElementIndex(listed)

    def move(elements: Elements, sizes: tuple[int, ...]) -> Ints:
        if right:  # Inverse to g -> g s.
            return inverse(np.stack([index(base.compose(listed, each)) for each in elements]))
        return np.stack([index(base.compose(each, listed)) for each in elements])

    return PermutationAction(f"regular({group!r}{', right=True' * right})", group, (base.order,), move)


def trivial(size: int = 1) -> PermutationAction:
    """Makes the trivial action on an axis, that of any group on invariant outputs.

    >>> trivial(10).order
    1

    Args:
      size: The length of the axis, at least 1.

    Raises:
      ValueError: If the size is below 1.
    """
    size = at_least("size", size, 1)
    return PermutationAction(f"trivial({size})", trivial_group(1), (size,), unmoved)


def as_action(name: str, given: Any) -> Action:
    """Converts a group or image transformations to their default action; returns an `Action` as it is.

    A permutation group gives `points`, a matrix group `coordinates`, image transformations `image_transforms`.

    Args:
      name: The name of the argument, for error messages.
      given: An `Action`, a group, an `ImageTransform` or an iterable of these transforms.

    Raises:
      TypeError: If `given` is none of these.
      ValueError: If the group or the transforms admit no such action.
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
    """Extends permutations of the pixels of a 2 x 2 image to square images of any side."""
    side, width = sizes
    if side != width:
        raise ValueError(
            f"images of {side} x {width} pixels must be square for symmetries of the square to act. Crop or pad them."
        )
    rows, columns = np.divmod(np.arange(side * side), side)
    # Twice the offset from the centre, downwards and to the right; that of the four pixels is (-1, -1), (-1, 1), ...
    middle = np.stack([2 * rows - side + 1, 2 * columns - side + 1])
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    moved = []
    for element in elements:
        # The images of the axes are the columns: (down, right) = (corner 2 - corner 0, corner 1 - corner 0) / 2.
        start = corners[element[0]]
        linear = np.stack([corners[element[2]] - start, corners[element[1]] - start], axis=1) // 2
        down, right = (linear @ middle + side - 1) // 2
        moved.append(down * side + right)
    return np.stack(moved)
