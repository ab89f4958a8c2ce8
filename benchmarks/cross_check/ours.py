"""Writes the counts of weights of our layers, with the generators that they commute with; see the package."""

import itertools
import json
import pathlib
import sys
from typing import Any

import numpy as np
import tensorflow as tf

from weirdonetworks.algebra import (
    PermutationGroup,
    alternating_group,
    cyclic_group,
    dihedral_group,
    image_dihedral,
    image_rotations,
    image_translations,
    symmetric_group,
    trivial_group,
)
from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.nets.shared import EquivariantLinear, GroupConv2D, LiftingConv2D


def on_pairs(group: PermutationGroup) -> PermutationGroup:
    """Lets a group act on ordered pairs of its points."""
    return PermutationGroup([(s[:, None] * group.degree + s).ravel() for s in group.generators])


def regular(group: PermutationGroup) -> PermutationGroup:
    """Lets the generators of a group act on its elements from the left."""
    elements = group.elements()
    places = {element.tobytes(): place for place, element in enumerate(elements)}
    return PermutationGroup([[places[s[element].tobytes()] for element in elements] for s in group.generators])


LINEAR: dict[str, tuple[PermutationGroup, PermutationGroup]] = {
    "C6 on 6 points": (cyclic_group(6),) * 2,
    "D5 on 5 points": (dihedral_group(5),) * 2,
    "S6 on 6 points": (symmetric_group(6),) * 2,
    "A5 on 5 points": (alternating_group(5),) * 2,
    "S4, points to pairs": (symmetric_group(4), on_pairs(symmetric_group(4))),
    "S4, pairs to pairs": (on_pairs(symmetric_group(4)),) * 2,
    "S5, points to invariants": (symmetric_group(5), trivial_group(1)),
    "C4 on images 4 x 4": (image_rotations(4, 4),) * 2,
    "D4 on images 3 x 3": (image_dihedral(3, 3),) * 2,
    "D4, images 3 x 3 to 4 x 4": (image_dihedral(3, 3), image_dihedral(4, 4)),
    "shifts of images 3 x 4": (image_translations(3, 4),) * 2,
    "D4 on its 8 elements": (regular(dihedral_group(4)),) * 2,
}


CONVOLUTIONS = {"C4": image_rotations, "D4": image_dihedral}


def main() -> int:
    """Writes the file."""
    counts: dict[str, dict[str, Any]] = {}
    for name, (group_in, group_out) in LINEAR.items():
        layer = EquivariantLinear(group_in, group_out)
        layer(tf.zeros([1, group_in.degree, 1]))
        partners = np.broadcast_to(group_out.generators, (len(group_in.generators), group_out.degree))
        counts[name] = _counted(layer, group_in.generators, partners)
    for (name, group), side in itertools.product(CONVOLUTIONS.items(), (3, 5)):
        # The filters are the maps that commute, from the numbers that they lie on to those at the middle.
        pixels, elements = group(side, side).generators, regular(group(2, 2)).generators
        order = elements.shape[1]
        both = [(s[:, None] * order + t).ravel() for s, t in zip(pixels, elements, strict=True)]
        lifting, convolution = LiftingConv2D(1, side, name), GroupConv2D(1, side, name)
        lifting(tf.zeros([1, side, side, 1]))
        convolution(tf.zeros([1, side, side, order, 1]))
        counts[f"{name}, lifting convolution {side} x {side}"] = _counted(lifting, pixels, elements)
        counts[f"{name}, group convolution {side} x {side}"] = _counted(convolution, np.array(both), elements)
    pathlib.Path(sys.argv[1]).write_text(json.dumps(counts), encoding="utf-8")
    return 0


def _counted(layer: Any, inputs: Ints, outputs: Ints) -> dict[str, Any]:
    return {
        "weights": int(tf.size(layer.w)),
        "biases": int(tf.size(layer.b)),
        "inputs": inputs.tolist(),
        "outputs": outputs.tolist(),
    }


if __name__ == "__main__":
    sys.exit(main())
