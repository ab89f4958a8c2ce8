"""Masks of weights: generators on shapes alone, and `Masks`, which keeps a model's weights cut in any training loop."""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weight_symmetry.masks.distributions import DISTRIBUTIONS as DISTRIBUTIONS, layer_sparsities as layer_sparsities
    from weight_symmetry.masks.generators import (
        MASK_TYPES as MASK_TYPES,
        Mask as Mask,
        as_mask as as_mask,
        asymmetric as asymmetric,
        connections_added as connections_added,
        create as create,
        grouped as grouped,
        per_neuron as per_neuron,
        per_neuron_no_input_ablation as per_neuron_no_input_ablation,
        random as random,
        symmetric as symmetric,
        whole_neurons as whole_neurons,
    )
    from weight_symmetry.masks.gradient_sizes import gradient_ratios as gradient_ratios
    from weight_symmetry.masks.model_masks import Masks as Masks

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.names(__name__)
