"""Lottery tickets: going back to early weights after pruning, and the controls that take a ticket apart.

The controls are those of the literature (Frankle & Carbin 2019; Su et al. 2020), and two of this project's own:

- `reinit`: the ticket's mask, with newly drawn weights;
- `shuffle_weights`: the ticket's mask, its weights shuffled among the kept connections of each layer;
- `shuffle_mask`: the ticket's weights and sparsities, the mask of each layer shuffled;
- `symmetric_shuffle`: the ticket's mask, its weights moved by a permutation of hidden units that leaves the mask as it
  is: the network before training computes the same, and training should not care;
- `asymmetric_shuffle`: the same with a permutation outside the mask's symmetry group, so that weights are moved away
  from their connections and lost.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry import automorphisms, permuting
from weight_symmetry.masks import Mask
from weight_symmetry.models import MaskedModel
from weirdonetworks.lab import seeds

Permutation = npt.NDArray[np.intp]


class Snapshot(tf.Module):
    """The variables of a network as they were at one time; part of a checkpoint."""

    def __init__(self, network: tf.Module):
        super().__init__(name="snapshot")
        self.kept = [tf.Variable(variable, trainable=False) for variable in network.variables]

    def take(self, network: tf.Module) -> None:
        """Copies the network's variables."""
        for kept, variable in zip(self.kept, network.variables, strict=True):
            kept.assign(variable)

    def restore(self, network: tf.Module) -> None:
        """Sets the network's variables to what they were."""
        for kept, variable in zip(self.kept, network.variables, strict=True):
            variable.assign(kept)


def ticket_masks(ablation: str, masks: Sequence[Mask], seed: int) -> list[Mask]:
    """Returns the masks that a ticket is trained with: its own, or each layer's shuffled by `shuffle_mask`."""
    if ablation != "shuffle_mask":
        return list(masks)
    return [
        seeds.generator(seed, "shuffle_mask", layer).permutation(mask.ravel()).reshape(mask.shape)
        for layer, mask in enumerate(masks)
    ]


def ablate(ablation: str, model: MaskedModel, seed: int, scheme: str) -> None:
    """Changes the weights of a ticket as a control asks; `none` and `shuffle_mask` leave them.

    Args:
      ablation: The control.
      model: The ticket: a model with its masks, rewound.
      seed: The base seed of what is random in the control.
      scheme: How `reinit` draws weights.
    """
    if ablation == "reinit":
        model.initialise(seeds.derive(seed, "reinit")[0], scheme=scheme)
    elif ablation == "shuffle_weights":
        _shuffle_weights(model, seed)
    elif ablation == "symmetric_shuffle":
        _move_units(model, random_symmetry(model.masks, seeds.generator(seed, ablation)))
    elif ablation == "asymmetric_shuffle":
        rng = seeds.generator(seed, ablation)
        _move_units(model, {layer: rng.permutation(mask.shape[-1]) for layer, mask in enumerate(model.masks[:-1])})


def random_symmetry(masks: Sequence[Mask], rng: np.random.Generator) -> dict[int, Permutation]:
    """Draws a joint permutation of hidden units that leaves masks as they are: a long random product of generators.

    >>> masks = [np.ones((2, 5), bool), np.ones((5, 1), bool)]
    >>> sorted(random_symmetry(masks, np.random.default_rng(0))[0].tolist())
    [0, 1, 2, 3, 4]
    """
    product = {layer: np.arange(mask.shape[-1]) for layer, mask in enumerate(masks[:-1])}
    generators = automorphisms.automorphisms(masks).generators
    # A random walk on n units by a transposition and a cycle needs of the order of n^3 log n steps to be even, but a
    # few times n already take nearly every unit away from where it was.
    length = 20 * sum(len(images) for images in product.values()) if generators else 0
    for choice in rng.integers(max(len(generators), 1), size=length):
        for layer, images in generators[choice].items():
            product[layer] = images[product[layer]]
    return product


def _shuffle_weights(model: MaskedModel, seed: int) -> None:
    for index, layer in enumerate(model.layers):
        weight, mask = layer.w.numpy(), layer.mask.numpy() > 0
        weight[mask] = seeds.generator(seed, "shuffle_weights", index).permutation(weight[mask])
        layer.set_weight(weight)


def _move_units(model: MaskedModel, permutation: Mapping[int, Permutation]) -> None:
    """Permutes hidden units, the masks staying where they are; weights that leave their connections are lost."""
    masks = model.masks
    moved = permuting.apply(permutation, model)
    for variable, value in zip(model.variables, moved.variables, strict=True):
        variable.assign(value)
    for layer, mask in zip(model.layers, masks, strict=True):
        layer.set_mask(mask)
