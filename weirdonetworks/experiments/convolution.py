"""Trains the basic convolution network, with max pooling and dropout.

usage: python -m weirdonetworks.experiments.convolution [--flag=value ...]

    python -m weirdonetworks.experiments.convolution --num_trials=3
"""

import dataclasses

from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions, StudyConfig, setting


@dataclasses.dataclass(frozen=True)
class ConvolutionConfig(StudyConfig):
    """What the experiment is told."""

    epochs: int = setting(6, "Passes over the training data.", minimum=1)


def main(config: ConvolutionConfig, options: RunOptions) -> None:
    """Runs the experiment, and prints what it found."""
    startup.import_tensorflow()
    from weirdonetworks.experiments import classifiers
    from weirdonetworks.nets.small.convolution_networks import ConvolutionNetwork

    classifiers.run("convolution", ConvolutionNetwork, config, options, takes=("is_training", "seed"))


if __name__ == "__main__":
    flags.run(main, ConvolutionConfig, RunOptions)
