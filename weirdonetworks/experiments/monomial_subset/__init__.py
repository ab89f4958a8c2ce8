"""Is a subset of the monomials enough?

usage: python -m weirdonetworks.experiments.monomial_subset [--flag=value ...]

Trains polynomial networks on all powers of single pixels and some products of different pixels: drawn at random; local,
whose pixels lie closest together; or representatives, one of each orbit under quarter turns:

    python -m weirdonetworks.experiments.monomial_subset --num_trials=3
    python -m weirdonetworks.experiments.monomial_subset --num_trials=3 --turn=90

Each trial draws its own products.
"""

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab import setting


class MonomialSubsetConfig(settings.TurnedConfig, settings.MonomialsConfig):
    """Settings of the experiment."""

    width: int = setting(32, "The width of the polynomial layer.", minimum=1)
    numbers: tuple[int, ...] = setting(
        (100, 300, 1000, 3000), "Numbers of products to choose.", minimum=1, affects="measuring"
    )
