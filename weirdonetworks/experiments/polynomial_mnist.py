"""How accurate and how stable are networks on monomials of the pixels?

usage: python -m weirdonetworks.experiments.polynomial_mnist [--flag=value ...]

Compares a polynomial and an invariant network with a plain one of as many parameters, without and with augmentation by
quarter turns and by turns of any angle:

    python -m weirdonetworks.experiments.polynomial_mnist --num_trials=3
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from weirdonetworks.experiments import comparison, digits
from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions

if TYPE_CHECKING:
    from weirdonetworks.lab.data.datasets import Dataset


@dataclasses.dataclass(frozen=True)
class PolynomialConfig(comparison.ComparisonConfig, digits.MonomialsConfig):
    """What the experiment is told."""


def main(config: PolynomialConfig, options: RunOptions) -> None:
    """Runs the experiment, and prints what it found."""
    startup.import_tensorflow()
    comparison.run("polynomial_mnist", contestants, config, options)


def contestants(data: "Dataset", config: PolynomialConfig) -> Sequence[comparison.Contestant]:
    """Lists the networks to compare on a data set."""
    kinds = [comparison.of_kind(kind, data, config.degree) for kind in ("polynomial", "invariant")]
    return [*kinds, *comparison.plain(data)]


if __name__ == "__main__":
    flags.run(main, PolynomialConfig, RunOptions)
