"""Trains a network under a random mask with a random number of connections.

usage: python -m weight_symmetry.random_mask [--flag=value ...]

    python -m weight_symmetry.random_mask --mask_type=random --sparsity_range=0.5,0.99 --num_trials=8
"""

from weight_symmetry.config import TrialOptions
from weight_symmetry.mask_config import RandomMaskConfig
from weirdonetworks.lab import flags, startup


def main(config: RandomMaskConfig, options: TrialOptions) -> None:
    """Runs the driver, and prints what it found."""
    # TensorFlow takes seconds to import; a wrong flag is answered without it.
    startup.import_tensorflow(many_models=options.num_trials > 1)
    from weight_symmetry import experiment, outcome, plans

    outcome.show(experiment.run("random_mask", config, options, plans.FixedMask))


if __name__ == "__main__":
    flags.run(main, RandomMaskConfig, TrialOptions)
