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
Of chains of linear or ReLU layers `measure.conservation_laws.count_laws` tells whether these are all.
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
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.measure.rescalings import Scalings, groups_of, scalings
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_layout import Floats, Group
from weirdonetworks.measure.unit_tracing.axes import units_of

Loss: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

RESCALING = "rescaling of homogeneous units"
MIXING = "mixing of linear units"
SCALE = "scale of normalised weights"
TRANSLATION = "translation of softmax classes"
PERMUTATION = "permutation of units"

SCALES = (0.1, 3.0, 100.0)  # Scales of the weights with which a symmetry of the loss is tried.
AGREEMENT = 1e-9  # Tolerance, relative to the largest output.
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

    >>> inputs = tf.ones([1, 4])
    >>> found = conserved_quantities(snt.nets.MLP([3, 2]), tf.nn.sparse_softmax_cross_entropy_with_logits, inputs)
    >>> [(quantity.name, quantity.symmetry) for quantity in found[:1]]
    [('layer_0/balance', 'rescaling of homogeneous units')]

    Attributes:
      name: Its name, such as `layer_0/balance`.
      symmetry: The symmetry of the loss that implies it.
      value: Computes the quantity from the current variables: its `numbers`, and the `size` of its terms. Two values
        are compared by `drift`.
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


def conserved_quantities(model: Any, loss: Loss, *example_inputs: Any, **options: Any) -> list[Conserved]:
    """Finds the quantities of a model that gradient flow on a loss conserves.

    They are found from the model's traced units (`UnitGraph`), tried with other weights and inputs of many scales, so
    they are those of any model: with norms, residual sums, or attention, whose heads have several balances. Quantities
    of other symmetries are not found, nor those of a layer of one unit.

    >>> inputs = tf.ones([1, 4])
    >>> found = conserved_quantities(snt.nets.MLP([3, 2]), tf.nn.sparse_softmax_cross_entropy_with_logits, inputs)
    >>> [quantity.name for quantity in found]
    ['layer_0/balance', 'layer_0/equal_units', 'layer_1/class_sums']
    >>> found[0].symmetry, found[0].value().numbers.shape
    ('rescaling of homogeneous units', (3,))

    Args:
      model: A module, a Keras model, or a function that reads variables.
      loss: Maps labels and the model's outputs `[batch, ..., n]` to losses, like the functions of `tf.nn` and the
        losses of Keras. The labels are one-hot, or, if the loss raises on these, integers.
      *example_inputs: Arguments of a call.
      **options: Keyword arguments of a call as in training, such as `is_training=True`, but without dropout.

    Returns:
      The quantities, layer by layer; a layer is a weight between units, in the order in which weights are used.

    Raises:
      TypeError: If the model cannot be called.
      ValueError: If it cannot be traced, or the loss accepts neither kind of labels.
    """
    graph = UnitGraph.trace(model, *example_inputs, **options)
    weights = sorted({edge.variable for edge in graph.edges})
    found: list[tuple[int, Conserved]] = []
    for each in scalings(graph, flips=False, trainable=True):
        written = [weights.index(group.variable) for group in each.groups if group.side == "in"]
        layer = min(written, default=0)
        for kind, symmetry, value in _of_units(graph, each):
            name = f"layer_{layer}/{kind}"
            count = sum(other.name.startswith(name) for _, other in found)
            found.append((layer, Conserved(f"{name}_{count + 1}" if count else name, symmetry, value)))
    translated = _translated(graph, loss)
    if translated:
        layer = min((weights.index(index) for index in translated if index in weights), default=0)
        value = functools.partial(_class_sums, [graph.variables[index] for index in translated])
        found.append((layer, Conserved(f"layer_{layer}/class_sums", TRANSLATION, value)))
    return [quantity for _, quantity in sorted(found, key=lambda pair: pair[0])]


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """Weights of the units of a space along one axis of a variable, with a coefficient in a quantity."""

    variable: Any
    group: Group
    coefficient: float

    def columns(self) -> Floats:
        """Returns the weights in float64, `[weights, units]`."""
        if not self.group.is_plain:
            return self.rows().T
        array = np.moveaxis(np.asarray(self.variable, np.float64), self.group.axis, -1)
        return array.reshape(-1, array.shape[-1])

    def rows(self) -> Floats:
        """Returns the weights in float64, `[units, weights]`."""
        array = np.moveaxis(np.asarray(self.variable, np.float64), self.group.axis, 0)
        return array.reshape(len(array), -1)[self.group.by_unit].reshape(len(self.group.by_unit), -1)


