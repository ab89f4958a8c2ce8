"""Trains a network under a mask of any type, its sparsity drawn uniformly from a range.

usage: python -m weight_symmetry.random_mask [--flag=value ...]

    python -m weight_symmetry.random_mask --mask_type=random --sparsity_range=0.5,0.99 --num_trials=8
"""

from weight_symmetry.run import driver
from weight_symmetry.run.config import TrialOptions
from weight_symmetry.run.mask_config import RandomMaskConfig
from weirdonetworks.lab import flags

if __name__ == "__main__":
    flags.run(driver.main("random_mask", driver.fixed_mask), RandomMaskConfig, TrialOptions)
