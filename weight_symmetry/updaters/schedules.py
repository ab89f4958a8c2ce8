"""Schedules of sparsity over epochs, without NumPy since settings hold them."""

import bisect
import dataclasses
import itertools
import numbers
from collections.abc import Collection
from typing import Protocol

from weirdonetworks.lab.errors import UsageError

SCOPES = ("layer", "global")  # Over which weights a sparsity is reached: each by itself, or all together.


class Sparsity(Protocol):
    """Computes the total sparsity after `epoch` epochs.

    >>> from weight_symmetry.updaters import CubicSparsity
    >>> schedule: Sparsity = CubicSparsity(final=0.9, begin=1, end=3)
    >>> schedule(0), schedule(3), schedule.last_change
    (0.0, 0.9, 3)
    """

    def __call__(self, epoch: int) -> float: ...

    @property
    def last_change(self) -> int:
        """The number of finished epochs after which the sparsity is constant."""


@dataclasses.dataclass(frozen=True)
class SteppedSparsity:
    """A sparsity that jumps: `sparsity(e) = sparsities[i]` from epoch `epochs[i]` on, and 0 before the first.

    >>> schedule = SteppedSparsity(epochs=(2, 5, 8), sparsities=(0.3, 0.6, 0.95))
    >>> [schedule(epoch) for epoch in (0, 2, 6, 8)]
    [0.0, 0.3, 0.6, 0.95]

    Attributes:
      epochs: The numbers of finished epochs (or steps, if the updater is called with these) at which it jumps, rising.
      sparsities: The total sparsity reached at each, in [0, 1], rising.
    """

    epochs: tuple[int, ...]
    sparsities: tuple[float, ...]

    def __post_init__(self) -> None:
        given = {"epochs": self.epochs, "sparsities": self.sparsities}
        for name, values in given.items():
            if not isinstance(values, Collection) or not all(isinstance(each, numbers.Real) for each in values):
                raise UsageError(f"{name} (={values!r}) of a pruning schedule must be a tuple of numbers.")
        if len(self.epochs) != len(self.sparsities):
            raise UsageError(f"sparsities (={self.sparsities}) must be as many as epochs (={self.epochs}).")
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

    Attributes:
      final: The sparsity that it ends with, in [0, 1].
      begin: The number of finished epochs up to which it is 0; of steps, if the updater is called with these.
      end: The number from which on it is `final`.
    """

    final: float
    begin: int
    end: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, numbers.Real):
                raise UsageError(f"cubic pruning schedule: {name} (={value!r}) must be a number.")
        if not 0 <= self.final <= 1:
            raise UsageError(f"final sparsity (={self.final}) must be in [0, 1].")
        if not 0 <= self.begin < self.end:
            raise UsageError(f"cubic pruning schedule: begin (={self.begin}) must be in [0, end (={self.end})).")

    def __call__(self, epoch: int) -> float:
        remaining = 1.0 - (epoch - self.begin) / (self.end - self.begin)
        return self.final * (1.0 - min(max(remaining, 0.0), 1.0) ** 3)

    @property
    def last_change(self) -> int:
        return self.end
