"""Trains a dense network.

usage: python -m weight_symmetry.train [--flag=value ...]

    python -m weight_symmetry.train --model=MNIST_CNN --epochs=5
"""

from weight_symmetry.config import ModelConfig, TrialOptions
from weirdonetworks.lab import flags, startup


def main(config: ModelConfig, options: TrialOptions) -> None:
    """Runs the driver, and prints what it found."""
    # TensorFlow takes seconds to import; a wrong flag is answered without it.
    startup.import_tensorflow(many_models=options.num_trials > 1)
    from weight_symmetry import experiment, outcome, plans

    outcome.show(experiment.run("train", config, options, lambda _: plans.Dense()))


if __name__ == "__main__":
    flags.run(main, ModelConfig, TrialOptions)
