"""Trains a network of about a given number of weights, at a given depth, under a random mask.

usage: python -m weight_symmetry.fixed_param [--flag=value ...]

    python -m weight_symmetry.fixed_param --param_count=100000 --depth=3 --mask_sparsity=0.9
"""

from weight_symmetry.config import TrialOptions
from weight_symmetry.mask_config import FixedParamConfig
from weirdonetworks.lab import flags, startup


def main(config: FixedParamConfig, options: TrialOptions) -> None:
    """Runs the driver, and prints what it found."""
    # TensorFlow takes seconds to import; a wrong flag is answered without it.
    startup.import_tensorflow(many_models=options.num_trials > 1)
    from weight_symmetry import experiment, outcome, plans

    outcome.show(experiment.run("fixed_param", config, options, plans.FixedMask))


if __name__ == "__main__":
    flags.run(main, FixedParamConfig, TrialOptions)
