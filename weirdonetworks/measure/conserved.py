"""Quantities conserved by training: Noether's theorem for the symmetries of a loss in a network's parameters.

Gradient flow, dw/dt = -grad L(w), is orthogonal to every direction along which the loss L is constant. So a symmetry
that moves the parameters w along M w, M a symmetric matrix, conserves w M w; one that moves them along a fixed u, u w:

    rescaling     a unit of degree k, f(a z) = a^k f(z) for a > 0         |in|^2 - k |out|^2, a number a unit
    mixing        linear units, f(z A) = f(z) A for every matrix A        in^T in - out out^T, a symmetric matrix
    scale         weights whose scale a norm removes                      |in|^2, a number a unit, or one for a layer
    translation   classes of a softmax, L(z + c) = L(z)                   the sum over classes, a number an input
    permutation   units with f(z P) = f(z) P                              which units are equal

with `in` the incoming weights of a unit and its bias (or, where a norm comes before the unit, that norm's scale and
offset), and `out` its outgoing weights. The units of a convolution are its channels, at all positions at once; pooling
and flattening do not mix them. Permutations are a discrete symmetry and have no such quantity. But units with equal
`in` and equal `out` have the same flow and stay equal, and where the loss is smooth, so that the flow can be reversed,
other units never become equal.

Gradient descent conserves them approximately. A step with learning rate h along the gradient g changes w M w by exactly
h^2 g M g, so over a fixed time, h times the number of steps, the drift is proportional to h. It conserves u w exactly,
and equal units stay equal.
All this holds for each batch, hence for stochastic gradients. Momentum conserves u w and equal units; Adam and weight
decay conserve equal units only. The epsilon in a norm breaks the scale symmetry slightly, and rounding can separate
equal units where training does not pull them together.

Kunin, Sagastuy-Brena, Ganguli, Yamins & Tanaka, Neural mechanics: symmetry and broken conservation laws in deep
learning dynamics, 2021. Du, Hu & Lee, Algorithmic regularization in learning deep homogeneous models: layers are
automatically balanced, 2018.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.measure.layer_chain import Layer, Map, Model, layers_of

Floats: TypeAlias = npt.NDArray[np.float64]
Loss: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

RESCALING = "rescaling of homogeneous units"
MIXING = "mixing of linear units"
SCALE = "scale of normalised weights"
TRANSLATION = "translation of softmax classes"
PERMUTATION = "permutation of units"

DEGREES = (1, 2, 3)  # Of homogeneous activations: 1 for ReLU, 2 for the square.
TRIED = 64  # Random inputs on which a symmetry is tested.
SCALES = (0.1, 3.0, 100.0)  # Scales of these inputs.
AGREEMENT = 1e-4  # Tolerance of the test, relative to the largest output.
SIDES = (8, *range(1, 65))  # Sides of the images on which the map after a convolution is tested.
EQUAL = 1e-5  # Units at a smaller relative distance count as equal.


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """The value of a conserved quantity.

    Attributes:
      numbers: The quantity.
      size: The sum of the Euclidean norms of its terms, the scale of its changes; the quantity itself, a difference of
        terms, may be 0.
    """

    numbers: Floats
    size: float

    def __repr__(self) -> str:
        return f"Value(shape={self.numbers.shape}, size={self.size:.6g})"  # The numbers would fill pages.


@dataclasses.dataclass(frozen=True, eq=False)
class Conserved:
    """A quantity that gradient flow conserves.

    Attributes:
      name: Its name, such as `layer_0/balance`.
      symmetry: The symmetry of the loss that implies it.
      value: Computes the quantity from the current variables.
    """

    name: str
    symmetry: str
    value: Callable[[], Value] = dataclasses.field(repr=False)  # It holds layers, whose weights would fill pages.


def drift(before: Value, after: Value) -> float:
    """Computes the relative change of a quantity: |after - before| over the larger of the two sizes.

    >>> drift(Value(np.array([0.0]), 4.0), Value(np.array([1.0]), 5.0))
    0.2

    Raises:
      ValueError: If the values differ in shape.
    """
    if before.numbers.shape != after.numbers.shape:
        raise ValueError(
            f"before (of shape {before.numbers.shape}) and after (of shape {after.numbers.shape}) must be values of "
            "one quantity."
        )
    moved = float(np.linalg.norm(after.numbers - before.numbers))
    return moved / max(before.size, after.size) if moved else 0.0


def conserved_quantities(model: Model, loss: Loss) -> list[Conserved]:
    """Finds the quantities of a model's dense and convolutional layers that gradient flow on a loss conserves.

    The symmetries of activations and loss are tested numerically on random inputs of several scales; a map between
    layers that has variables is tested at their current values. Quantities of other symmetries are not found, nor those
    of units followed by a map that cannot be tested.

    >>> network = snt.nets.MLP([3, 2])
    >>> _ = network(tf.zeros([1, 4]))
    >>> found = conserved_quantities(network, tf.nn.sparse_softmax_cross_entropy_with_logits)
    >>> [quantity.name for quantity in found]
    ['layer_0/balance', 'layer_0/equal_units', 'layer_1/class_sums']
    >>> found[0].symmetry, found[0].value().numbers.shape
    ('rescaling of homogeneous units', (3,))

    Args:
      model: A sequential model, as in `layer_chain.layers_of`.
      loss: Maps labels and the model's outputs `[batch, n]` to losses, like the functions of `tf.nn` and the losses of
        Keras. The labels are one-hot, `[batch, n]`, or, if the loss raises on these, integers `[batch]`.

    Returns:
      The quantities, layer by layer.

    Raises:
      TypeError: As `layers_of`.
      ValueError: As `layers_of`; or if layers share variables, consecutive shapes do not match, or a variable is not
        trainable, all of which break the symmetries; or the loss accepts neither kind of labels.
    """
    layers = layers_of(model)
    _check(layers)
    found = []
    for index, layer in enumerate(layers):
        name = f"layer_{index}"
        if layer.norm:
            found.append(Conserved(f"{name}/length", SCALE, functools.partial(_length, layer)))
        if index + 1 < len(layers):
            found += _of_hidden_units(name, layer, layers[index + 1])
        elif (layer.norm is None or layer.norm.offset is not None) and _is_translated(layer, loss):
            found.append(Conserved(f"{name}/class_sums", TRANSLATION, functools.partial(_class_sums, layer)))
    return found


def _check(layers: Sequence[Layer]) -> None:
    seen: set[int] = set()
    for index, layer in enumerate(layers):
        if len(layer.weights.shape) < 2:
            raise ValueError(
                f"model: the weights of layer {index}, of shape {layer.weights.shape}, must be [..., inputs, units]."
            )
        if layer.norm and layer.norm.kind == "weight" and layer.bias is not None:
            raise ValueError(f"model: layer {index} must have no bias but the offset of its weight normalisation.")
        for variable in layer.variables:
            if id(variable) in seen:
                raise ValueError(f"model: layer {index} must not share variables with another.")
            if not getattr(variable, "trainable", True):
                raise ValueError(f"model: the variables of layer {index} must be trainable.")
            seen.add(id(variable))
        if index and layer.weights.shape[-2] % layers[index - 1].weights.shape[-1]:
            raise ValueError(
                f"model: layer {index} must take the {layers[index - 1].weights.shape[-1]} units of the layer before, "
                f"once or at so many places, and takes {layer.weights.shape[-2]}."
            )


def _of_hidden_units(name: str, layer: Layer, following: Layer) -> list[Conserved]:
    units = layer.weights.shape[-1]
    tried = _Tried(layer)
    found = []
    # Normalised outgoing weights cannot compensate a rescaling of their units, and units normalised without a learned
    # scale cannot be rescaled.
    if (following.norm is None or following.norm.kind != "weight") and _has_scale(layer):
        # A negative factor, since ReLU commutes with every positive one.
        mixing = -tf.abs(tried.random([units, units]))
        if layer.norm is None and tried.commutes(lambda z: z @ mixing):
            found.append(Conserved(f"{name}/balance", MIXING, functools.partial(_matrix_balance, layer, following)))
        elif degree := _degree(tried, units):
            value = functools.partial(_balance, layer, following, degree)
            found.append(Conserved(f"{name}/balance", RESCALING, value))
    if all(tried.commutes(functools.partial(tf.gather, indices=order, axis=-1)) for order in _generators(units)):
        found.append(Conserved(f"{name}/equal_units", PERMUTATION, functools.partial(_equal_units, layer, following)))
    return found


class _Tried:
    """The map between two layers, evaluated on random values of its units."""

    def __init__(self, layer: Layer):
        """Draws `[examples, *positions, units]`, with a number of positions that the map accepts."""
        self._activation = layer.activation or tf.identity
        self._units = layer.weights.shape[-1]
        self._dtype = tf.as_dtype(layer.weights.dtype)
        self._inputs: tf.Tensor | None = None
        window = layer.weights.shape[:-2]
        for side in SIDES if window else (1,):
            shape = [*[side] * len(window), self._units]
            try:
                (examples, *_, numbers) = self._activation(tf.zeros([1, *shape], self._dtype)).shape
            except (ValueError, tf.errors.InvalidArgumentError):
                continue  # Of another rank, or smaller than a pooling window.
            if examples == 1 and numbers % self._units == 0:
                self._inputs = self.random([TRIED, *shape])
                return

    def random(self, shape: Sequence[int]) -> tf.Tensor:
        """Draws normal values in the layer's type, the same for the same shape."""
        return tf.cast(_random(shape, 1), self._dtype)

    def commutes(self, before: Map, after: Map | None = None) -> bool:
        """Tests whether map(before(z)) = after(map(z)), at each position; `after` is `before` if None."""
        if self._inputs is None:
            return False
        for scale in SCALES:
            inputs = tf.cast(scale, self._dtype) * self._inputs
            one, other = (
                tf.reshape(tf.cast(self._activation(z), self._dtype), [TRIED, -1, self._units])
                for z in (before(inputs), inputs)
            )
            if not _agree(one, (after or before)(other)):
                return False
        return True


