"""Schedules of the learning rate: frozen dataclasses, called on training steps, alone or as an array."""

import dataclasses
import itertools
from typing import Protocol

import numpy as np
import numpy.typing as npt

from weirdonetworks.lab.config import TrainingConfig
from weirdonetworks.lab.errors import UsageError


class LearningRate(Protocol):
    """Computes the learning rate of each step, an array of the shape of `step`."""

    def __call__(self, step: npt.ArrayLike) -> npt.NDArray[np.float64]: ...


@dataclasses.dataclass(frozen=True)
class Constant:
    """The same rate at every step: `rate(t) = base`."""

    base: float

    def __call__(self, step: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return np.full(np.shape(step), self.base)


@dataclasses.dataclass(frozen=True)
class Stepped:
    """A rate that jumps: `rate(t) = base * scale_i` from step `boundaries[i]` on, and `base` before the first.

    >>> Stepped(0.1, boundaries=(10, 20), scales=(0.5, 0.1))([0, 10, 25]).round(3).tolist()
    [0.1, 0.05, 0.01]
    """

    base: float
    boundaries: tuple[int, ...]
    scales: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.boundaries) != len(self.scales):
            raise ValueError(f"boundaries (={self.boundaries}) and scales (={self.scales}) must have the same length.")
        if any(late <= early for early, late in itertools.pairwise(self.boundaries)):
            raise ValueError(f"boundaries (={self.boundaries}) must rise.")

    def __call__(self, step: npt.ArrayLike) -> npt.NDArray[np.float64]:
        index = np.searchsorted(self.boundaries, step, side="right")
        return self.base * np.asarray((1.0, *self.scales))[index]


@dataclasses.dataclass(frozen=True)
class Cosine:
    """Half a cosine from `base` to zero: `rate(t) = base (1 + cos(pi t / total_steps)) / 2` (Loshchilov & Hutter 2017).

    >>> Cosine(0.1, total_steps=100)([0, 50, 100]).round(3).tolist()
    [0.1, 0.05, 0.0]
    """

    base: float
    total_steps: int

    def __post_init__(self) -> None:
        if self.total_steps < 1:
            raise ValueError(f"total_steps (={self.total_steps}) must be at least 1.")

    def __call__(self, step: npt.ArrayLike) -> npt.NDArray[np.float64]:
        progress = np.clip(np.asarray(step) / self.total_steps, 0.0, 1.0)
        return self.base * (1.0 + np.cos(np.pi * progress)) / 2.0


def epoch_rates(config: TrainingConfig, epoch: int, steps_per_epoch: int) -> npt.NDArray[np.float64]:
    """Computes the learning rate of each step of the epoch that follows `epoch` finished ones.

    >>> epoch_rates(TrainingConfig(learning_rate=0.1, epochs=2), 1, steps_per_epoch=2).round(3).tolist()
    [0.05, 0.015]
    """
    position, length = config.position(epoch)
    return learning_rate(config, steps_per_epoch, length)(epoch_steps(position, steps_per_epoch))


def epoch_steps(epoch: int, steps_per_epoch: int) -> npt.NDArray[np.integer]:
    """Numbers the steps of the epoch after `epoch` finished ones, from 0 at the start of training.

    >>> epoch_steps(2, steps_per_epoch=3)
    array([6, 7, 8])
    """
    return epoch * steps_per_epoch + np.arange(steps_per_epoch)


def learning_rate(config: TrainingConfig, steps_per_epoch: int, epochs: int | None = None) -> LearningRate:
    """Makes the learning-rate schedule of a configuration, over training steps.

    Args:
      config: The settings.
      steps_per_epoch: Training steps in an epoch.
      epochs: Epochs that the cosine spans; None for those of the settings.

    Raises:
      UsageError: If the steps of `lr_schedule_steps` do not rise, once rounded to training steps.
    """
    if config.lr_schedule == "constant":
        return Constant(config.learning_rate)
    if config.lr_schedule == "cosine":
        return Cosine(config.learning_rate, (epochs or config.epochs) * steps_per_epoch)
    steps = config.learning_rate_steps()
    boundaries = [round(epoch * steps_per_epoch) for epoch, _ in steps]
    if any(late <= early for early, late in itertools.pairwise(boundaries)):
        raise UsageError(f"lr_schedule_steps (={steps}) must be a rising list of (epoch, scale).")
    return Stepped(config.learning_rate, tuple(boundaries), tuple(scale for _, scale in steps))
