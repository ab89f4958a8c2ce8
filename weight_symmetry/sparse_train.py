"""Trains a network that is sparse from the start, its connections dropped and grown elsewhere at an interval of steps.

    at every --update_interval steps, until --update_end of the training:
        drop a fraction of each layer's connections, those of least magnitude; the fraction falls with a cosine
        grow as many: at random (set), where the gradient is largest (rigl), or so within neurons (srigl)
        ablate hidden neurons with few salient weights (srigl)
    train, with the cut weights at zero

usage: python -m weight_symmetry.sparse_train [--flag=value ...]

    python -m weight_symmetry.sparse_train --updater=rigl --sparsity=0.9
    python -m weight_symmetry.sparse_train --updater=srigl --sparsity=0.95 --sparsity_distribution=erdos-renyi-kernel

Beside them fixed masks of any type, and a dense network that is pruned gradually:

    python -m weight_symmetry.sparse_train --updater=static --mask_type=symmetric
    python -m weight_symmetry.sparse_train --updater=gmp
"""

from typing import TYPE_CHECKING

from weight_symmetry.run import driver
from weight_symmetry.run.config import TrialOptions
from weight_symmetry.run.sparse_config import SparseTrainConfig
from weirdonetworks.lab import flags

if TYPE_CHECKING:
    from weight_symmetry.run.model_trials import MaskedModel
    from weight_symmetry.updaters import Updater


def updater(config: SparseTrainConfig, model: "MaskedModel") -> "Updater":
    """Draws the masks to start from, and makes the updater that changes them."""
    from weight_symmetry import masks, updaters

    layers = range(len(model.masks.weights)) if config.masked_layers is None else config.masked_layers
    if config.updater == "gmp":
        shapes = [tuple(model.masks.weights[layer].shape) for layer in layers]
        sparsities = masks.layer_sparsities(shapes, config.drawn_sparsity, config.sparsity_distribution)
        schedules = [updaters.CubicSparsity(each, begin=0, end=config.pruning_end) for each in sparsities]
        return updaters.MagnitudePruning(model.masks, dict(zip(layers, schedules, strict=True)))
    fixed = driver.fixed_mask(config, model)
    if config.updater == "static":
        return fixed
    end, interval, fraction = config.change_end(model.steps_per_epoch), config.update_interval, config.drop_fraction
    if config.updater == "set":
        return updaters.SET(
            model.masks, interval=interval, end=end, drop_fraction=fraction, seed=config.mask_randomseed
        )
    if config.updater == "rigl":
        return updaters.RigL(model.masks, interval=interval, end=end, drop_fraction=fraction)
    return updaters.SRigL(
        model.masks,
        interval=interval,
        end=end,
        drop_fraction=fraction,
        min_salient=config.min_salient,
        never_ablated=model.output_weights,
    )


if __name__ == "__main__":
    flags.run(driver.main("sparse_train", updater), SparseTrainConfig, TrialOptions)
