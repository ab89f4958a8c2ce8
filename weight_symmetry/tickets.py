"""Lottery tickets: weights rewound after pruning, and controls that change a ticket's mask or weights.

The controls are those of the literature (Frankle & Carbin 2019; Su et al. 2020), and two of this project's own:

- `reinit`: the ticket's mask, with newly drawn weights;
- `shuffle_weights`: the ticket's mask, its weights shuffled among the kept connections of each layer;
- `shuffle_mask`: the ticket's weights and sparsities, the mask of each layer shuffled;
- `symmetric_shuffle`: the ticket's mask, its weights moved by a permutation of hidden units that leaves the mask as it
  is: the network before training computes the same, and training should not care;
- `asymmetric_shuffle`: the same with a permutation outside the mask's symmetry group, so that the mask cuts other
  weights than it did.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry import symmetry
from weight_symmetry.masks import Mask
from weight_symmetry.models import MaskedModel
from weirdonetworks.lab import seeds
from weirdonetworks.lab.errors import UsageError

Permutation = npt.NDArray[np.intp]


class Snapshot(tf.Module):
    """A copy of a network's variables, saved in checkpoints."""

    def __init__(self, network: tf.Module):
        super().__init__(name="snapshot")
        self.kept = [tf.Variable(variable, trainable=False) for variable in network.variables]

    def take(self, network: tf.Module) -> None:
        """Copies the variables of the network into the snapshot."""
        for kept, variable in zip(self.kept, network.variables, strict=True):
            kept.assign(variable)

    def restore(self, network: tf.Module) -> None:
        """Sets the variables of the network to their copies."""
        for kept, variable in zip(self.kept, network.variables, strict=True):
            variable.assign(kept)


def ticket_masks(ablation: str, masks: Sequence[Mask], seed: int, epoch: int = 0) -> list[Mask]:
    """Returns the masks that a ticket is trained with: its own, or each layer's shuffled by `shuffle_mask`."""
    if ablation != "shuffle_mask":
        return list(masks)
    return [
        seeds.generator(seed, "shuffle_mask", layer, epoch).permutation(mask.ravel()).reshape(mask.shape)
        for layer, mask in enumerate(masks)
    ]


def move_units(ablation: str, model: MaskedModel, masks: Sequence[Mask], seed: int, epoch: int = 0) -> None:
    """Moves the hidden units of a model that is not masked yet, as `symmetric_shuffle` or `asymmetric_shuffle` asks.

    Moved before it is masked, every connection that the masks keep has an early weight, whichever permutation it is.

    Args:
      ablation: The control; any other changes nothing.
      model: The model, rewound.
      masks: The ticket's masks, which stay where they are.
      seed: The base seed.
      epoch: The number of finished epochs, so that each ticket of a run draws its own permutation.

    Raises:
      UsageError: If `asymmetric_shuffle` finds no permutation outside the masks' group.
    """
    if ablation not in ("symmetric_shuffle", "asymmetric_shuffle"):
        return
    rng = seeds.generator(seed, ablation, epoch)
    permutation = random_symmetry(masks, rng) if ablation == "symmetric_shuffle" else random_asymmetry(masks, rng)
    moved = symmetry.apply(permutation, model)
    for variable, value in zip(model.variables, moved.variables, strict=True):
        variable.assign(value)


def ablate(ablation: str, model: MaskedModel, seed: int, scheme: str, epoch: int = 0) -> None:
    """Changes the weights of a masked ticket as `reinit` or `shuffle_weights` asks; any other control leaves them.

    Args:
      ablation: The control.
      model: The ticket: a model with its masks, rewound.
      seed: The base seed.
      scheme: The initialiser of `reinit`, one of `initialisation.SCHEMES`.
      epoch: The number of finished epochs, so that each ticket of a run draws its own control.
    """
    if ablation == "reinit":
        model.initialise(seeds.derive(seed, "reinit", epoch)[0], scheme=scheme)
    elif ablation == "shuffle_weights":
        for index, layer in enumerate(model.layers):
            weight, mask = layer.w.numpy(), layer.mask.numpy() > 0
            weight[mask] = seeds.generator(seed, "shuffle_weights", index, epoch).permutation(weight[mask])
            layer.set_weight(weight)


def random_asymmetry(masks: Sequence[Mask], rng: np.random.Generator, tries: int = 100) -> dict[int, Permutation]:
    """Draws a joint permutation of hidden units that changes some mask.

    Raises:
      UsageError: If none of many draws changes a mask, as where every unit permutation preserves the masks.
    """
    for _ in range(tries):
        drawn = {layer: rng.permutation(mask.shape[-1]) for layer, mask in enumerate(masks[:-1])}
        moved = symmetry.permute(masks, drawn)
        if any((before != after).any() for before, after in zip(masks, moved, strict=True)):
            return drawn
    raise UsageError("ablation (=asymmetric_shuffle) has nothing to draw: every unit permutation preserves this mask.")


def random_symmetry(masks: Sequence[Mask], rng: np.random.Generator) -> dict[int, Permutation]:
    """Draws a joint permutation of hidden units that leaves masks as they are: a long random product of generators.

    >>> masks = [np.ones((2, 5), bool), np.ones((5, 1), bool)]
    >>> sorted(random_symmetry(masks, np.random.default_rng(0))[0].tolist())
    [0, 1, 2, 3, 4]
    """
    product = {layer: np.arange(mask.shape[-1]) for layer, mask in enumerate(masks[:-1])}
    generators = symmetry.automorphisms(masks).generators
    # A random walk on n units by a transposition and a cycle needs of the order of n^3 log n steps to be even, but a
    # few times n already take nearly every unit away from where it was.
    length = 20 * sum(len(images) for images in product.values()) if generators else 0
    for choice in rng.integers(max(len(generators), 1), size=length):
        for layer, images in generators[choice].items():
            product[layer] = images[product[layer]]
    return product
