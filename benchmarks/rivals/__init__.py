"""Alternatives to this project, each idiomatic code for its framework.

Every contender is given the same problem, starts from He normal weights, trains with its framework's defaults where the
problem leaves a choice, and calls `finished` after each epoch and its evaluation.
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
      standardisation: The map from uint8 images to inputs.
      masks: The mask of each layer's weight, `[inputs, outputs]`, True where a connection is kept.
      batch_size: Examples per step; the last, shorter batch is used too.
      batch_size_test: Examples per evaluation step.
      learning_rate: Adam's learning rate; its other settings are the usual ones.
      epochs: The number of epochs.
      seed: The seed of the initial weights and of the order of the examples.
      threads: The number of threads.
      prepared: A cache of the inputs, which problems on the same data can share.
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
        """Standardises and flattens a split's images, `[examples, pixels]`, once."""
        if id(split) not in self.prepared:
            (mean,), (deviation,) = self.standardisation.mean, self.standardisation.deviation
            flat = split.images.reshape(len(split), -1).astype(np.float32)
            self.prepared[id(split)] = (flat / np.float32(255) - np.float32(mean)) / np.float32(deviation)
        return self.prepared[id(split)]


class Contender(Protocol):
    """A function that trains on a problem.

    Args:
      problem: The problem.
      finished: A function to call after every epoch with the test accuracy.

    Returns:
      The trained weight of each layer, `[inputs, outputs]`, masked.
    """

    def __call__(self, problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]: ...
