"""What a training is made of at any moment: weights, the optimizer's memory, counts."""

import math
from collections.abc import Sequence

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab.training.optimizers import Optimizer


class DivergenceError(ValueError):
    """The loss of a training did not stay finite."""


class TrainState(tf.Module):
    """What a checkpoint holds: the network, the optimizer's slots, the initial weights, and the counts.

    Attributes:
      network: The network, built (its variables exist).
      optimizer: Its optimizer.
      initial: The trainable weights as they were at the start, in the network's order.
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

    def restart(self) -> None:
        """Makes the network's present weights the initial ones, and forgets all training."""
        for start, weight in zip(self.initial, self.network.trainable_variables, strict=True):
            start.assign(weight)
        for variable in (*self.optimizer.variables, self.epoch, self.step, self.cumulative_gradient_norm):
            variable.assign(tf.zeros_like(variable))

    def distance_from_start(self) -> dict[str, float]:
        """Measures how far the weights have moved; see `movement`."""
        now, start = (
            [weight.numpy() for weight in weights] for weights in (self.network.trainable_variables, self.initial)
        )
        return movement(now, start)


def movement(now: Sequence[np.ndarray], start: Sequence[np.ndarray]) -> dict[str, float]:
    """Compares weights, taken as one vector, with what they were.

    >>> movement([np.array([3.0, 4.0])], [np.array([3.0, 0.0])])
    {'cosine_similarity': 0.6, 'vector_difference_norm': 4.0}
    """
    here, there = (np.concatenate([part.ravel() for part in parts]).astype(np.float64) for parts in (now, start))
    lengths = np.linalg.norm(here) * np.linalg.norm(there)
    return {
        "cosine_similarity": float(here @ there / lengths) if lengths else 0.0,
        "vector_difference_norm": float(np.linalg.norm(here - there)),
    }


def count_parameters(network: snt.Module) -> int:
    """Counts the trainable numbers of a network that has been called once."""
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)
