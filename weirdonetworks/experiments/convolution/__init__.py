"""Trains the basic convolution network, with max pooling and dropout.

usage: python -m weirdonetworks.experiments.convolution [--flag=value ...]

    python -m weirdonetworks.experiments.convolution --num_trials=3
"""

from weirdonetworks.lab import StudyConfig


class ConvolutionConfig(StudyConfig, epochs=6):
    """Settings of the experiment."""