def _of_units(graph: UnitGraph, found: Scalings) -> Iterator[tuple[str, str, Callable[[], Value]]]:
    """Yields the quantities of the units of a space: name, symmetry and value."""

    def parts(exponents: npt.NDArray[Any]) -> list[_Part]:
        return [
            _Part(graph.variables[group.variable], group, float(each))
            for group, each in zip(found.groups, exponents, strict=True)
            if each > 0
        ]

    outward = np.array([group.side == "out" for group in found.groups])
    lengths, joint = ([each for each in basis if each.min() >= 0] for basis in (found.exponents, found.shared))
    if lengths or joint:
        yield "length", SCALE, functools.partial(_length, parts(np.sum(lengths or joint, axis=0)), not lengths)
    for exponents in found.exponents[found.exponents.min(axis=1, initial=0.0) < 0]:
        inward, away = parts(exponents), parts(-exponents)
        if _mixes(graph, found, exponents):
            yield "balance", MIXING, functools.partial(_matrix_balance, inward, away)
        else:
            yield "balance", RESCALING, functools.partial(_balance, inward, away)
    if not found.space.fixed:
        inward, away = parts(~outward * 1), parts(outward * 1)
        # Of units that frozen weights tell apart, equal trainable ones do not stay equal.
        for group in groups_of(graph, found.space):
            if group.side and not graph.variables[group.variable].trainable:
                (away if group.side == "out" else inward).append(_Part(graph.variables[group.variable], group, 1.0))
        yield "equal_units", PERMUTATION, functools.partial(_equal_units, inward, away)


def _mixes(graph: UnitGraph, found: Scalings, exponents: Floats) -> bool:
    """Tests whether units may be mixed: incoming weights times a matrix, outgoing ones times its inverse."""
    if set(np.unique(exponents).tolist()) - {-1.0, 0.0, 1.0}:
        return False
    rng = np.random.default_rng(0)
    matrix = np.eye(found.space.size) - rng.uniform(0.1, 0.5, [found.space.size] * 2)
    values: list[Floats] = [
        rng.normal(size=each.shape) if each.trainable else np.asarray(each, np.float64) for each in graph.variables
    ]
    moved = list(values)
    for group, exponent in zip(found.groups, exponents, strict=True):
        if exponent:
            moved[group.variable] = group.mixed(
                moved[group.variable], np.asarray(matrix.T if exponent > 0 else np.linalg.inv(matrix), np.float64)
            )
    before, after = (graph.call.outputs(each) for each in (values, moved))
    return all(_agree(one, other) for one, other in zip(before, after, strict=True))


def _translated(graph: UnitGraph, loss: Loss) -> list[int]:
    """Lists the variables to which the same may be added for all units of the outputs, with no change of the loss."""
    if len(graph.call.results) != 1:  # A loss of one output says nothing of several.
        return []
    last = {units for number in graph.call.results for units in units_of(*graph.tensor_axes[number][-1:])}
    found = []
    rng = np.random.default_rng(0)
    for index, (variable, axes) in enumerate(zip(graph.variables, graph.axes, strict=True)):
        if not variable.trainable or not last.intersection(units_of(*axes[-1:])):
            continue
        agrees = True
        for scale in SCALES:
            values = [
                scale * rng.normal(size=each.shape) if each.trainable else np.asarray(each) for each in graph.variables
            ]
            moved = list(values)
            moved[index] = values[index] + scale * rng.normal(size=[*variable.shape[:-1], 1])
            one, other = (tf.constant(graph.call.outputs(each)[0]) for each in (values, moved))
            agrees &= _agree(*map(np.asarray, _losses(loss, one, other)))
        if agrees:
            found.append(index)
    return found


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


def _agree(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    size = max(float(np.abs(each).max(initial=0.0)) for each in (one, other))
    return bool(np.abs(one - other).max(initial=0.0) <= AGREEMENT * size)


def _length(parts: list[_Part], joint: bool) -> Value:
    squares = np.square(_columns(parts)).sum(axis=0)
    numbers = squares.sum(keepdims=True) if joint else squares
    return Value(numbers, float(np.linalg.norm(numbers)))


def _balance(inward: list[_Part], outward: list[_Part]) -> Value:
    degree = outward[0].coefficient
    away = degree * np.square(_rows(outward, degree)).sum(axis=1)
    return _difference(np.square(_columns(inward)).sum(axis=0), away)


def _matrix_balance(inward: list[_Part], outward: list[_Part]) -> Value:
    columns, rows = _columns(inward), _rows(outward)
    return _difference(columns.T @ columns, rows @ rows.T)


def _difference(one: Floats, other: Floats) -> Value:
    return Value(one - other, float(np.linalg.norm(one) + np.linalg.norm(other)))


def _class_sums(variables: list[Any]) -> Value:
    arrays = [np.asarray(each, np.float64) for each in variables]
    weights = np.concatenate([array.reshape(-1, array.shape[-1]) for array in arrays])
    return Value(weights.sum(axis=1), float(np.linalg.norm(weights)))


def _equal_units(inward: list[_Part], outward: list[_Part]) -> Value:
    units = np.concatenate([*([_columns(inward)] if inward else []), *([_rows(outward).T] if outward else [])])
    products = units.T @ units
    squares = np.diag(products)
    distances = squares[:, None] + squares - 2 * products
    equal = (distances <= EQUAL**2 * squares.max()).astype(np.float64)
    return Value(equal, float(np.linalg.norm(equal)))


def _columns(parts: list[_Part]) -> Floats:
    """Stacks weights times the roots of their coefficients, a column for each unit."""
    return np.concatenate([_times(part.columns(), part.coefficient) for part in parts])


def _rows(parts: list[_Part], degree: float = 1.0) -> Floats:
    """Stacks weights times the roots of their coefficients over a degree, a row for each unit."""
    return np.concatenate([_times(part.rows(), part.coefficient / degree) for part in parts], axis=1)


def _times(weights: Floats, coefficient: float) -> Floats:
    return weights if coefficient == 1 else math.sqrt(coefficient) * weights
