"""Trains LeNet, with its scaled tanh and average pooling.

usage: python -m weirdonetworks.experiments.lenet [--flag=value ...]

    python -m weirdonetworks.experiments.lenet --num_trials=3
"""

import dataclasses

from weirdonetworks.lab import StudyConfig, setting


@dataclasses.dataclass(frozen=True)
class LeNetConfig(StudyConfig):
    """Settings of the experiment."""

    epochs: int = setting(10, "Passes over the training data.", minimum=1)
    learning_rate: float = setting(0.003, "The learning rate at the start.", minimum=0.0, short="lr")
