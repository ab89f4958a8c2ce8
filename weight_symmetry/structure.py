"""The structure of the three models: their poolings, and construction of one like another with other widths."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weight_symmetry import models


def poolings(model: models.Classifier) -> list[int]:
    """Counts the 2 x 2 max poolings that an image has been through where each layer reads it.

    One more between a layer and the next therefore means a pooling between the two. (The global average pooling after
    the last convolution is not among them.)

    >>> poolings(models.CIFAR10_CNN(filters=(4, 4, 8, 8)))
    [0, 0, 1, 1, 2]

    Args:
      model: One of the three models.

    Returns:
      A count for each layer.

    Raises:
      TypeError: If the model is none of the three.
    """
    if type(model) is models.MNIST_FC:
        return [0] * len(model.layers)
    if type(model) is models.MNIST_CNN:
        last = len(model.layers) - 3
        return [*range(last + 1), last, last]
    if type(model) is models.CIFAR10_CNN:
        return [index // 2 for index in range(len(model.layers))]
    raise _unknown(model)


def rebuild(model: models.Classifier, widths: Sequence[int]) -> models.Classifier:
    """Constructs a model of the same class, inputs and options, with hidden layers of other widths.

    >>> model = models.MNIST_FC(features=(32, 16))
    >>> _ = model(tf.ones([1, 28, 28, 1]), is_training=False)
    >>> [layer.w.shape.as_list() for layer in rebuild(model, [5, 3]).layers]
    [[784, 5], [5, 3], [3, 10]]

    Args:
      model: One of the three models, with its variables.
      widths: The number of units of each hidden layer.

    Returns:
      The new model, its variables created and their values yet to be set.

    Raises:
      TypeError: If the model is none of the three.
      ValueError: If it has never been called, and so has no weights.
    """
    check_called(model)
    first, output = model.layers[0], model.layers[-1]
    options: dict[str, Any] = {
        "num_classes": output.w.shape[-1],
        "dropout_rate": model.dropout_rate,
        "name": model.name,
    }
    new: models.Classifier
    if type(model) is models.MNIST_FC:
        new = models.MNIST_FC(features=widths, **options)
    elif type(model) is models.MNIST_CNN:
        new = models.MNIST_CNN(filters=widths[:-1], dense_size=widths[-1], kernel_size=first.w.shape[0], **options)
    elif type(model) is models.CIFAR10_CNN:
        new = models.CIFAR10_CNN(filters=widths, kernel_size=first.w.shape[0], **options)
    else:
        raise _unknown(model)
    side = 2 ** poolings(model)[-1]  # The smallest image that can be pooled so often: the weights depend on no size.
    space = [] if type(model) is models.MNIST_FC else [side, side]
    new(tf.zeros([1, *space, first.w.shape[-2]], first.w.dtype), is_training=False)
    return new


def check_called(model: models.Classifier) -> None:
    """Checks that a model has its variables, which its first call creates.

    Raises:
      ValueError: If it has not.
    """
    if not hasattr(model.layers[-1], "w"):
        raise ValueError(f"model ({model.name}) must have been called once on images, which creates its weights.")


def copy_norm(source: snt.BatchNorm, target: snt.BatchNorm, units: npt.NDArray[np.intp]) -> None:
    """Copies a batch norm unit by unit: scale, offset and moving statistics.

    Args:
      source: The batch norm to copy from.
      target: The batch norm to copy to, with `len(units)` units.
      units: For each unit of the target, the unit of the source.
    """
    for old, new in zip(source.variables, target.variables, strict=True):
        # Beside the variables of a value a unit, the moving averages each count their updates.
        new.assign(tf.gather(old, units, axis=-1) if old.shape.rank else old)


def _unknown(model: object) -> TypeError:
    return TypeError(f"model (a {type(model).__name__}) must be one of {', '.join(models.MODELS)}.")
