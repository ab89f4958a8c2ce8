"""Trains a dense network.

usage: python -m weight_symmetry.train [--flag=value ...]

    python -m weight_symmetry.train --model=MNIST_CNN --epochs=5
"""

from weight_symmetry.config import ModelConfig
from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions


def main(config: ModelConfig, options: RunOptions) -> None:
    """Runs the driver, and prints what it found."""
    # TensorFlow takes seconds to import; a wrong flag is answered without it.
    startup.import_tensorflow()
    from weight_symmetry import experiment, outcome, plans

    outcome.show(experiment.run("train", config, options, plans.Dense()))


if __name__ == "__main__":
    flags.run(main, ModelConfig, RunOptions)
