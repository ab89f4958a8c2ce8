"""Steps of the experiment `lenet`: train, measure, draw, table."""

from weirdonetworks import LeNet
from weirdonetworks.experiments.shared import classifiers

run, table = classifiers.steps("lenet", LeNet)
