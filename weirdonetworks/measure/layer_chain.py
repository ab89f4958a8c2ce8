"""The layers of sequential Sonnet and Keras models: weights, biases, norms and the activations between them."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import sonnet as snt
import tensorflow as tf

Map: TypeAlias = Callable[[tf.Tensor], tf.Tensor]

NORMS = ("batch", "layer", "weight")
FEATURES: tuple[Any, ...] = ((-1,), slice(1, None))  # The axes of an `snt.LayerNorm` over the features.
CONVOLUTIONS = (snt.Conv1D, snt.Conv2D, snt.Conv3D)
CHANNELS_LAST = ("NWC", "NHWC", "NDHWC", "channels_last")


@dataclasses.dataclass(frozen=True, eq=False)
class Norm:
    """A normalisation directly after a layer, which makes it invariant to the scale of its weights.

    Attributes:
      kind: One of `NORMS`: `batch` normalises each unit over the batch; `layer` the units of an example, or of a
        position in it; `weight` divides the incoming weights of a unit by their norm, and leaves the layer no bias.
      scale: The learned scale, `[units]`; None for none.
      offset: The learned offset, `[units]`; None for none.
    """

    kind: str
    scale: tf.Variable | None = None
    offset: tf.Variable | None = None

    def __post_init__(self) -> None:
        if self.kind not in NORMS:
            raise ValueError(f"kind (={self.kind!r}) must be one of {', '.join(NORMS)}.")

    @property
    def variables(self) -> list[tf.Variable]:
        """Lists the scale and the offset, where there are any."""
        return [each for each in (self.scale, self.offset) if each is not None]


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """A dense or convolutional layer with its norm and activation: activation(norm(x weights + bias)).

    Attributes:
      weights: `[inputs, units]`, or `[*window, inputs, units]` of a convolution, whose units are its channels.
      bias: `[units]`; None for none.
      activation: The map of `[batch, *positions, units]` between this layer and the next, or after the last: an
        activation, pooling, flattening or their composition; None for none.
      norm: The norm between the layer and its activation; None for none.
    """

    weights: tf.Variable
    bias: tf.Variable | None = None
    activation: Map | None = None
    norm: Norm | None = None

    @property
    def affine(self) -> list[tf.Variable]:
        """Lists the weights and, if there is one, the bias."""
        return [self.weights] if self.bias is None else [self.weights, self.bias]

    @property
    def variables(self) -> list[tf.Variable]:
        """Lists the weights, the bias and the norm's scale and offset, where there are any."""
        return [*self.affine, *(self.norm.variables if self.norm else [])]


Model: TypeAlias = Callable[[tf.Tensor], tf.Tensor] | Sequence[Layer]


def layers_of(model: Model) -> list[Layer]:
    """Lists the dense and convolutional layers of a sequential model.

    Supported are `snt.nets.MLP`, `snt.Sequential` and `keras.Sequential`, also nested, of `snt.Linear`,
    `snt.LayerNorm` and Sonnet's convolutions, and Keras' `Dense`, `Conv1D` to `Conv3D`, `BatchNormalization` and
    `LayerNormalization`, channels last. Any other step between two layers becomes part of the activation of the first;
    steps before the first layer are dropped.

    >>> network = snt.Sequential([snt.Flatten(), snt.Linear(3), tf.nn.relu, snt.Linear(2)])
    >>> _ = network(tf.zeros([1, 4]))
    >>> [(layer.weights.shape.as_list(), layer.activation is tf.nn.relu) for layer in layers_of(network)]
    [([4, 3], True), ([3, 2], False)]

    Args:
      model: Such a model, called once so that its variables exist; or a list of `Layer`, which is returned unchanged.

    Raises:
      TypeError: If the model is of none of these classes.
      ValueError: If it has no such layer, or has not been called.
    """
    if isinstance(model, Sequence) and not callable(model):
        layers = list(model)
        if not all(isinstance(each, Layer) for each in layers):
            raise TypeError(f"model (={model!r}) must hold Layers only.")
    else:
        layers = _joined(_steps(model))
    if not layers:
        raise ValueError(
            f"model (={model!r}) must be a chain with a dense or convolutional layer. Give a list of Layers."
        )
    return layers


