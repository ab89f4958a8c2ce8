"""Mixed precision: a network of float32 weights that computes in bfloat16."""

from collections.abc import Callable
from typing import Any

import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training.objectives import Objective, traced
from weirdonetworks.nets.base_module import keras_layers, weights_read_as


class InBfloat16:
    """A network called in bfloat16, its weights in float32.

        f(x) = float32(network_w(bfloat16(x))),    every weight w read as bfloat16(w)

    Gradients are those of the float32 weights, to which an optimizer's small steps are added without being rounded
    away (Micikevicius et al., Mixed precision training, 2018). Integers, such as seeds, are not cast. It has no
    attributes of the network: what else an objective would ask of it is not in bfloat16.

    >>> linear = snt.Linear(1, with_bias=False, w_init=snt.initializers.Constant(1 + 2**-10))
    >>> linear(tf.ones([1, 1])).numpy().item(), InBfloat16(linear)(tf.ones([1, 1])).numpy().item()
    (1.0009765625, 1.0)
    """

    def __init__(self, network: snt.Module):
        """Takes a network with its variables.

        Raises:
          UsageError: If it is no Sonnet module, or holds a Keras layer, which casts its inputs itself.
        """
        if not isinstance(network, snt.Module):
            raise UsageError(
                f"precision (=bfloat16) must be tf32 or highest for a {type(network).__name__}, no Sonnet module."
            )
        if any(keras_layers(network)):
            raise UsageError(
                "precision (=bfloat16) must be tf32 or highest for a Keras model, whose layers have a precision of "
                'their own: build it with dtype="mixed_bfloat16".'
            )
        self._network: Any = network

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Calls the network; its floating-point inputs are cast, and its outputs cast back to float32."""
        with weights_read_as(tf.bfloat16, self._network):
            outputs = self._network(*_cast(inputs, tf.bfloat16), **_cast(options, tf.bfloat16))
        return _cast(outputs, tf.float32)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"its objective takes its {name}, and not what it returns alone")


def _cast(structure: Any, dtype: tf.DType) -> Any:
    def cast(value: Any) -> Any:
        return tf.cast(value, dtype) if tf.is_tensor(value) and value.dtype.is_floating else value

    return tf.nest.map_structure(cast, structure)


def in_bfloat16(
    objective: Callable[[Any], Objective], network: Any, images: tf.Tensor, labels: tf.Tensor
) -> Callable[[Any], Objective]:
    """Returns what makes the objective of a network in bfloat16.

    Args:
      objective: Makes the objective of a network.
      network: The network, with its variables.
      images, labels: Examples, with which it is traced in training; nothing is computed.

    Raises:
      UsageError: If the network cannot be traced in bfloat16.
    """

    def made(network: Any) -> Objective:
        return objective(InBfloat16(network))

    try:
        traced(made(network), images, labels)
    except UsageError:
        raise
    except (AttributeError, TypeError, ValueError, tf.errors.OpError) as error:
        cause = str(error).partition("\n")[0]
        raise UsageError(
            "precision (=bfloat16) must be tf32 or highest for this network, which does not compute in bfloat16: "
            f"{cause}"
        ) from error
    return made
