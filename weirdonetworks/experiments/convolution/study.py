"""Steps of the experiment `convolution`: train, measure, draw, table."""

from weirdonetworks import ConvolutionNetwork
from weirdonetworks.experiments.shared import classifiers

run, table = classifiers.steps("convolution", ConvolutionNetwork, takes=("is_training", "seed"))
