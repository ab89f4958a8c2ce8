"""The state of a training: weights, optimizer slots, counts."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab.training.optimizers import Optimizer


class DivergenceError(ValueError):
    """The loss of a training did not stay finite."""


class TrainState(tf.Module):
    """The checkpointed state: network, optimizer slots, initial weights, counts.

    Attributes:
      network: The network, built (its variables exist).
      optimizer: Its optimizer.
      initial: The initial trainable weights, in the network's order.
      epoch: Finished epochs.
      step: Finished steps.
      cumulative_gradient_norm: The gradient norm summed over all steps.
    """

    def __init__(self, network: snt.Module, optimizer: Optimizer):
        super().__init__(name="train_state")
        self.network = network
        self.optimizer = optimizer
        optimizer.initialize(network.trainable_variables)
        self.initial = [tf.Variable(weight, trainable=False) for weight in network.trainable_variables]
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.cumulative_gradient_norm = tf.Variable(0.0, dtype=tf.float64, trainable=False)

    @property
    def parameters(self) -> Sequence[tf.Variable]:
        """The trainable variables of the network, in the optimizer's order."""
        variables: Sequence[tf.Variable] = self.network.trainable_variables
        return variables

    def restart(self) -> None:
        """Resets the state, with the network's current weights as initial ones."""
        assign(self.initial, self.network.trainable_variables)
        self.optimizer.reset()
        for count in (self.epoch, self.step, self.cumulative_gradient_norm):
            count.assign(tf.zeros_like(count))

    def distance_from_start(self) -> dict[str, float]:
        """Compares the weights with the initial ones, as `movement`."""
        now, start = (
            [weight.numpy() for weight in weights] for weights in (self.network.trainable_variables, self.initial)
        )
        return movement(now, start)


def assign(variables: Iterable[Any], values: Iterable[Any]) -> None:
    """Sets variables to values, or to the values of other variables, in their order."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def movement(now: Sequence[np.ndarray], start: Sequence[np.ndarray]) -> dict[str, float]:
    """Computes cosine similarity and distance between weights and earlier ones, each taken as one vector.

    >>> movement([np.array([3.0, 4.0])], [np.array([3.0, 0.0])])
    {'cosine_similarity': 0.6, 'vector_difference_norm': 4.0}
    """
    here, there = (np.concatenate([part.ravel() for part in parts]).astype(np.float64) for parts in (now, start))
    with np.errstate(invalid="ignore"):  # Weights may have diverged.
        lengths = np.linalg.norm(here) * np.linalg.norm(there)
        return {
            "cosine_similarity": float(here @ there / lengths) if lengths else 0.0,
            "vector_difference_norm": float(np.linalg.norm(here - there)),
        }


def count_parameters(network: snt.Module) -> int:
    """Counts the trainable parameters of a network that has been called once."""
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)
