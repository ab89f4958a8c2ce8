"""What the experiment `lenet` trains, measures, draws and prints."""

from collections.abc import Iterator
from typing import Any

from weirdonetworks.experiments.lenet import LeNetConfig
from weirdonetworks.experiments.shared import classifiers
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.training.study import Study
from weirdonetworks.nets.small.convolution_networks import LeNet


def run(opened: Study, config: LeNetConfig, options: RunOptions) -> None:
    """Trains the network, and measures it."""
    classifiers.run(opened, LeNet, config, options)


def table(found: Any) -> Iterator[str]:
    """Lays out what was found."""
    yield classifiers.table(found, "lenet")
