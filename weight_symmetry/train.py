"""Trains a dense network.

usage: python -m weight_symmetry.train [--flag=value ...]

    python -m weight_symmetry.train --model=MNIST_CNN --epochs=5
"""

from weight_symmetry import driver
from weight_symmetry.config import ModelConfig, TrialOptions
from weirdonetworks.lab import flags

if __name__ == "__main__":
    flags.run(driver.main("train", "Dense"), ModelConfig, TrialOptions)
