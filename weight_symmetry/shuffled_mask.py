"""Trains a network under a random mask of a given sparsity.

usage: python -m weight_symmetry.shuffled_mask [--flag=value ...]

    python -m weight_symmetry.shuffled_mask --mask_type=symmetric --mask_sparsity=0.9
    python -m weight_symmetry.shuffled_mask --mask_type=per-neuron --num_trials=8
"""

from weight_symmetry.config import TrialOptions
from weight_symmetry.mask_config import ShuffledMaskConfig
from weirdonetworks.lab import flags, startup


def main(config: ShuffledMaskConfig, options: TrialOptions) -> None:
    """Runs the driver, and prints what it found."""
    # TensorFlow takes seconds to import; a wrong flag is answered without it.
    startup.import_tensorflow(many_models=options.num_trials > 1)
    from weight_symmetry import experiment, outcome, plans

    outcome.show(experiment.run("shuffled_mask", config, options, plans.FixedMask))


if __name__ == "__main__":
    flags.run(main, ShuffledMaskConfig, TrialOptions)
