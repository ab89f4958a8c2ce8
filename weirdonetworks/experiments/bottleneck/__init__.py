"""Does compressing a representation make it more invariant?

usage: python -m weirdonetworks.experiments.bottleneck [--flag=value ...]

Trains classifiers around a variational bottleneck of stronger and stronger compression, on digits upright and on digits
turned by any angle, and measures how much of what the codes of test images tell is the angle the images are turned by:

    python -m weirdonetworks.experiments.bottleneck --num_trials=3

The control is the same network without noise and without a price on the rate.
"""

import dataclasses

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab.config import setting

CONTROL = "no noise"


@dataclasses.dataclass(frozen=True)
class BottleneckConfig(settings.DigitsConfig):
    """Settings of the experiment."""

    epochs: int = setting(10, "Passes over the training data.", minimum=1)
    betas: tuple[float, ...] = setting(
        (0.0, 1e-4, 1e-3, 0.01, 0.1), "Prices of a nat of the rate.", minimum=0.0, may_be_empty=False
    )
    hidden_sizes: tuple[int, ...] = setting(
        (256, 128), "The widths of the layers before the bottleneck.", minimum=1, may_be_empty=False
    )
    code_size: int = setting(16, "The numbers of a code.", minimum=1)
    step: int = setting(
        15, "Degrees between the angles at which codes are measured.", minimum=1, maximum=180, affects="measuring"
    )
    examined: int = setting(1000, "Test images on which they are measured.", minimum=2, affects="measuring")

    def prices(self) -> dict[str, float | None]:
        """Lists the prices, None for the control, by what tables call them.

        >>> BottleneckConfig(betas=(0.0, 0.001)).prices()
        {'no noise': None, '0': 0.0, '0.001': 0.001}
        """
        return {CONTROL: None, **{f"{beta:g}": beta for beta in self.betas}}
