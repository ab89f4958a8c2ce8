"""Group actions on examples: the argument that tells layers and measures of symmetry what a group acts on.

An element moves the positions of an example, `a.(b.x) = compose(a, b).x`; the numbers at one position are its channels
and move together. The positions lie along these axes of an example `[...]`, without the batch:

    points(group)           all axes: the n numbers of an example, of any shape
    items(group)            the first, of sets `[items, ...]`
    pixels(group)           the first two, of square images, under symmetries of the square
    image_transforms(list)  the first two, of images of one size, under transformations that need not form a group
    coordinates(group)      the last, multiplied by matrices
    flow(generators)        the last, multiplied by exp(t A): a connected Lie group
    regular(group)          the first, indexed by the elements of the group (the regular representation)
    trivial(size)           the first, left unchanged
    a + b                   the first: the positions of a, then those of b (the direct sum)
    a * b                   the axes of a, then those of b, moved by the same element (the tensor product)
    independent(a, b)       the same axes, under the direct product of the groups: an element for each factor

For example `pixels(C4) * regular(C4)` acts on the feature maps `[height, width, 4, channels]` of a C4 convolution.
Other libraries call an action a field type (escnn) or a representation (EMLP).
"""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weirdonetworks.algebra.actions.base import (
        Action as Action,
        Elements as Elements,
        Group as Group,
        Placement as Placement,
    )
    from weirdonetworks.algebra.actions.combining import independent as independent
    from weirdonetworks.algebra.actions.constructors import (
        ActionLike as ActionLike,
        as_action as as_action,
        coordinates as coordinates,
        image_transforms as image_transforms,
        items as items,
        pixels as pixels,
        points as points,
        regular as regular,
        trivial as trivial,
    )
    from weirdonetworks.algebra.actions.flows import FlowAction as FlowAction, flow as flow
    from weirdonetworks.algebra.actions.kinds import (
        LinearAction as LinearAction,
        PermutationAction as PermutationAction,
        TransformAction as TransformAction,
    )
    from weirdonetworks.algebra.actions.pairing import paired as paired


if not TYPE_CHECKING:  # A type checker that saw this would take every name for one that exists.
    __getattr__, __dir__ = lazy.names(__name__)
