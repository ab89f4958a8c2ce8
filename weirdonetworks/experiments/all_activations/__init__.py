"""Trains networks with many activation functions at once, and measures which of them they use.

usage: python -m weirdonetworks.experiments.all_activations [--flag=value ...]

    python -m weirdonetworks.experiments.all_activations --num_trials=3
"""

import dataclasses
from typing import Self

from weirdonetworks.lab import StudyConfig, UsageError, setting

GROUP = 8  # Units come in groups of 8, the size of the larger softmax.


class AllActivationsConfig(StudyConfig, epochs=10):
    """Settings of the experiment."""

    activations: tuple[str, ...] = setting((), "Names of activation functions; all if empty.", affects="measuring")
    units: int = setting(
        64, f"Units of each hidden layer where outputs are concatenated; divisible by {GROUP}.", minimum=GROUP
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.units % GROUP:
            raise UsageError(f"units (={self.units}) must be divisible by {GROUP}, the softmax's group.")

    def resolved(self) -> Self:
        """Returns the configuration with each activation function named, once."""
        from weirdonetworks.nets.small.activation_mlp import ACTIVATIONS

        if unknown := set(self.activations) - set(ACTIVATIONS):
            raise UsageError(f"activations (={min(unknown)}) must be among {', '.join(ACTIVATIONS)}.")
        return dataclasses.replace(
            super().resolved(), activations=tuple(dict.fromkeys(self.activations or ACTIVATIONS))
        )
