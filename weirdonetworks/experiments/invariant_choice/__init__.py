"""Does a polynomial network learn invariant polynomials?

usage: python -m weirdonetworks.experiments.invariant_choice [--flag=value ...]

Trains a polynomial network on digits upright, turned by quarters, and upright with quarter turns as augmentation, and
follows how much of the first layer's weights, degree by degree, is invariant under quarter turns; and, as a control,
under the exchange of left and right, which is no symmetry of digits:

    python -m weirdonetworks.experiments.invariant_choice --num_trials=3

Shares are also taken over the monomials of inked pixels alone. Pixels near the border hardly ever change, so that the
weights on them say little about the data.
"""

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab import setting


class InvariantChoiceConfig(settings.MonomialsConfig, epochs=10):
    """Settings of the experiment."""

    width: int = setting(16, "The width of the polynomial layer.", minimum=1)
