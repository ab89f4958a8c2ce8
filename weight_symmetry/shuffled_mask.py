"""Trains a network under a random mask of a given sparsity.

usage: python -m weight_symmetry.shuffled_mask [--flag=value ...]

    python -m weight_symmetry.shuffled_mask --mask_type=symmetric --mask_sparsity=0.9
    python -m weight_symmetry.shuffled_mask --mask_type=per-neuron --num_trials=8
"""

from weight_symmetry.run import driver
from weight_symmetry.run.config import TrialOptions
from weight_symmetry.run.mask_config import ShuffledMaskConfig
from weirdonetworks.lab import flags

if __name__ == "__main__":
    flags.run(driver.main("shuffled_mask", driver.fixed_mask), ShuffledMaskConfig, TrialOptions)
