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
    """A masked classifier with ReLU to train with Adam.

    Attributes:
      train: The training images.
      test: The test images, all evaluated after each epoch.
      standardisation: The map from uint8 images to inputs.
      masks: The mask of each layer's weight, `[inputs, outputs]` or, of a convolution, `[height, width, inputs,
        outputs]`; True where a connection is kept.
      batch_size: Examples per step; the last, shorter batch is used too.
      batch_size_test: Examples per evaluation step.
      learning_rate: Adam's learning rate; its other settings are the usual ones.
      epochs: The number of epochs.
      seed: The seed of the initial weights and of the order of the examples.
      threads: The number of threads.
      model: The classifier, one of `weight_symmetry.models.MODELS`.
      prepared: A cache of the inputs, which problems on the same data can share.
    """

    train: Split
    test: Split
    standardisation: Standardisation
    masks: Sequence[npt.NDArray[np.bool_]]
    epochs: int
    seed: int
    threads: int
    model: str = "MNIST_FC"
    batch_size: int = 128
    batch_size_test: int = 1000
    learning_rate: float = 1e-3
    prepared: dict[int, npt.NDArray[np.float32]] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def parts(self) -> list[str]:
        """The classifier in order, in terms that each framework has.

        `layer` and `layer without bias` are the next layer with a mask; `norm` is batch norm, `pool` max pooling 2 x 2,
        `mean` that over all pixels; `relu` and `flatten`.
        """
        convolutions = sum(mask.ndim == 4 for mask in self.masks)
        if self.model == "MNIST_FC":
            return ["flatten", *["layer", "relu"] * (len(self.masks) - 1), "layer"]
        if self.model == "MNIST_CNN":
            convolved = ["layer without bias", "norm", "relu", "pool"] * convolutions
            return [*convolved[:-1], "mean", "layer without bias", "norm", "relu", "layer"]
        return [*["layer", "relu", "layer", "relu", "pool"] * (convolutions // 2), "mean", "layer"]

    def inputs(self, split: Split) -> npt.NDArray[np.float32]:
        """Standardises a split's images, once: `[examples, height, width, channels]`."""
        if id(split) not in self.prepared:
            mean, deviation = (
                np.asarray(each, np.float32) for each in (self.standardisation.mean, self.standardisation.deviation)
            )
            self.prepared[id(split)] = (split.images.astype(np.float32) / np.float32(255) - mean) / deviation
        return self.prepared[id(split)]


class Contender(Protocol):
    """A function that trains on a problem.

    Args:
      problem: The problem.
      finished: A function to call after every epoch with the test accuracy.

    Returns:
      The trained weight of each layer, masked and of the shape of its mask.
    """

    def __call__(self, problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]: ...
