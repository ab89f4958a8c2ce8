"""Quantities conserved by training: Noether's theorem for the symmetries of a loss in a network's parameters.

Gradient flow, dw/dt = -grad L(w), is orthogonal to every direction along which the loss L is constant. So a symmetry
that moves the parameters w along M w, M a symmetric matrix, conserves w M w; one that moves them along a fixed u, u w:

    rescaling     a unit of degree k, f(a z) = a^k f(z) for a > 0         |in|^2 - k |out|^2, a number a unit
    mixing        linear units, f(z A) = f(z) A for every matrix A        in^T in - out out^T, a symmetric matrix
    scale         weights whose scale a norm removes                      |in|^2, a number a unit, or one for a layer
    translation   classes of a softmax, L(z + c) = L(z)                   the sum over classes, a number an input
    permutation   units with f(z P) = f(z) P                              which units are equal

with `in` the incoming weights of a unit and its bias (or, where a norm comes before the unit, that norm's scale and
offset), and `out` its outgoing weights. In attention the matrices are those within each head. The units of a
convolution are its channels, at all positions at once; pooling and flattening do not mix them. Permutations are a
discrete symmetry and have no such quantity. But units with equal `in` and equal `out` have the same flow and stay
equal, and where the loss is smooth, so that the flow can be reversed, other units never become equal.

Gradient descent conserves them approximately. A step with learning rate h along the gradient g changes w M w by exactly
h^2 g M g, so over a fixed time, h times the number of steps, the drift is proportional to h. It conserves u w exactly,
and equal units stay equal.
Whether those that are found are all, at a small model's own weights, `are_all` tells by a count of the laws (`laws`).
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra.arrays import instance, listed
from weirdonetworks.measure.conserved.losses import AGREEMENT, SCALES, Loss, agree, ignores_translations, losses
from weirdonetworks.measure.conserved.mixing import MOST, mixed_apart, mixes
from weirdonetworks.measure.rescalings import Scalings, groups_of, scalings
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_layout import Floats, Group
from weirdonetworks.measure.unit_tracing.axes import units_of
from weirdonetworks.nets.inputs import checked_function

RESCALING = "rescaling of homogeneous units"
MIXING = "mixing of linear units"
SCALE = "scale of normalised weights"
TRANSLATION = "translation of softmax classes"
PERMUTATION = "permutation of units"

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
      variables: The variables of the model.
      of: Computes the quantity from values of these, in float64.
    """

    name: str
    symmetry: str
    variables: Sequence[Any] = dataclasses.field(repr=False)  # Their values would fill pages.
    of: Callable[[Sequence[Floats]], Value] = dataclasses.field(repr=False)

    def value(self) -> Value:
        """Computes the quantity from the current variables; two values are compared by `drift`."""
        return self.of([_numbers(variable) for variable in self.variables])


