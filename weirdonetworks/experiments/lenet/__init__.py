"""Trains LeNet, with its scaled tanh and average pooling.

usage: python -m weirdonetworks.experiments.lenet [--flag=value ...]

    python -m weirdonetworks.experiments.lenet --num_trials=3
"""

from weirdonetworks.lab import StudyConfig


class LeNetConfig(StudyConfig, epochs=10, learning_rate=0.003):
    """Settings of the experiment."""
