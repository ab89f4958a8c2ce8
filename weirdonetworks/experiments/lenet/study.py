"""Steps of the experiment `lenet`: train, measure, draw, table."""

from collections.abc import Iterator
from typing import Any

from weirdonetworks import LeNet, lab
from weirdonetworks.experiments.shared import classifiers


def run(study: lab.Study) -> None:
    """Trains the network, and measures it."""
    classifiers.run(study, LeNet)


def table(found: Any) -> Iterator[str]:
    """Formats the results as a table."""
    yield classifiers.table(found, "lenet")
