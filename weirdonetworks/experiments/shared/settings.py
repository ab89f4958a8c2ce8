"""Settings that several experiments share, and what declares them."""

import dataclasses
from typing import Any

from weirdonetworks.lab.config import StudyConfig, setting
from weirdonetworks.lab.errors import UsageError

UPRIGHT = 360  # A whole turn: the images stay as they are.


@dataclasses.dataclass(frozen=True)
class DigitsConfig(StudyConfig):
    """What experiments on the symmetry of the input are told."""

    epochs: int = setting(6, "Passes over the training data.", minimum=1)
    shrink: int = setting(2, "Make images smaller by this factor; 1 leaves them.", minimum=1)


@dataclasses.dataclass(frozen=True)
class MonomialsConfig(DigitsConfig):
    """What those of them are told that train polynomial networks."""

    degree: int = setting(2, "The highest degree of the monomials.", minimum=1)


def turn(default: int) -> Any:
    """Declares the field that says how images are turned."""
    return setting(
        default, "Turn images by random multiples of so many degrees; 360 leaves them.", minimum=1, maximum=UPRIGHT
    )


@dataclasses.dataclass(frozen=True)
class ComparisonConfig(DigitsConfig):
    """What a comparison of networks is told."""

    parameters: int = setting(200_000, "The most parameters a network may have.", minimum=1)
    step: int = setting(
        15, "Degrees between the angles at which stability is measured.", minimum=1, maximum=180, affects="measuring"
    )
    examined: int = setting(1000, "Images of each sort on which stability is measured.", minimum=1, affects="measuring")
    unlike: str = setting(
        "noise,letters",
        "Where else stability is measured: noise, letters, or names of data sets such as fashion_mnist.",
        affects="measuring",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if 360 % self.step:
            raise UsageError(
                f"step (={self.step}) must divide 360 degrees, so that the last angle is next to the first."
            )
