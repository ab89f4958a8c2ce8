"""Steps of the experiment `polynomial_mnist`: train, measure, draw, table."""

from collections.abc import Sequence

from weirdonetworks import lab
from weirdonetworks.experiments.polynomial_mnist import PolynomialConfig
from weirdonetworks.experiments.shared import comparison

table = comparison.table


def run(study: lab.Study[PolynomialConfig]) -> None:
    """Trains the networks and measures them."""
    comparison.run(study, contestants)


def contestants(data: lab.Dataset, config: PolynomialConfig) -> Sequence[comparison.Contestant]:
    """Lists the networks to compare on a data set."""
    kinds = [comparison.of_kind(kind, data, config.degree) for kind in ("polynomial", "invariant")]
    return [*kinds, *comparison.plain(data)]