def _joined(steps: Iterable[Any]) -> list[Layer]:
    """Joins each layer with the norm and the maps that follow it."""
    layers: list[Layer] = []
    for step in steps:
        if isinstance(step, Layer):
            layers.append(step)
        elif layers:
            last = layers.pop()
            if isinstance(step, Norm) and last.norm is None and last.activation is None:
                layers.append(dataclasses.replace(last, norm=step))
            elif isinstance(step, Norm):
                raise ValueError("a norm in model must come right after a layer with weights. Give a list of Layers.")
            else:
                layers.append(dataclasses.replace(last, activation=_composed(last.activation, step)))
    return layers


def _composed(first: Map | None, then: Map) -> Map:
    return then if first is None else lambda inputs: then(first(inputs))


def _steps(model: Any) -> Iterator[Any]:
    """Yields the steps of a model: a `Layer` without activation, a `Norm`, or any other map."""
    if isinstance(model, snt.Module):
        yield from _sonnet_steps(model)
    elif any(base.__module__.partition(".")[0] == "keras" for base in type(model).__mro__):
        yield from _keras_steps(model)
    elif callable(model):
        yield model
    else:
        raise TypeError(f"model (={model!r}) must be a Sonnet or Keras chain of layers, or a list of Layers.")


def _sonnet_steps(module: snt.Module) -> Iterator[Any]:
    if isinstance(module, snt.Sequential):
        for each in module._layers:
            yield from _steps(each)
    elif isinstance(module, snt.nets.MLP):
        between = _mlp_activation(module)
        for index, linear in enumerate(module._layers):
            yield from _steps(linear)
            if index + 1 < len(module._layers) or module._activate_final:
                yield between
    elif isinstance(module, snt.Linear) or (isinstance(module, CONVOLUTIONS) and module.data_format in CHANNELS_LAST):
        if not hasattr(module, "w"):
            raise ValueError(f"model: {module.name} has no weights yet. Call the model once.")
        yield Layer(module.w, module.b if module.with_bias else None)
    elif isinstance(module, snt.LayerNorm) and module._axis in FEATURES:
        yield Norm("layer", getattr(module, "scale", None), getattr(module, "offset", None))
    else:
        yield module


def _mlp_activation(mlp: snt.nets.MLP) -> Map:
    if not mlp._dropout_rate:
        return mlp._activation
    return lambda inputs: mlp._activation(tf.nn.dropout(inputs, mlp._dropout_rate))


def _keras_steps(model: Any) -> Iterator[Any]:
    kinds = tf.keras.layers
    if isinstance(model, tf.keras.Sequential):
        for each in model.layers:
            yield from _steps(each)
    elif isinstance(model, kinds.Dense) or _is_keras_convolution(model):
        if not model.built:
            raise ValueError(f"model: {model.name} has no weights yet. Call the model once.")
        yield Layer(model.kernel, model.bias)
        if model.activation is not tf.keras.activations.linear:
            yield model.activation
    elif isinstance(model, kinds.BatchNormalization | kinds.LayerNormalization) and _is_norm_of_units(model):
        kind = "batch" if isinstance(model, kinds.BatchNormalization) else "layer"
        yield Norm(kind, model.gamma, model.beta)
    else:
        # As in training, where dropout and noise are not the identity.
        yield lambda inputs: model(inputs, training=True)


def _is_keras_convolution(layer: Any) -> bool:
    kinds = tf.keras.layers
    # Transposed convolutions are subclasses of these.
    known = type(layer) in (kinds.Conv1D, kinds.Conv2D, kinds.Conv3D)
    return known and layer.groups == 1 and layer.data_format in CHANNELS_LAST


def _is_norm_of_units(layer: Any) -> bool:
    """Tests whether a Keras norm is over the last axis, and not frozen to constant statistics."""
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    return axes == [-1] and layer.trainable
