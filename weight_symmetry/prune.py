"""Trains a network and prunes the weights of least magnitude.

usage: python -m weight_symmetry.prune [--flag=value ...]

Prune LeNet-300-100 on MNIST to 90% sparsity after half of the epochs:

    python -m weight_symmetry.prune --sparsity=0.9

In three steps, or in the second layer only:

    python -m weight_symmetry.prune --epochs=10 --pruning_schedule='[(2, 0.3), (5, 0.6), (8, 0.95)]'
    python -m weight_symmetry.prune --epochs=10 --pruning_schedule="{'1': [(2, 0.3), (5, 0.6), (8, 0.95)]}"

A lottery ticket, and a control with newly drawn weights:

    python -m weight_symmetry.prune --rewind_epoch=0
    python -m weight_symmetry.prune --rewind_epoch=0 --ablation=reinit
"""

from weight_symmetry import driver
from weight_symmetry.config import TrialOptions
from weight_symmetry.prune_config import PruneConfig
from weirdonetworks.lab import flags

if __name__ == "__main__":
    flags.run(driver.main("prune", "MagnitudePruning"), PruneConfig, TrialOptions)
