"""An estimate of the memory that each network of a program of many takes."""

from typing import Any

import tensorflow as tf

from weirdonetworks.lab.training.objectives import traced
from weirdonetworks.lab.training.trainer import Trainer


def size_of_a_copy(trainer: Trainer) -> int:
    """Estimates the bytes of device memory that each of many networks trained in one program takes.

    Counted are the variables; of each weight its gradient, its update and its new value; and the larger of what the
    operations of a batch give in training, twice, for their gradients, and of the two largest values of an evaluated
    batch.

    Args:
      trainer: The trainer of one such network.
    """
    two, three = (_sizes(trainer, examples) for examples in (2, 3))
    by_example = sorted(more - less for less, more in zip(two, three, strict=True))
    state, weights = (sum(map(_size, each)) for each in (trainer.state.variables, trainer.state.parameters))
    batch = max(
        2 * trainer.batch_size * sum(by_example), trainer.evaluation_batch(trainer.train) * sum(by_example[-2:])
    )
    return int(state + 3 * weights + batch)


def _sizes(trainer: Trainer, examples: int) -> list[int]:
    """Lists the sizes of all values that a batch's metrics are computed by."""
    split = trainer.train.images, trainer.train.labels
    batch = [tf.TensorSpec([examples, *each.shape[1:]], each.dtype) for each in split]
    graph = traced(trainer.objective, *batch).graph
    return [_size(value) for operation in graph.get_operations() for value in operation.outputs]


def _size(tensor: Any) -> int:
    """The bytes of a tensor or variable; 0 where its shape is not known, and of handles."""
    known = tensor.dtype not in (tf.resource, tf.variant, tf.string)
    return (tensor.shape.num_elements() or 0) * tensor.dtype.size if known else 0
