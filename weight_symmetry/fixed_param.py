"""Trains a network of about a given number of weights, at a given depth, under a random mask.

usage: python -m weight_symmetry.fixed_param [--flag=value ...]

    python -m weight_symmetry.fixed_param --param_count=100000 --depth=3 --mask_sparsity=0.9
"""

from weight_symmetry.run import driver
from weight_symmetry.run.config import TrialOptions
from weight_symmetry.run.mask_config import FixedParamConfig
from weirdonetworks.lab import flags

if __name__ == "__main__":
    flags.run(driver.main("fixed_param", driver.fixed_mask), FixedParamConfig, TrialOptions)