class ConservedQuantities(list[Conserved]):
    """The quantities that are found in a model, a list.

    >>> loss = tf.nn.sparse_softmax_cross_entropy_with_logits
    >>> found = conserved_quantities(snt.nets.MLP([3, 2]), loss, tf.ones([1, 4]))
    >>> [each.name for each in found], found.are_all()
    (['layer_0/balance', 'layer_0/equal_units', 'layer_1/class_sums'], True)
    """

    def __init__(self, found: Iterable[Conserved], graph: UnitGraph, loss: Loss):
        """Takes the quantities, the traced model, and the loss."""
        super().__init__(listed("found", found, "quantities"))
        self._graph = graph
        self._loss = loss

    def are_all(self) -> bool:
        """Tells whether gradient flow from the model's weights conserves nothing else, on data of all directions.

        The number of independent quantities is the rank of their gradients; that of all at the model's weights, and
        those nearby, `count_model_laws` bounds, for data that reach all patterns of active ReLUs that random inputs do.
        Where these weights let fewer patterns occur, more may be conserved than is found: above a ReLU, where positive
        weights keep the next one active, or with one input and no biases. On data that vary in few directions, as
        pixels that are always black, more is conserved, too.
        Which units are equal is no such quantity, and parameters that no output depends on are none that is looked for.

        >>> inputs, loss = tf.ones([1, 4]), tf.nn.sparse_softmax_cross_entropy_with_logits
        >>> conserved_quantities(snt.nets.MLP([3, 2]), loss, inputs).are_all()
        True
        >>> conserved_quantities(lambda x, w=tf.Variable([[1.0, 2.0]]): x @ w, loss, tf.zeros([1, 1])).are_all()
        True
        >>> model = snt.nets.MLP([2, 1], with_bias=False, w_init=snt.initializers.Constant(0.5))
        >>> conserved_quantities(model, lambda labels, outputs: (labels - outputs) ** 2, tf.ones([1, 1])).are_all()
        False

        Returns:
          Whether they are known to be all; False where it is not known.

        Raises:
          ValueError: If the model has operations that cannot be followed, as norms have, or too many parameters.
        """
        # Imports SymPy, which half a second of every start would go to.
        from weirdonetworks.measure.conserved.laws import count_call_laws

        count = count_call_laws(self._graph.call, self._loss)
        rng = np.random.default_rng(0)
        variables = self._graph.variables
        values = [rng.normal(size=each.shape) if each.trainable else _numbers(each) for each in variables]
        trained = [index for index, each in enumerate(variables) if each.trainable]
        rows = [row for each in self if each.symmetry != PERMUTATION for row in _gradients(each, values, trained)]
        rows += list(np.eye(count.parameters)[list(count.unread)])
        return bool(np.linalg.matrix_rank(rows) == count.at_most) if rows else count.at_most == 0


def drift(before: Value, after: Value) -> float:
    """Computes the relative change of a quantity: |after - before| over the larger of the two sizes.

    >>> drift(Value(np.array([0.0]), 4.0), Value(np.array([1.0]), 5.0))
    0.2

    Raises:
      TypeError: If one is no `Value`.
      ValueError: If the values differ in shape.
    """
    before, after = instance("before", before, Value), instance("after", after, Value)
    if before.numbers.shape != after.numbers.shape:
        raise ValueError(
            f"before (of shape {before.numbers.shape}) and after (of shape {after.numbers.shape}) must be values of "
            "one quantity."
        )
    moved = float(np.linalg.norm(after.numbers - before.numbers))
    return moved / max(before.size, after.size) if moved else 0.0


