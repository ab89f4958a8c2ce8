"""Writes the counts of weights of our layers, with the generators that they commute with; see the package."""

import itertools
import json
import pathlib
import sys
from typing import Any

import tensorflow as tf

from weirdonetworks.algebra import (
    PermutationAction,
    alternating_group,
    cyclic_group,
    dihedral_group,
    image_dihedral,
    image_rotations,
    image_translations,
    items,
    pixels,
    points,
    regular,
    trivial,
)
from weirdonetworks.nets.group_convolution import GroupConv2D, LiftingConv2D
from weirdonetworks.nets.shared import EquivariantLinear

SQUARE = image_dihedral(2, 2)
LINEAR: dict[str, tuple[PermutationAction, PermutationAction]] = {
    "C6 on 6 points": (items(cyclic_group(6)),) * 2,
    "D5 on 5 points": (items(dihedral_group(5)),) * 2,
    "S6 on 6 points": (items(6),) * 2,
    "A5 on 5 points": (items(alternating_group(5)),) * 2,
    "S4, points to pairs": (items(4), items(4) * items(4)),
    "S4, pairs to pairs": (items(4) * items(4),) * 2,
    "S5, points to invariants": (items(5), trivial(1)),
    "C4 on images 4 x 4": (pixels(side=4),) * 2,
    "D4 on images 3 x 3": (pixels(SQUARE, side=3),) * 2,
    "D4, images 3 x 3 to 4 x 4": (pixels(SQUARE, side=3), pixels(SQUARE, side=4)),
    "shifts of images 3 x 4": (points(image_translations(3, 4)),) * 2,
    "D4 on its 8 elements": (regular(dihedral_group(4)),) * 2,
}


CONVOLUTIONS = {"C4": image_rotations(2, 2), "D4": SQUARE}


def main() -> int:
    """Writes the file."""
    counts: dict[str, dict[str, Any]] = {}
    for name, (action_in, action_out) in LINEAR.items():
        layer = EquivariantLinear(action_in, action_out)
        counts[name] = _counted(layer, layer.action_in, layer.action_out)
    for (name, group), side in itertools.product(CONVOLUTIONS.items(), (3, 5)):
        # The filters are the maps that commute, from the numbers that they lie on to those at the middle.
        images, elements = pixels(group, side), regular(group)
        lifting, convolution = LiftingConv2D(1, side, group), GroupConv2D(1, side, group)
        counts[f"{name}, lifting convolution {side} x {side}"] = _counted(lifting, images, elements)
        counts[f"{name}, group convolution {side} x {side}"] = _counted(convolution, images * elements, elements)
    pathlib.Path(sys.argv[1]).write_text(json.dumps(counts), encoding="utf-8")
    return 0


def _counted(layer: Any, inputs: PermutationAction, outputs: PermutationAction) -> dict[str, Any]:
    layer(tf.zeros([1, *inputs.known_sizes(), 1]))
    return {
        "weights": int(tf.size(layer.w)),
        "biases": int(tf.size(layer.b)),
        "inputs": inputs.position_group().generators.tolist(),
        "outputs": outputs.position_group().generators.tolist(),
    }


if __name__ == "__main__":
    sys.exit(main())
