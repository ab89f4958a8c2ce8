"""Trains a dense network.

usage: python -m weight_symmetry.train [--flag=value ...]

    python -m weight_symmetry.train --model=MNIST_CNN --epochs=5
"""

from typing import TYPE_CHECKING

from weight_symmetry.run import driver
from weight_symmetry.run.config import ModelConfig, TrialOptions
from weirdonetworks.lab import flags

if TYPE_CHECKING:
    from weight_symmetry.run.model_trials import MaskedModel
    from weight_symmetry.updaters import Updater


def updater(config: ModelConfig, model: "MaskedModel") -> "Updater":
    """Makes an updater that leaves all masks as they are: ones."""
    from weight_symmetry import updaters

    return updaters.Updater(model.masks)


if __name__ == "__main__":
    flags.run(driver.main("train", updater), ModelConfig, TrialOptions)
