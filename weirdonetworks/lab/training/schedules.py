"""Schedules: frozen dataclasses that map a time to a value.

A learning-rate schedule is called on training steps, alone or as an array; a sparsity schedule on finished epochs.
"""

import bisect
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from weirdonetworks.lab.errors import UsageError


class LearningRate(Protocol):
    """Gives the learning rate of each step, an array of the shape of `step`."""

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


class Sparsity(Protocol):
    """Gives the total sparsity to have reached once `epoch` epochs are finished."""

    def __call__(self, epoch: int) -> float: ...

    @property
    def last_change(self) -> int:
        """The number of finished epochs from which on the sparsity stays as it is."""


@dataclasses.dataclass(frozen=True)
class SteppedSparsity:
    """A sparsity that jumps: `sparsity(e) = sparsities[i]` from epoch `epochs[i]` on, and 0 before the first.

    >>> schedule = SteppedSparsity(epochs=(2, 5, 8), sparsities=(0.3, 0.6, 0.95))
    >>> [schedule(epoch) for epoch in (0, 2, 6, 8)]
    [0.0, 0.3, 0.6, 0.95]
    """

    epochs: tuple[int, ...]
    sparsities: tuple[float, ...]

    def __post_init__(self) -> None:
        steps = list(zip(self.epochs, self.sparsities, strict=True))
        if not steps:
            raise UsageError("a pruning schedule must have at least one (epoch, sparsity).")
        for epoch, sparsity in steps:
            if epoch < 0:
                raise UsageError(f"pruning schedule (={steps}): epoch {epoch} must be at least 0.")
            if not 0 <= sparsity <= 1:
                raise UsageError(f"pruning schedule (={steps}): sparsity {sparsity} must be in [0, 1].")
        for early, late in itertools.pairwise(steps):
            if late[0] <= early[0] or late[1] < early[1]:
                raise UsageError(
                    f"pruning schedule (={steps}) must rise: {late} follows {early}. A sparsity is the total reached."
                )

    def __call__(self, epoch: int) -> float:
        return (0.0, *self.sparsities)[bisect.bisect_right(self.epochs, epoch)]

    @property
    def last_change(self) -> int:
        return self.epochs[-1]


@dataclasses.dataclass(frozen=True)
class CubicSparsity:
    """The gradual schedule of Zhu & Gupta (2017, equation 1), from zero:

        sparsity(e) = final (1 - (1 - (e - begin) / (end - begin))^3)    for begin <= e <= end

    >>> schedule = CubicSparsity(final=0.9, begin=2, end=6)
    >>> [round(schedule(epoch), 3) for epoch in (1, 2, 4, 6, 9)]
    [0.0, 0.0, 0.787, 0.9, 0.9]
    """

    final: float
    begin: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.final <= 1:
            raise UsageError(f"sparsity (={self.final}) must be in [0, 1].")
        if not 0 <= self.begin < self.end:
            raise UsageError(f"cubic pruning schedule: begin (={self.begin}) must be in [0, end (={self.end})).")

    def __call__(self, epoch: int) -> float:
        remaining = 1.0 - (epoch - self.begin) / (self.end - self.begin)
        return self.final * (1.0 - min(max(remaining, 0.0), 1.0) ** 3)

    @property
    def last_change(self) -> int:
        return self.end


def learning_rate(
    kind: str, base: float, *, steps_per_epoch: int, epochs: int, steps: Sequence[tuple[float, float]] = ()
) -> LearningRate:
    """Makes a learning-rate schedule from what the flags say.

    Args:
      kind: `constant`, `stepped` or `cosine`.
      base: The rate that the schedule starts from, > 0.
      steps_per_epoch: Training steps in an epoch.
      epochs: Epochs in the run, which the cosine spans.
      steps: For `stepped`, pairs (epoch, scale): from that epoch on the rate is base * scale.

    Returns:
      The schedule over training steps.

    Raises:
      UsageError: If the kind is unknown, or the steps do not rise.
    """
    if kind == "constant":
        return Constant(base)
    if kind == "cosine":
        return Cosine(base, epochs * steps_per_epoch)
    if kind != "stepped":
        raise UsageError(f"lr_schedule (={kind}) must be constant, stepped or cosine.")
    boundaries = [round(epoch * steps_per_epoch) for epoch, _ in steps]
    if not steps or any(late <= early for early, late in itertools.pairwise(boundaries)):
        raise UsageError(f"lr_schedule_steps (={list(steps)}) must be a rising list of (epoch, scale).")
    return Stepped(base, tuple(boundaries), tuple(scale for _, scale in steps))
