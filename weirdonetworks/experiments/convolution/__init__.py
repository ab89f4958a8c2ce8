"""Trains the basic convolution network, with max pooling and dropout.

usage: python -m weirdonetworks.experiments.convolution [--flag=value ...]

    python -m weirdonetworks.experiments.convolution --num_trials=3
"""

import dataclasses

from weirdonetworks.lab import StudyConfig, setting


@dataclasses.dataclass(frozen=True)
class ConvolutionConfig(StudyConfig):
    """Settings of the experiment."""

    epochs: int = setting(6, "Passes over the training data.", minimum=1)
