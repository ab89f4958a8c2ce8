"""Permutation of a model's hidden units, which leaves its function unchanged."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from weight_symmetry.automorphisms import permute

if TYPE_CHECKING:
    from weight_symmetry.models import MaskedModel


def apply(permutation: Mapping[int, npt.ArrayLike], model: MaskedModel) -> MaskedModel:
    """Permutes hidden units of a model, with all that belongs to them: `new_w[s_before(i), s(j)] == w[i, j]`.

    Weights, masks, biases, and batch norm's scale, offset and moving statistics move with their unit, so outputs and
    gradients are the same up to the order of summation (but for dropout, whose units are drawn by position). The masks
    of the new model are `permute(model.masks, permutation)`: those of the given one exactly if the permutation is an
    element of `automorphisms(model.masks)`.

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
    widths = [layer.output_size for layer in model.layers[:-1]]
    if len(widths) in permutation:
        raise ValueError(f"permutation (of layer {len(widths)}) must leave the outputs in place: they are labelled.")
    masks = permute(model.masks, permutation)
    sources = [np.arange(layer.output_size) for layer in model.layers]
    for index, images in permutation.items():
        sources[index] = np.argsort(images)
    new = structure.rebuild(model, widths)
    inputs = [np.arange(model.layers[0].w.shape[-2]), *sources]
    for layer, old, mask, (before, after) in zip(
        new.layers, model.layers, masks, itertools.pairwise(inputs), strict=True
    ):
        layer.set_mask(mask)
        layer.set_weight(old.w.numpy()[..., before, :][..., after])
        if layer.with_bias:
            layer.b.assign(old.b.numpy()[after])
    for norm, old_norm, units in zip(new.norms, model.norms, sources, strict=False):
        structure.copy_norm(old_norm, norm, units)
    return new
