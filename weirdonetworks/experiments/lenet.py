"""Trains LeNet, with its scaled tanh and average pooling.

usage: python -m weirdonetworks.experiments.lenet [--flag=value ...]

    python -m weirdonetworks.experiments.lenet --num_trials=3
"""

import dataclasses

from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions, StudyConfig, setting


@dataclasses.dataclass(frozen=True)
class LeNetConfig(StudyConfig):
    """What the experiment is told."""

    epochs: int = setting(10, "Passes over the training data.", minimum=1)
    learning_rate: float = setting(0.003, "The learning rate at the start.", minimum=0.0, short="lr")


def main(config: LeNetConfig, options: RunOptions) -> None:
    """Runs the experiment, and prints what it found."""
    startup.import_tensorflow()
    from weirdonetworks.experiments import classifiers
    from weirdonetworks.nets.small.convolution_networks import LeNet

    classifiers.run("lenet", LeNet, config, options)


if __name__ == "__main__":
    flags.run(main, LeNetConfig, RunOptions)
