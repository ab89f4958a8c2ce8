"""How accurate and how stable under rotation are networks on monomials of the pixels?

usage: python -m weirdonetworks.experiments.polynomial_mnist [--flag=value ...]

Compares a polynomial and an invariant network with a plain one of equal size, without and with augmentation by quarter
turns and by rotations of any angle:

    python -m weirdonetworks.experiments.polynomial_mnist --num_trials=3
"""

from weirdonetworks.experiments.shared import settings


class PolynomialConfig(settings.ComparisonConfig, settings.MonomialsConfig):
    """Settings of the experiment."""
