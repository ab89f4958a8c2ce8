"""Does compressing a representation make it more invariant?

usage: python -m weirdonetworks.experiments.bottleneck [--flag=value ...]

Trains classifiers around a variational bottleneck of stronger and stronger compression, on digits upright and on digits
rotated by any angle, and measures the share of the variance of test images' codes that is due to the angle:

    python -m weirdonetworks.experiments.bottleneck --num_trials=3

The control is the same network without noise and without the rate in its loss.
"""

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab import setting

CONTROL = "no noise"


class BottleneckConfig(settings.DigitsConfig, epochs=10):
    """Settings of the experiment."""

    betas: tuple[float, ...] = setting(
        (0.0, 1e-4, 1e-3, 0.01, 0.1),
        "Weights beta of the rate in the loss, per nat.",
        minimum=0.0,
        may_be_empty=False,
        affects="measuring",
    )
    hidden_sizes: tuple[int, ...] = setting(
        (256, 128), "The widths of the layers before the bottleneck.", minimum=1, may_be_empty=False
    )
    code_size: int = setting(16, "Dimension of a code.", minimum=1)
    step: int = settings.step(15, "codes are measured")
    examined: int = setting(1000, "Test images on which codes are measured.", minimum=2, affects="measuring")

    def prices(self) -> dict[str, float | None]:
        """Maps names in tables to values of beta, None for the control.

        >>> BottleneckConfig(betas=(0.0, 0.001)).prices()
        {'no noise': None, '0': 0.0, '0.001': 0.001}
        """
        return {CONTROL: None, **{f"{beta:g}": beta for beta in self.betas}}
