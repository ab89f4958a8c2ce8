"""Permutations learned by gradients of the loss between two models: straight-through, or by Sinkhorn's matrices."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weight_symmetry.alignment.similarity import Orders, Similarity, assignment
from weirdonetworks.algebra.arrays import brief
from weirdonetworks.lab.records.tables import counted
from weirdonetworks.measure.models import checked_loss
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_tracing.axes import Axis, Product, Units, resolved

Loss: TypeAlias = Callable[[tf.Tensor, Any], tf.Tensor]

EVALUATED = 10  # Batches on which permutations are compared.
ITERATIONS = 20  # Of Sinkhorn's algorithm.
TRIED = 10  # How often the doubly stochastic matrices are rounded and tried.
STRAIGHT_THROUGH_RATE = 0.02  # Adam's learning rate in proportion to the weights' root mean square.
SINKHORN_RATE = 0.1  # Adam's learning rate of the logits.


class Midpoint:
    """The loss of models between two models, on data.

    Attributes:
      graph: The units of the first model.
      values: The values of both models' variables.
    """

    def __init__(
        self, one: UnitGraph, other: UnitGraph, data: Sequence[npt.ArrayLike], loss: Loss, rng: np.random.Generator
    ):
        """Takes both models, and data: the arrays of inputs, then the labels.

        Raises:
          TypeError, ValueError: If the data do not fit the example inputs, or the loss does not take the labels.
        """
        self.graph = one
        self.values = [[variable.numpy() for variable in each.variables] for each in (one, other)]
        self._data = _checked(data, one.call.inputs, "data", with_labels=True)
        self._rng = rng
        self._loss = loss
        size = batch_size(one.call.inputs)
        starts = range(0, len(self._data[-1]) - size + 1, size)
        self._fixed = [self._at(np.arange(start, start + size)) for start in starts][:EVALUATED]
        outputs, labels = self._outputs(self.values[0], self._fixed[0][:-1]), self._data[-1]
        for start in (*starts, len(labels) - size):  # Any label may be one that the loss does not take.
            checked_loss(loss, labels[start : start + size], outputs, f"data[{len(self._data) - 1}]", "data")
        self._compiled = tf.function(self.between, autograph=False)

    def batch(self) -> list[tf.Tensor]:
        """Draws a batch: the inputs, then the labels."""
        size = batch_size(self.graph.call.inputs)
        return self._at(self._rng.choice(len(self._data[-1]), size, replace=False))

    def between(self, values: Sequence[Any], batch: Sequence[tf.Tensor]) -> tf.Tensor:
        """Computes the mean loss of a batch for any values of the variables."""
        return tf.reduce_mean(self._loss(batch[-1], self._outputs(values, batch[:-1])))

    def mean(self, one: Sequence[Any], other: Sequence[Any], share: Any = 0.5) -> list[Any]:
        """Interpolates between two lists of values; what is no floating-point number is that of the first."""
        return [
            (1 - share) * a + share * b if tf.as_dtype(a.dtype).is_floating else a
            for a, b in zip(one, other, strict=True)
        ]

    def permuted(self, orders: Orders) -> list[Any]:
        """Returns the second model's values, its units permuted."""
        moves = {space.name: np.argsort(orders[space.units]) for space in self.graph.free}
        return self.graph.permuted(moves, self.values[1])

    def at(self, orders: Orders) -> float:
        """Computes the loss half way between the first model and the permuted second, on fixed batches."""
        values = list(map(tf.constant, self.mean(self.values[0], self.permuted(orders))))
        return float(np.mean([self._compiled(values, batch) for batch in self._fixed]))

    def _outputs(self, values: Sequence[Any], inputs: Sequence[tf.Tensor]) -> Any:
        call = self.graph.call
        known = call.evaluate(values, inputs, tf.float32)
        return tf.nest.pack_sequence_as(call.structure, [known[number] for number in call.results])

    def _at(self, indices: npt.NDArray[np.intp]) -> list[tf.Tensor]:
        return [tf.constant(each[indices]) for each in self._data]


