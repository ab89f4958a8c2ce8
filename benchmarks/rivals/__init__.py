"""What a user would pick instead, each written as a good user of that tool would write it.

A contender is given the same problem as every other, starts from weights drawn from the He normal of their fan-in,
trains with its framework's defaults where the problem leaves a choice, and says when an epoch and its evaluation are
finished.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from weirdonetworks.lab.data.datasets import Split, Standardisation

Finished = Callable[[float], None]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A masked fully connected classifier with ReLU to train with Adam.

    Attributes:
      train: The training images.
      test: The test images, all evaluated after each epoch.
      standardisation: How bytes become inputs.
      masks: The mask of each layer's weight, `[inputs, outputs]`, True where a connection is kept.
      batch_size: Examples a step; the last, shorter batch counts.
      batch_size_test: Examples an evaluation step.
      learning_rate: Adam's learning rate; its other settings are the usual ones.
      epochs: How many epochs to train.
      seed: The seed of the initial weights and of the order of the examples.
      threads: How many threads to use.
      prepared: The inputs made so far, which problems on the same data can share.
    """

    train: Split
    test: Split
    standardisation: Standardisation
    masks: Sequence[npt.NDArray[np.bool_]]
    epochs: int
    seed: int
    threads: int
    batch_size: int = 128
    batch_size_test: int = 1000
    learning_rate: float = 1e-3
    prepared: dict[int, npt.NDArray[np.float32]] = dataclasses.field(default_factory=dict, repr=False)

    def inputs(self, split: Split) -> npt.NDArray[np.float32]:
        """Standardises and flattens a split's images, `[examples, pixels]`, for who holds floats."""
        if id(split) not in self.prepared:
            (mean,), (deviation,) = self.standardisation.mean, self.standardisation.deviation
            flat = split.images.reshape(len(split), -1).astype(np.float32)
            self.prepared[id(split)] = (flat / np.float32(255) - np.float32(mean)) / np.float32(deviation)
        return self.prepared[id(split)]


class Contender(Protocol):
    """Trains on a problem.

    Args:
      problem: The problem.
      finished: To be called after every epoch, with the test accuracy after it.

    Returns:
      The trained weight of each layer, `[inputs, outputs]`, masked.
    """

    def __call__(self, problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]: ...
