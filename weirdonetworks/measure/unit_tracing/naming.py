"""Names of variables, the same for Sonnet, Keras and TensorFlow wherever a variable is named."""

from typing import Any

import tensorflow as tf


def name_of(variable: Any) -> str:
    """Names a variable: by its path in a Keras model, else by its name in TensorFlow, without the number of an output.

    >>> name_of(tf.Variable(0.0, name="linear/w"))
    'linear/w'
    """
    return str(getattr(variable, "path", None) or variable.name.partition(":")[0])


def resource(variable: Any) -> tf.Variable:
    """Returns the TensorFlow variable, also of a Keras variable."""
    return variable if isinstance(variable, tf.Variable) else variable.value
