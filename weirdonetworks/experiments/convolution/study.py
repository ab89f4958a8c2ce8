"""What the experiment `convolution` trains, measures, draws and prints."""

from collections.abc import Iterator
from typing import Any

from weirdonetworks.experiments.convolution import ConvolutionConfig
from weirdonetworks.experiments.shared import classifiers
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.training.study import Study
from weirdonetworks.nets.small.convolution_networks import ConvolutionNetwork


def run(opened: Study, config: ConvolutionConfig, options: RunOptions) -> None:
    """Trains the network, and measures it."""
    classifiers.run(opened, ConvolutionNetwork, config, options, takes=("is_training", "seed"))


def table(found: Any) -> Iterator[str]:
    """Lays out what was found."""
    yield classifiers.table(found, "convolution")