def _generators(units: int) -> list[list[int]]:
    """Lists two generators of the symmetric group: the exchange of the first two, and the shift by one."""
    return [[1, 0, *range(2, units)], [*range(1, units), 0]] if units > 1 else [[0]]


def _degree(tried: _Tried, units: int) -> int:
    """Finds the degree of homogeneity of a map in each single unit; 0 if it is not homogeneous."""
    scales = tf.exp(tried.random([units]))
    for degree in DEGREES:
        powers = scales**degree
        if tried.commutes(lambda z: z * scales, functools.partial(tf.multiply, powers)):
            return degree
    return 0


def _is_translated(last: Layer, loss: Loss) -> bool:
    """Tests whether the loss is invariant to a constant added to all outputs of the last layer."""
    dtype = tf.as_dtype(last.weights.dtype)
    places = [8] * (len(last.weights.shape) - 2)
    drawn = tf.cast(_random([TRIED, *places, last.weights.shape[-1]], 0), dtype)
    shifts = tf.cast(_random([TRIED, *[1] * len(places), 1], 1), dtype)
    activation = last.activation or tf.identity
    for scale in SCALES:
        one, other = (activation(tf.cast(scale, dtype) * z) for z in (drawn, drawn + shifts))
        if not _agree(*_losses(loss, one, other)):
            return False
    return True