def straight_through(midpoint: Midpoint, orders: Orders, steps: int, rng: np.random.Generator) -> Orders:
    """Trains weights, and with them what the second model is matched to, by the loss half way between the models."""
    graph, (a, b) = midpoint.graph, midpoint.values
    learned = graph.weights
    target = [tf.Variable(a[index], dtype=a[index].dtype) for index in learned]
    scale = float(np.sqrt(np.mean(np.concatenate([np.square(a[index]).ravel() for index in learned]))))
    optimizer = snt.optimizers.Adam(STRAIGHT_THROUGH_RATE * scale)

    @tf.function(autograph=False)
    def gradient(values: Sequence[tf.Tensor], batch: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        chosen = [values[index] for index in learned]
        with tf.GradientTape() as tape:
            tape.watch(chosen)
            loss = midpoint.between(values, batch)
        return tape.gradient(loss, chosen, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    best = lowest = None
    for step in range(steps + 1):
        wanted = dict(zip(learned, (each.numpy() for each in target), strict=True))
        similarity = Similarity(graph, *([each.get(i) for i in range(len(b))] for each in (wanted, _only(b, learned))))
        new = similarity.ascend(orders, {}, rng) if step else orders
        if best is None or any(not np.array_equal(new[units], orders[units]) for units in new):
            loss = midpoint.at(new)
            if lowest is None or loss < lowest:
                best, lowest = new, loss
        orders = new
        middle = list(map(tf.constant, midpoint.mean(a, midpoint.permuted(orders))))
        optimizer.apply(gradient(middle, midpoint.batch()), target)
    assert best is not None
    return best


def sinkhorn(midpoint: Midpoint, orders: Orders, steps: int, rng: np.random.Generator) -> Orders:
    """Trains doubly stochastic matrices by the loss at random points between the models, and rounds them."""
    graph = midpoint.graph
    a, b = (list(map(tf.constant, each)) for each in midpoint.values)
    # Half of each row of the first matrices is at the unit that the given order has there.
    logits = [
        tf.Variable(np.log(max(s.size, 2)) * np.eye(s.size)[orders[s.units]], dtype=tf.float32) for s in graph.free
    ]
    optimizer = snt.optimizers.Adam(SINKHORN_RATE)

    @tf.function(autograph=False)
    def gradient(share: tf.Tensor, batch: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            matrices = {s.units: doubly_stochastic(each) for s, each in zip(graph.free, logits, strict=True)}
            moved = [mixed(value, axes, matrices) for value, axes in zip(b, graph.axes, strict=True)]
            loss = midpoint.between(midpoint.mean(a, moved, share), batch)
        return tape.gradient(loss, logits, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    best, lowest = orders, midpoint.at(orders)
    for step in range(1, steps + 1):
        optimizer.apply(gradient(tf.constant(rng.random(), tf.float32), midpoint.batch()), logits)
        if step % max(steps // TRIED, 1) == 0 or step == steps:
            new = {
                s.units: assignment(each.numpy(), np.arange(s.size)) for s, each in zip(graph.free, logits, strict=True)
            }
            loss = midpoint.at(new)
            if loss < lowest:
                best, lowest = new, loss
    return best


def doubly_stochastic(logits: tf.Tensor) -> tf.Tensor:
    """Scales the rows and columns of the exponentials of a square matrix to sums of 1, in turn (Sinkhorn 1964).

    >>> doubly_stochastic(tf.constant([[2.0, 0.0], [0.0, 2.0]])).numpy().round(3)
    array([[0.881, 0.119],
           [0.119, 0.881]], dtype=float32)
    """
    logits = tf.convert_to_tensor(logits)
    for _ in range(ITERATIONS):
        logits -= tf.reduce_logsumexp(logits, axis=0, keepdims=True)
        logits -= tf.reduce_logsumexp(logits, axis=1, keepdims=True)
    return tf.exp(logits)


def mixed(value: tf.Tensor, axes: Sequence[Axis], matrices: Mapping[Units, tf.Tensor]) -> tf.Tensor:
    """Multiplies a tensor by matrices along the axes of some sets of units: a matrix of a permutation permutes them."""
    for place, axis in enumerate(axes):
        value = _along(value, place, axis, matrices)
    return value


def _along(value: tf.Tensor, place: int, axis: Axis, matrices: Mapping[Units, tf.Tensor]) -> tf.Tensor:
    axis = resolved(axis)
    if isinstance(axis, Units):
        if axis not in matrices or not value.dtype.is_floating:
            return value
        product = tf.tensordot(tf.cast(matrices[axis], value.dtype), value, [[1], [place]])
        return tf.transpose(product, [*range(1, place + 1), 0, *range(place + 1, value.shape.rank)])
    sizes = [part.size for part in axis.parts]
    if isinstance(axis, Product):
        shaped = tf.reshape(value, [*value.shape[:place], *sizes, *value.shape[place + 1 :]])
        for index, part in enumerate(axis.parts):
            shaped = _along(shaped, place + index, part, matrices)
        return tf.reshape(shaped, value.shape)
    parts = zip(tf.split(value, sizes, axis=place), axis.parts, strict=True)
    return tf.concat([_along(piece, place, part, matrices) for piece, part in parts], axis=place)


def batches(
    data: Sequence[npt.ArrayLike], examples: Sequence[tf.Tensor], name: str = "data"
) -> Iterator[list[tf.Tensor]]:
    """Cuts arrays of inputs, without the labels after them, into whole batches of the example inputs' size and types.

    Raises:
      TypeError, ValueError: If they do not fit the example inputs; the message calls them `name`.
    """
    arrays = _checked(data, examples, name)[: len(examples)]
    size = batch_size(examples)
    for start in range(0, len(arrays[0]) - size + 1, size):
        yield [tf.constant(each[start : start + size]) for each in arrays]


def batch_size(examples: Sequence[tf.Tensor]) -> int:
    """The number of examples in the example inputs."""
    return int(examples[0].shape[0])


def _checked(
    data: Sequence[npt.ArrayLike], examples: Sequence[tf.Tensor], name: str, with_labels: bool = False
) -> list[npt.NDArray[Any]]:
    """Returns arrays of inputs in the types of the example inputs, and the labels, which only some methods need."""
    if not isinstance(data, Sequence) or isinstance(data, str | bytes):
        raise TypeError(f"{name} (={brief(data)}) must be a list of arrays: the inputs, and the labels last.")
    if len(data) not in (len(examples) + 1, len(examples) + with_labels):
        labels = "and the labels" if with_labels else "and may hold labels"
        raise ValueError(
            f"{name} (of length {len(data)}) must hold {counted(len(examples), 'array')} of inputs {labels}."
        )
    if not (examples and examples[0].shape.rank and examples[0].shape[0]):
        sizes = [tuple(each.shape) for each in examples]
        raise ValueError(
            f"example_inputs (of shapes {sizes}) must hold at least one example: data come in such batches."
        )
    arrays = [np.asarray(each) for each in data]
    inputs, shapes = arrays[: len(examples)], [tuple(each.shape) for each in examples]
    if [each.shape[1:] for each in inputs] != [shape[1:] for shape in shapes] or len(inputs[0]) < shapes[0][0]:
        raise ValueError(
            f"{name} (of shapes {[each.shape for each in inputs]}) must hold inputs like the example inputs, of shapes "
            f"{shapes}, and at least as many."
        )
    # A second input may be no batch, as a seed is none.
    batched = [each for each, shape in zip(inputs, shapes, strict=True) if shape[:1] == shapes[0][:1]]
    lengths = [len(each) if each.ndim else 0 for each in (*batched, *arrays[len(examples) :])]
    if len(set(lengths)) > 1:
        raise ValueError(f"{name} (of lengths {lengths}) must hold one input of each kind, and one label, an example.")
    cast = [each.astype(example.dtype.as_numpy_dtype) for each, example in zip(inputs, examples, strict=True)]
    for index, (each, example) in enumerate(zip(cast, examples, strict=True)):
        # Minus infinity may be a mask.
        if example.dtype.is_floating and (np.isnan(each) | np.isposinf(each)).any():
            raise ValueError(f"{name}[{index}] must hold finite numbers, and holds NaN or infinity.")
    return cast + arrays[len(examples) :]


def _only(values: Sequence[Any], chosen: Sequence[int]) -> dict[int, Any]:
    return {index: values[index] for index in chosen}
