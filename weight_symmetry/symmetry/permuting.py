"""Permutation of the units of masks and of models, which leaves a model's function unchanged."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from weight_symmetry.masks import Mask
from weight_symmetry.symmetry.masked_units import MaskedUnits, Masks, read
from weirdonetworks.algebra.groups.permutations import as_permutations
from weirdonetworks.measure.unit_layout import UnitLayout
from weirdonetworks.measure.unit_tracing.axes import gather, units_of

if TYPE_CHECKING:
    from weight_symmetry.models import Classifier


def permute(masks: Masks, permutation: Mapping[Any, npt.ArrayLike], layout: UnitLayout | None = None) -> list[Any]:
    """Permutes units, together with all their connections: `permuted[s_before(i), s(j)] == mask[i, j]`.

    >>> permute([[[1, 0, 0]], [[1], [0], [1]]], {0: [1, 2, 0]})[0].astype(int)
    array([[0, 1, 0]])

    Args:
      masks: The masks, as `propagate` takes them.
      permutation: For each layer index, or with a layout each free space by name, `s` with `s[i]` the image of output
        unit `i`; others stay in place.
      layout: The layout of a model that is no chain of layers: `UnitGraph.trace(model, *example_inputs)`.

    Returns:
      New boolean masks in the order of the layers, or of the layout's variables, with None for those without a mask.

    Raises:
      TypeError: If `layout` is none.
      ValueError: If the masks do not fit, or an entry is not a permutation of units that may move.
    """
    return permuted(read(masks, layout, permute_outputs=layout is None), permutation)


def permuted(masked: MaskedUnits, permutation: Mapping[Any, npt.ArrayLike]) -> list[Mask | None]:
    """Permutes units of masks, as `permute` does."""
    chosen = {}
    for key, images in permutation.items():
        if key not in masked.movable:
            kind = "layer" if masked.chained else "space"
            why = f"; they are fixed: {masked.sets[key].fixed}" if key in masked.sets else ""
            known = ", ".join(map(str, masked.movable)) or "none"
            raise ValueError(
                f"permutation (of {kind} {key}) must be of units that may move{why}. Those that may: {known}."
            )
        units = masked.movable[key]
        if not np.array_equal(np.sort(np.asarray(images)), np.arange(units.size)):
            raise ValueError(f"permutation[{key!r}] must hold each of the {units.size} units once.")
        chosen[units] = as_permutations(images)
    found: list[Mask | None] = []
    for mask, axes in zip(masked.masks, masked.layout.axes, strict=True):
        moved = None if mask is None else mask.copy()
        for place, axis in enumerate(axes):
            if moved is not None and any(units in chosen for units in units_of(axis)):
                moved = np.take(moved, gather(axis, chosen), axis=place)
        found.append(moved)
    return found


def apply(permutation: Mapping[int, npt.ArrayLike], model: Classifier) -> Classifier:
    """Permutes hidden units of a model, with all that belongs to them: `new_w[s_before(i), s(j)] == w[i, j]`.

    Weights, biases, and batch norm's scale, offset and moving statistics move with their unit, so outputs and
    gradients are the same up to the order of summation (but for dropout, whose units are drawn by position).

    >>> from weight_symmetry.models import MNIST_FC
    >>> images = tf.ones([2, 28, 28, 1])
    >>> model = MNIST_FC(features=(3, 2))
    >>> outputs = model(images, is_training=False)
    >>> permuted = apply({0: [1, 2, 0]}, model)
    >>> bool((permuted.layers[0].w.numpy()[:, [1, 2, 0]] == model.layers[0].w.numpy()).all())
    True
    >>> np.allclose(permuted(images, is_training=False), outputs, atol=1e-5)
    True

    Args:
      permutation: For each hidden layer by index, `s` with `s[i]` the image of unit (neuron, filter) `i`; the other
        layers stay in place.
      model: One of the three models, with its variables.

    Returns:
      A new model of the same class; the given one is unchanged, and the two share no variable.

    Raises:
      TypeError: If the model is none of the three.
      ValueError: If the model was never called, an entry is not a permutation of its layer's units, or the layer is
        the output, whose units are labelled.
    """
    from weight_symmetry import structure

    structure.check_called(model)
    shapes = [layer.w.shape for layer in model.layers]
    widths = [shape[-1] for shape in shapes[:-1]]
    if len(widths) in permutation:
        raise ValueError(f"permutation (of layer {len(widths)}) must leave the outputs in place: they are labelled.")
    permute([np.ones(shape) for shape in shapes], permutation)  # Checks it.
    sources = [np.arange(shape[-1]) for shape in shapes]
    for index, images in permutation.items():
        sources[index] = np.argsort(images)
    new = structure.rebuild(model, widths)
    inputs = [np.arange(model.layers[0].w.shape[-2]), *sources]
    for layer, old, (before, after) in zip(new.layers, model.layers, itertools.pairwise(inputs), strict=True):
        layer.w.assign(old.w.numpy()[..., before, :][..., after])
        if layer.with_bias:
            layer.b.assign(old.b.numpy()[after])
    for norm, old_norm, units in zip(new.norms, model.norms, sources, strict=False):
        structure.copy_norm(old_norm, norm, units)
    return new