def conserved_quantities(model: Any, loss: Loss, *example_inputs: Any, **options: Any) -> ConservedQuantities:
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
    >>> found.are_all()
    True

    Args:
      model: A module, a Keras model, or a function that reads variables.
      loss: Maps labels and the model's outputs `[batch, ..., n]` to losses, like the functions of `tf.nn` and the
        losses of Keras. The labels are one-hot, or, if the loss raises on these, integers.
      *example_inputs: Arguments of a call.
      **options: Keyword arguments of a call as in training, such as `is_training=True`, but without dropout.

    Returns:
      The quantities, layer by layer; a layer is a weight between units, in the order in which weights are used. Whether
      there are no others at its weights, `are_all` tells of a small model.

    Raises:
      TypeError: If the model cannot be called, or the loss is no function.
      ValueError: If it cannot be traced, a variable holds NaN or infinity, or the loss accepts neither kind of labels.
    """
    checked_function("loss", loss)
    graph = UnitGraph.trace(model, *example_inputs, **options)
    weights = sorted({edge.variable for edge in graph.edges})
    found: list[tuple[int, Conserved]] = []
    for each in scalings(graph, flips=False, trainable=True):
        written = [weights.index(group.variable) for group in each.groups if group.side == "in"]
        layer = min(written, default=0)
        for kind, symmetry, of in _of_units(graph, each):
            name = f"layer_{layer}/{kind}"
            count = sum(other.name.startswith(name) for _, other in found)
            numbered = f"{name}_{count + 1}" if count else name
            found.append((layer, Conserved(numbered, symmetry, graph.variables, of)))
    translated = _translated(graph, loss)
    if translated:
        layer = min((weights.index(index) for index in translated if index in weights), default=0)
        of = functools.partial(_class_sums, translated)
        found.append((layer, Conserved(f"layer_{layer}/class_sums", TRANSLATION, graph.variables, of)))
    return ConservedQuantities((each for _, each in sorted(found, key=lambda pair: pair[0])), graph, loss)


def _gradients(quantity: Conserved, values: Sequence[Floats], trained: Sequence[int]) -> Floats:
    """Computes the gradients of a quantity, which is at most quadratic, `[numbers, trained parameters]`."""
    columns = []
    for index in trained:
        for place in np.ndindex(values[index].shape):
            moved = []
            for step in (1.0, -1.0):
                own = values[index].copy()
                own[place] += step
                moved.append(quantity.of([*values[:index], own, *values[index + 1 :]]).numbers.ravel())
            columns.append((moved[0] - moved[1]) / 2)
    return np.array(columns).T


def _numbers(variable: Any) -> Floats:
    return np.asarray(variable, np.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """Weights of the units of a space along one axis of a variable, with a coefficient in a quantity."""

    group: Group
    coefficient: float

    def columns(self, values: Sequence[Floats]) -> Floats:
        """Returns the weights among the values of all variables, `[weights, units]`."""
        if not self.group.is_plain:
            return self.rows(values).T
        array = np.moveaxis(values[self.group.variable], self.group.axis, -1)
        return array.reshape(-1, array.shape[-1])

    def rows(self, values: Sequence[Floats]) -> Floats:
        """Returns the weights among the values of all variables, `[units, weights]`."""
        array = np.moveaxis(values[self.group.variable], self.group.axis, 0)
        return array.reshape(len(array), -1)[self.group.by_unit].reshape(len(self.group.by_unit), -1)


def _of_units(graph: UnitGraph, found: Scalings) -> Iterator[tuple[str, str, Callable[[Sequence[Floats]], Value]]]:
    """Yields the quantities of the units of a space: name, symmetry and value."""

    def parts(exponents: npt.NDArray[Any]) -> list[_Part]:
        return [_Part(group, float(each)) for group, each in zip(found.groups, exponents, strict=True) if each > 0]

    outward = np.array([group.side == "out" for group in found.groups])
    lengths, joint = ([each for each in basis if each.min() >= 0] for basis in (found.exponents, found.shared))
    if lengths or joint:
        yield "length", SCALE, functools.partial(_length, parts(np.sum(lengths or joint, axis=0)), not lengths)
    for exponents in found.exponents[found.exponents.min(axis=1, initial=0.0) < 0]:
        inward, away = parts(exponents), parts(-exponents)
        if mixes(graph, found, exponents):
            apart = mixed_apart(graph, found, exponents)
            yield "balance", MIXING, functools.partial(_matrix_balance, inward, away, apart)
        else:
            yield "balance", RESCALING, functools.partial(_balance, inward, away)
    if not found.space.fixed:
        inward, away = parts(~outward * 1), parts(outward * 1)
        # Of units that frozen weights tell apart, equal trainable ones do not stay equal.
        for group in groups_of(graph, found.space):
            if group.side and not graph.variables[group.variable].trainable:
                (away if group.side == "out" else inward).append(_Part(group, 1.0))
        yield "equal_units", PERMUTATION, functools.partial(_equal_units, inward, away)


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
        if all(_ignores(graph, loss, index, scale, rng) for scale in SCALES):
            found.append(index)
    return found


def _ignores(graph: UnitGraph, loss: Loss, index: int, scale: float, rng: np.random.Generator) -> bool:
    """Tests whether a loss stays when a variable's entries for all units of the outputs move alike.

    Where no move changes the outputs, as above ReLUs none of which is active, this says nothing, and others are drawn,
    unless the move is but lost in the rounding of large outputs, as a bias is above many layers.
    """
    for _ in range(MOST):
        values = [
            scale * rng.normal(size=each.shape) if each.trainable else np.asarray(each) for each in graph.variables
        ]
        move = scale * rng.normal(size=[*values[index].shape[:-1], 1])
        inputs = graph.call.draw_inputs(rng)
        before, alike, apart = (
            graph.call.outputs([*values[:index], values[index] + each, *values[index + 1 :]], inputs)[0]
            for each in (0.0, move, scale * rng.normal(size=values[index].shape))
        )
        if not agree(before, apart):
            return agree(*map(np.asarray, losses(loss, tf.constant(before), tf.constant(alike))))
        weights = rng.normal(size=before.shape)
        if _classes_alike(loss, before.shape):
            weights -= weights.mean(axis=-1, keepdims=True)
        gradient = _weighted_gradient(graph, index, weights, values, inputs)
        size = np.abs(gradient).max(initial=0.0)
        if size > 0 and np.abs(gradient.sum(axis=-1)).max() <= AGREEMENT * size:
            return True
    return False


def _classes_alike(loss: Loss, shape: Sequence[int]) -> bool:
    try:
        return ignores_translations(loss, shape)
    except ValueError:  # It takes the model's outputs, as probabilities, but not any numbers.
        return False


def _weighted_gradient(
    graph: UnitGraph, index: int, weights: Floats, values: Sequence[Floats], inputs: Sequence[tf.Tensor]
) -> Floats:
    """Computes the gradient of the weighted sum of the outputs, which rounding leaves even where the sum is large."""
    moved = tf.constant(values[index])
    with tf.GradientTape() as tape:
        tape.watch(moved)
        tensors = graph.call.evaluate([*values[:index], moved, *values[index + 1 :]], inputs)
    gradient = tape.gradient(tensors[graph.call.results[0]], moved, tf.constant(weights), tf.UnconnectedGradients.ZERO)
    return np.asarray(tf.convert_to_tensor(gradient))


def _length(parts: list[_Part], joint: bool, values: Sequence[Floats]) -> Value:
    squares = np.square(_columns(parts, values)).sum(axis=0)
    numbers = squares.sum(keepdims=True) if joint else squares
    return Value(numbers, float(np.linalg.norm(numbers)))


def _balance(inward: list[_Part], outward: list[_Part], values: Sequence[Floats]) -> Value:
    degree = outward[0].coefficient
    away = degree * np.square(_rows(outward, values, degree)).sum(axis=1)
    return _difference(np.square(_columns(inward, values)).sum(axis=0), away)


def _matrix_balance(
    inward: list[_Part], outward: list[_Part], apart: Mapping[int, int] | None, values: Sequence[Floats]
) -> Value:
    if apart is not None:
        sizes = {values[variable].shape[axis] for variable, axis in apart.items()}
        found = []
        for place in range(max(sizes)):
            own = list(values)
            for variable, axis in apart.items():
                own[variable] = np.take(values[variable], [place], axis)
            found.append(_matrix_balance(inward, outward, None, own))
        return Value(np.stack([each.numbers for each in found]), sum(each.size for each in found))
    columns, rows = _columns(inward, values), _rows(outward, values)
    return _difference(columns.T @ columns, rows @ rows.T)


def _difference(one: Floats, other: Floats) -> Value:
    return Value(one - other, float(np.linalg.norm(one) + np.linalg.norm(other)))


def _class_sums(variables: list[int], values: Sequence[Floats]) -> Value:
    weights = np.concatenate([values[index].reshape(-1, values[index].shape[-1]) for index in variables])
    return Value(weights.sum(axis=1), float(np.linalg.norm(weights)))


def _equal_units(inward: list[_Part], outward: list[_Part], values: Sequence[Floats]) -> Value:
    units = np.concatenate(
        [*([_columns(inward, values)] if inward else []), *([_rows(outward, values).T] if outward else [])]
    )
    products = units.T @ units
    squares = np.diag(products)
    distances = squares[:, None] + squares - 2 * products
    equal = (distances <= EQUAL**2 * squares.max()).astype(np.float64)
    return Value(equal, float(np.linalg.norm(equal)))


def _columns(parts: list[_Part], values: Sequence[Floats]) -> Floats:
    """Stacks weights times the roots of their coefficients, a column for each unit."""
    return np.concatenate([_times(part.columns(values), part.coefficient) for part in parts])


def _rows(parts: list[_Part], values: Sequence[Floats], degree: float = 1.0) -> Floats:
    """Stacks weights times the roots of their coefficients over a degree, a row for each unit."""
    return np.concatenate([_times(part.rows(values), part.coefficient / degree) for part in parts], axis=1)


def _times(weights: Floats, coefficient: float) -> Floats:
    return weights if coefficient == 1 else math.sqrt(coefficient) * weights