def _losses(loss: Loss, *outputs: tf.Tensor) -> list[tf.Tensor]:
    """Computes the losses of outputs `[..., classes]`, with labels of the kind that the loss accepts."""
    shape = outputs[0].shape
    classes = tf.reshape(tf.range(math.prod(shape[:-1])) % shape[-1], shape[:-1])
    causes = []
    for labels in (tf.one_hot(classes, shape[-1], dtype=outputs[0].dtype), classes):
        try:
            return [tf.convert_to_tensor(loss(labels, each)) for each in outputs]
        except Exception as error:  # A loss may raise any error on labels that it does not accept.
            causes.append(str(error).partition("\n")[0])
    raise ValueError(f"loss (={loss!r}) must take one-hot or integer labels, and outputs: {' '.join(causes)}")


def _agree(one: tf.Tensor, other: tf.Tensor) -> bool:
    size = max(float(tf.reduce_max(tf.abs(each))) for each in (one, other))
    return float(tf.reduce_max(tf.abs(one - other))) <= AGREEMENT * size


def _random(shape: Sequence[int], seed: int) -> tf.Tensor:
    return tf.random.stateless_normal(shape, (0, seed))


def _has_scale(layer: Layer) -> bool:
    return layer.norm is None or layer.norm.scale is not None


def _incoming(layer: Layer) -> list[tf.Variable]:
    """Lists the incoming parameters of a layer's units: weights and bias, or the scale and offset of a norm."""
    return layer.norm.variables if layer.norm else layer.affine


def _length(layer: Layer) -> Value:
    squares = np.square(_rows(layer.affine)).sum(axis=0)
    numbers = squares.sum(keepdims=True) if layer.norm and layer.norm.kind == "layer" else squares
    return Value(numbers, float(np.linalg.norm(numbers)))


def _balance(layer: Layer, following: Layer, degree: int) -> Value:
    inward = np.square(_rows(_incoming(layer))).sum(axis=0)
    return _difference(inward, degree * np.square(_outward(layer, following)).sum(axis=1))


def _matrix_balance(layer: Layer, following: Layer) -> Value:
    inward, outward = _rows(_incoming(layer)), _outward(layer, following)
    return _difference(inward.T @ inward, outward @ outward.T)


def _difference(one: Floats, other: Floats) -> Value:
    return Value(one - other, float(np.linalg.norm(one) + np.linalg.norm(other)))


def _class_sums(last: Layer) -> Value:
    # After a norm only its offset takes part in a translation.
    weights = _rows(last.affine if last.norm is None else [last.norm.offset])
    return Value(weights.sum(axis=1), float(np.linalg.norm(weights)))


def _equal_units(layer: Layer, following: Layer) -> Value:
    units = np.concatenate([_rows(layer.variables), _outward(layer, following).T])
    products = units.T @ units
    squares = np.diag(products)
    distances = squares[:, None] + squares - 2 * products
    equal = (distances <= EQUAL**2 * squares.max()).astype(np.float64)
    return Value(equal, float(np.linalg.norm(equal)))


def _rows(variables: Sequence[tf.Variable]) -> Floats:
    """Stacks variables `[..., units]` in float64, one column per unit."""
    arrays = [np.asarray(each, np.float64) for each in variables]
    return np.concatenate([array.reshape(-1, array.shape[-1]) for array in arrays])


def _outward(layer: Layer, following: Layer) -> Floats:
    """Stacks the outgoing weights of each unit, at all positions of the window, in float64, one row per unit."""
    weights, units = np.asarray(following.weights, np.float64), layer.weights.shape[-1]
    by_unit = weights.reshape(-1, units, weights.shape[-1])
    return np.moveaxis(by_unit, 1, 0).reshape(units, -1)
