"""Trains a network and prunes the weights of least magnitude.

    for epoch in range(epochs):  # The loop of all trainings, `fit`; what `updater` makes is called before each epoch.
        if the schedule's sparsity rises:
            score the weights by their magnitude, within each layer or over all of them  # `MagnitudePruning`
            cut those of least score: exactly round(sparsity * size), ties by position  # `magnitude_masks`
            rewind the others, if asked for, and apply the control to them  # `Rewind`
        train an epoch, with the cut weights at zero  # `Trainer.epoch`, the optimizer wrapped by `Masks`

usage: python -m weight_symmetry.prune [--flag=value ...]

Prune LeNet-300-100 on MNIST to 90% sparsity after half of the epochs:

    python -m weight_symmetry.prune --sparsity=0.9

In three steps, or in the second layer only:

    python -m weight_symmetry.prune --epochs=10 --pruning_schedule='[(2, 0.3), (5, 0.6), (8, 0.95)]'
    python -m weight_symmetry.prune --epochs=10 --pruning_schedule="{'1': [(2, 0.3), (5, 0.6), (8, 0.95)]}"

A lottery ticket, a control with newly drawn weights, and the ticket's mask carried over to another network:

    python -m weight_symmetry.prune --rewind_epoch=0
    python -m weight_symmetry.prune --rewind_epoch=0 --ablation=reinit
    python -m weight_symmetry.prune --rewind_epoch=0 --ablation=aligned
"""

from typing import TYPE_CHECKING

from weight_symmetry.run import driver
from weight_symmetry.run.config import TrialOptions
from weight_symmetry.run.prune_config import PruneConfig
from weirdonetworks.lab import flags

if TYPE_CHECKING:
    from weight_symmetry.run.model_trials import MaskedModel
    from weight_symmetry.updaters import Updater


def updater(config: PruneConfig, model: "MaskedModel") -> "Updater":
    """Makes the updater that scores, cuts and rewinds before each epoch."""
    from weight_symmetry import updaters

    pruning = updaters.MagnitudePruning(model.masks, config.schedules, config.pruning_scope)
    if config.rewind_epoch < 0:
        return pruning
    seed = config.random_seed
    if config.ablation == "aligned":
        from weight_symmetry.run.model_trials import FIXED_CALL

        other, sample = model.other, model.sample
        assert other is not None and sample is not None
        carried = updaters.CarriedMask(
            model.network, lambda epochs: other(epochs, config.rewind_epoch), sample, FIXED_CALL
        )
        return updaters.Rewind(pruning, model.network.variables, config.rewind_epoch, carried, model.reset)
    control = {
        "none": None,
        "reinit": updaters.NewWeights(seed, config.scheme, model.begin),
        "shuffle_weights": updaters.ShuffledWeights(seed),
        "shuffle_mask": updaters.ShuffledMask(seed),
        "symmetric_shuffle": updaters.MovedUnits(seed, symmetric=True, move=model.move, units=model.units),
        "asymmetric_shuffle": updaters.MovedUnits(seed, symmetric=False, move=model.move, units=model.units),
    }[config.ablation]
    return updaters.Rewind(pruning, model.network.variables, config.rewind_epoch, control, model.reset)


if __name__ == "__main__":
    flags.run(driver.main("prune", updater), PruneConfig, TrialOptions)
