"""Settings of several experiments."""

from typing import Any

from weirdonetworks.lab import Config, StudyConfig, UsageError, setting

UPRIGHT = 360  # A whole turn: the images stay as they are.


class DigitsConfig(StudyConfig, epochs=6):
    """Settings of the experiments on symmetry of the input."""

    shrink: int = setting(2, "Factor by which images are reduced; 1 leaves them.", minimum=1)


class MonomialsConfig(DigitsConfig):
    """Settings of those that train polynomial networks."""

    degree: int = setting(2, "The highest degree of the monomials.", minimum=1)


def step(default: int, measured: str) -> Any:
    """Declares a flag: the step between the angles at which something is measured."""
    text = f"Step between the angles at which {measured}, in degrees."
    return setting(default, text, minimum=1, maximum=180, affects="measuring")


class TurnedConfig(DigitsConfig):
    """Settings of those whose images may be rotated."""

    turn: int = setting(
        UPRIGHT, "Rotate images by random multiples of this angle, in degrees; 360 leaves them.", minimum=1, maximum=360
    )


class AnglesConfig(Config):
    """Settings of a measurement at the multiples of an angle, over a whole turn."""

    step: int = step(15, "stability is measured")

    def __post_init__(self) -> None:
        super().__post_init__()
        if 360 % self.step:
            raise UsageError(
                f"step (={self.step}) must divide 360 degrees, so that the last angle is next to the first."
            )

    def angles(self) -> list[int]:
        """Lists the angles."""
        return list(range(0, 360, self.step))


class ComparisonConfig(AnglesConfig, DigitsConfig):
    """Settings of a comparison of networks."""

    parameters: int = setting(200_000, "Largest number of parameters of a network.", minimum=1)
    examined: int = setting(1000, "Images of each kind on which stability is measured.", minimum=1, affects="measuring")
    unlike: str = setting(
        "noise,letters",
        "Out-of-distribution images to measure stability on: noise, letters, or data sets such as fashion_mnist.",
        affects="measuring",
    )
