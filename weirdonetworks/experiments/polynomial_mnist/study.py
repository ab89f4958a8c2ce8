"""Steps of the experiment `polynomial_mnist`: train, measure, draw, table."""

from collections.abc import Sequence

from weirdonetworks.experiments.polynomial_mnist import PolynomialConfig
from weirdonetworks.experiments.shared import comparison
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.training.study import Study

table = comparison.table


def run(study: Study[PolynomialConfig]) -> None:
    """Trains the networks and measures them."""
    comparison.run(study, contestants)


def contestants(data: Dataset, config: PolynomialConfig) -> Sequence[comparison.Contestant]:
    """Lists the networks to compare on a data set."""
    kinds = [comparison.of_kind(kind, data, config.degree) for kind in ("polynomial", "invariant")]
    return [*kinds, *comparison.plain(data)]
