"""Trains a network and prunes the weights of least magnitude.

usage: python -m weight_symmetry.prune [--flag=value ...]

Prune LeNet-300-100 on MNIST to 90% sparsity after half of the epochs:

    python -m weight_symmetry.prune --sparsity=0.9

In three steps, or in the second layer only:

    python -m weight_symmetry.prune --epochs=10 --pruning_schedule='[(2, 0.3), (5, 0.6), (8, 0.95)]'
    python -m weight_symmetry.prune --epochs=10 --pruning_schedule="{'1': [(2, 0.3), (5, 0.6), (8, 0.95)]}"
"""

from weight_symmetry.config import PruneConfig
from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions


def main(config: PruneConfig, options: RunOptions) -> None:
    """Runs the driver, and prints what it found."""
    # TensorFlow takes seconds to import; a wrong flag is answered without it.
    startup.import_tensorflow()
    from weight_symmetry import experiment, outcome, plans

    outcome.show(experiment.run("prune", config, options, plans.MagnitudePruning(config)))


if __name__ == "__main__":
    flags.run(main, PruneConfig, RunOptions)
