"""Stability of a model under transformations of its inputs, and its errors of invariance and equivariance.

A model is any function from a batch `[inputs, ...]` to outputs `[inputs, ...]` that treats its inputs independently: a
Sonnet module, a Keras model, a Python function. Its outputs are not normalised. Logits grow with the confidence of a
network and probabilities do not: to compare classifiers, measure `lambda images: tf.nn.softmax(model(images))`.

The inputs are transformed by an action; by a bare group or a list of image transformations, where only one action can
be meant; or by an `Orbit`, with its chosen elements. One compiled function processes a chunk of the inputs under all
elements at a time, in which products of float32 are not rounded to TF32 on GPUs.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra.actions import Elements
from weirdonetworks.algebra.arrays import array, at_least, shown, truth
from weirdonetworks.measure.models import Model, checked_inputs, in_pieces, ready
from weirdonetworks.measure.moves import Moving, moves_of, paired_moves
from weirdonetworks.nets.orbits import ListedElements

Floats: TypeAlias = npt.NDArray[np.float64]

BATCH = 4096  # Transformed inputs per chunk: 13 MB of 28 x 28 images.


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Stability:
    """Statistics of a model's outputs over a sweep of transformations.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> found = measure_stability(lambda x: x[:, :1], [[1.0, 2.0, 6.0]], cyclic_group(3), cyclic=True)
    >>> found.variance.round(3).tolist(), found.difference.round(3).tolist()
    ([4.667], [3.333])

    Attributes:
      variance: The `transformation_variance` of each input, `[inputs]`.
      difference: The `transformation_difference` of each input, `[inputs]`.
      accuracy: The accuracy under each transformation, `[transforms]`; None without labels.
    """

    variance: Floats
    difference: Floats
    accuracy: Floats | None = None

    def __repr__(self) -> str:
        means = f"variance {self.variance.mean():.3g}, difference {self.difference.mean():.3g}"
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy.mean():.3g}"
        return f"<Stability of {len(self.variance)} inputs, on average: {means}{accuracy}>"

    def summary(self) -> dict[str, float]:
        """Returns the mean, median, extremes and quantiles of each metric, keyed `transformation_variance/mean`, ...

        Variance and difference are summarised over the inputs, accuracy over the transformations.
        """
        figures = _distribution("transformation_variance", self.variance)
        figures |= _distribution("transformation_difference", self.difference)
        return figures if self.accuracy is None else figures | _distribution("accuracy", self.accuracy)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Deviation:
    """The violation of a law of symmetry, such as F(g x) = F(x): the difference of its two sides per input and element.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> found = invariance_error(lambda x: x[:, :1], [[1.0, 2.0, 4.0]], cyclic_group(3))
    >>> found.absolute.tolist(), found.by_element.tolist(), found.overall_relative
    ([3.0], [0.0, 3.0, 1.0], 0.75)

    Attributes:
      absolute: The largest absolute difference of the two sides per input, over elements and entries, `[inputs]`.
      size: The largest magnitude of either side per input, `[inputs]`.
      by_element: The largest absolute difference per element, over inputs and entries, `[elements]`.
      elements: The elements tested: all, or a random sample of a large group. For two paired groups, elements of the
        group of pairs; for a list of transformations, indices into it.
      is_group: Whether the elements of the action form a group. If not, as for rotations of pixels by 30 degrees, a
        model averaged over them all is not exactly invariant.
    """

    absolute: Floats
    size: Floats
    by_element: Floats
    elements: Elements
    is_group: bool

    def __repr__(self) -> str:
        count = f"{len(self.elements)}{'' if self.is_group else ' that form no group'}"
        worst = f"element {self.number} of {count}: {shown(self.element)}"
        return (
            f"<Deviation {self.overall_relative:.3g} of the largest output, {self.overall_absolute:.3g}, for {worst}>"
        )

    @property
    def relative(self) -> Floats:
        """The relative error per input, `absolute / size`, in [0, 2]; 0 where all outputs are 0."""
        return np.divide(self.absolute, self.size, out=np.zeros_like(self.size), where=self.size != 0)

    @property
    def overall_absolute(self) -> float:
        """The largest absolute difference."""
        return float(self.absolute.max())

    @property
    def overall_relative(self) -> float:
        """The largest absolute difference over the largest size, so that inputs with small outputs do not dominate."""
        return self.overall_absolute / size if (size := float(self.size.max())) else 0.0

    @property
    def number(self) -> int:
        """The index of the element with the largest difference."""
        return int(self.by_element.argmax())

    @property
    def element(self) -> Any:
        """The element with the largest difference."""
        return self.elements[self.number]

    def summary(self) -> dict[str, float]:
        """Returns the overall errors, `is_group` as 1 or 0, and the distribution of the errors over the inputs."""
        return {
            "absolute/overall": self.overall_absolute,
            "relative/overall": self.overall_relative,
            "is_group": float(self.is_group),
            **_distribution("absolute", self.absolute),
            **_distribution("relative", self.relative),
        }


def outputs_over(
    model: Model, inputs: npt.ArrayLike, action: Moving, *, batch_size: int = BATCH, dtype: tf.DType = tf.float32
) -> npt.NDArray[Any]:
    """Computes the outputs F(g x) for each element g of an action and each input x.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> outputs_over(lambda x: x[:, :1], [[1.0, 2.0, 3.0]], cyclic_group(3)).ravel().tolist()
    [1.0, 3.0, 2.0]

    Args:
      model: A function of a batch; see the module docstring.
      inputs: The inputs, `[inputs, ...]`, at least one.
      action: The action on the inputs, such as `items(3)`; see the module docstring. Of a group of more than 1024
        elements 64 random ones are applied, of a list of transformations all.
      batch_size: Approximate number of transformed inputs per chunk; never less than all images of one input.
      dtype: The type to compute in. A Sonnet module of another type is copied into it; any other model must already
        compute in it.

    Returns:
      The outputs, `[elements, inputs, ...]`, in that type.

    Raises:
      TypeError: If there is no action, or the model cannot be copied.
      ValueError: If there is no input, the action does not act on the inputs' shape, or the model does not compute in
        `dtype` or does not return an output for each input.
    """
    pieces = _pieces(model, inputs, moves_of("action", action), batch_size, dtype, lambda run, batch, moved: moved)
    return np.concatenate([each.numpy() for each in pieces], axis=1)


def transformation_variance(outputs: npt.ArrayLike) -> Floats:
    """Computes the variance of the outputs over the transformations, averaged over the entries:

        v[x] = mean over entries k of (mean over g of (f(g x)[k] - mean over h of f(h x)[k])^2)

    >>> transformation_variance([[[1.0, 5.0]], [[3.0, 5.0]]]).tolist()
    [0.5]

    Args:
      outputs: Outputs, `[transforms, inputs, ...]`, as returned by `outputs_over`.

    Returns:
      The variance per input, `[inputs]`.

    Raises:
      ValueError: If there is no transformation, or the outputs have fewer than two axes.
    """
    return _flat(outputs, 1).var(axis=0).mean(axis=1)


def transformation_difference(outputs: npt.ArrayLike, cyclic: bool = False) -> Floats:
    """Computes the mean absolute change of the outputs between neighbouring transformations:

        d[x] = mean over entries k and neighbours g, h of |f(h x)[k] - f(g x)[k]|

    >>> outputs = [[[1.0]], [[3.0]], [[4.0]]]
    >>> transformation_difference(outputs).tolist(), transformation_difference(outputs, cyclic=True).tolist()
    ([1.5], [2.0])

    Args:
      outputs: Outputs, `[transforms, inputs, ...]`, as returned by `outputs_over`, in the order of the sweep.
      cyclic: Whether the last and the first transformation are neighbours too, as in a full turn.

    Returns:
      The mean change per input, `[inputs]`.

    Raises:
      ValueError: If there are fewer than two transformations, or the outputs have fewer than two axes.
    """
    flat = _flat(outputs, 2)
    steps = np.diff(flat, axis=0, append=flat[:1]) if truth("cyclic", cyclic) else np.diff(flat, axis=0)
    return np.abs(steps).mean(axis=(0, 2))


def accuracy_over(outputs: npt.ArrayLike, labels: npt.ArrayLike) -> Floats:
    """Computes the accuracy of a classifier under each transformation.

    >>> accuracy_over([[[0.1, 0.9], [0.2, 0.8]], [[0.7, 0.3], [0.4, 0.6]]], [1, 1]).tolist()
    [1.0, 0.5]

    Args:
      outputs: Logits or probabilities, `[transforms, inputs, classes]`.
      labels: The true class of each input, integers `[inputs]`.

    Returns:
      The share of inputs whose largest output is at their label, `[transforms]`.

    Raises:
      TypeError: If the labels are not integers.
      ValueError: If the labels are not one per input or not in [0, classes), or the outputs have another rank.
    """
    values = array("outputs", outputs)
    if values.ndim != 3 or not values.size:
        raise ValueError(f"outputs of shape {values.shape} must be [transforms, inputs, classes], one at least.")
    right = _checked_labels(labels, values.shape[1])
    wrong = right[(right < 0) | (right >= values.shape[2])]
    if wrong.size:
        raise ValueError(f"labels: {wrong[0]} must be in [0, {values.shape[2]}), the classes of the outputs.")
    return (values.argmax(axis=2) == right).mean(axis=1)


def measure_stability(
    model: Model,
    inputs: npt.ArrayLike,
    action: Moving,
    labels: npt.ArrayLike | None = None,
    *,
    cyclic: bool = False,
    batch_size: int = BATCH,
    dtype: tf.DType = tf.float32,
) -> Stability:
    """Measures variance, difference and optionally accuracy over a sweep, in one pass that does not store the outputs.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> measure_stability(lambda x: x[:, :1], [[1.0, 2.0, 6.0]], cyclic_group(3), cyclic=True).difference.round(3)
    array([3.333])

    Args:
      model: As in `outputs_over`.
      inputs: As in `outputs_over`.
      action: As in `outputs_over`, its elements in the order of the sweep.
      labels: The true class of each input, integers `[inputs]`; None for no accuracy.
      cyclic: As in `transformation_difference`.
      batch_size: As in `outputs_over`.
      dtype: As in `outputs_over`.

    Raises:
      TypeError: As in `outputs_over`, or if the labels are not integers.
      ValueError: As in `outputs_over`, `transformation_difference` and `accuracy_over`.
    """
    right = None if labels is None else _checked_labels(labels, len(np.asarray(inputs)))
    variance, difference, hits, seen = [], [], [], 0
    moves = moves_of("action", action)
    for piece in _pieces(model, inputs, moves, batch_size, dtype, lambda run, batch, moved: moved):
        outputs = piece.numpy()
        variance.append(transformation_variance(outputs))
        difference.append(transformation_difference(outputs, cyclic))
        if right is not None:
            count = outputs.shape[1]
            hits.append(count * accuracy_over(outputs, right[seen : seen + count]))
            seen += count
    accuracy = None if right is None else np.sum(hits, axis=0) / seen
    return Stability(np.concatenate(variance), np.concatenate(difference), accuracy)


def invariance_error(
    model: Model, inputs: npt.ArrayLike, action: Moving, *, batch_size: int = BATCH, dtype: tf.DType = tf.float32
) -> Deviation:
    """Measures the invariance error of a model, |F(g x) - F(x)|.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> invariance_error(lambda x: x[:, :1], [[1.0, 2.0, 4.0]], cyclic_group(3))
    <Deviation 0.75 of the largest output, 3, for element 1 of 3: [1, 2, 0]>

    Args:
      model: As in `outputs_over`.
      inputs: As in `outputs_over`.
      action: As in `outputs_over`.
      batch_size: As in `outputs_over`.
      dtype: As in `outputs_over`. In float64 rounding errors are near 1e-15; a larger error is the model's own.

    Raises:
      TypeError: As in `outputs_over`.
      ValueError: As in `outputs_over`.
    """
    return _deviation(model, inputs, moves_of("action", action), lambda outputs: outputs[None], batch_size, dtype)


def equivariance_error(
    model: Model,
    inputs: npt.ArrayLike,
    action_in: Moving,
    action_out: Moving | None = None,
    *,
    batch_size: int = BATCH,
    dtype: tf.DType = tf.float32,
) -> Deviation:
    """Measures the equivariance error of a model, |F(g x) - g F(x)|.

    >>> from weirdonetworks.algebra import cyclic_group, items, trivial
    >>> equivariance_error(lambda x: x * x, [[1.0, 2.0, 4.0]], cyclic_group(3)).overall_absolute
    0.0
    >>> means = lambda x: tf.reduce_mean(x, axis=1)
    >>> equivariance_error(means, [[[1.0, 10.0], [2.0, 20.0]]], items(2), trivial(2)).overall_absolute
    0.0

    Args:
      model: As in `outputs_over`.
      inputs: As in `outputs_over`.
      action_in: The action on the inputs, as in `outputs_over`.
      action_out: The action of the same elements on the outputs; None for `action_in`. Actions of two groups are paired
        generator by generator, as in `algebra.paired`; two lists of transformations element by element.
      batch_size: As in `outputs_over`.
      dtype: As in `invariance_error`.

    Raises:
      TypeError: As in `outputs_over` and `algebra.paired`.
      ValueError: As in `outputs_over` and `algebra.paired`, or if two paired lists differ in length.
    """
    moves, others = paired_moves(action_in, action_out)
    return _deviation(model, inputs, moves, others, batch_size, dtype)


def _deviation(
    model: Model,
    inputs: npt.ArrayLike,
    moves: ListedElements,
    act: Callable[[tf.Tensor], tf.Tensor],
    batch_size: int,
    dtype: tf.DType,
) -> Deviation:
    """Compares F(g x) with `act(F(x))`, `[elements or 1, inputs, ...]`."""

    def compare(run: Model, batch: tf.Tensor, moved: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        expected = act(run(batch))
        axes = list(range(2, moved.shape.rank))
        error, *sizes = [tf.reduce_max(tf.abs(each), axes) for each in (moved - expected, moved, expected)]
        return error, tf.maximum(*(tf.reduce_max(each, axis=0) for each in sizes))

    absolute, sizes, by_element = [], [], np.zeros(len(moves))
    for error, size in _pieces(model, inputs, moves, batch_size, dtype, compare):
        absolute.append(error.numpy().max(axis=0).astype(np.float64))
        sizes.append(size.numpy().astype(np.float64))
        by_element = np.maximum(by_element, error.numpy().max(axis=1))
    return Deviation(np.concatenate(absolute), np.concatenate(sizes), by_element, moves.elements, moves.action.is_group)


def _pieces(
    model: Model,
    inputs: npt.ArrayLike,
    moves: ListedElements,
    batch_size: int,
    dtype: tf.DType,
    compute: Callable[[Model, tf.Tensor, tf.Tensor], Any],
) -> Iterator[Any]:
    """Yields `compute(model, inputs, outputs under all elements)` for one chunk of inputs after the other."""
    values = checked_inputs(inputs)
    run = ready(model, values[:1], dtype)

    @tf.function(input_signature=[tf.TensorSpec([None, *values.shape[1:]], dtype)], autograph=False)
    def step(batch: tf.Tensor) -> Any:
        moved = run(tf.reshape(moves(batch), [-1, *values.shape[1:]]))
        outputs = tf.reshape(moved, [len(moves), -1, *moved.shape[1:]])
        return compute(run, batch, outputs)

    # A concrete function, since TensorFlow counts the retracings of a `tf.function` and warns of many.
    traced = step.get_concrete_function()
    length = max(at_least("batch_size", batch_size, 1) // len(moves), 1)
    return in_pieces(traced, values, length, dtype, doing="transforming")


def _flat(outputs: npt.ArrayLike, transforms: int) -> Floats:
    """Flattens outputs to `[transforms, inputs, entries]` in float64."""
    values = array("outputs", outputs)
    if values.ndim < 2 or len(values) < transforms:
        raise ValueError(
            f"outputs of shape {values.shape} must be [transforms, inputs, ...], transforms >= {transforms}."
        )
    return values.reshape(*values.shape[:2], -1).astype(np.float64)


def _checked_labels(labels: npt.ArrayLike, inputs: int) -> npt.NDArray[np.integer]:
    values = array("labels", labels)
    if values.dtype.kind not in "iu":
        raise TypeError(f"labels (={shown(values)}) must be integers.")
    if values.shape != (inputs,):
        raise ValueError(f"labels of shape {values.shape} must be of shape ({inputs},), one for each input.")
    return values


def _distribution(name: str, values: Floats) -> dict[str, float]:
    low, median, high = np.quantile(values, (0.05, 0.5, 0.95))
    figures = {"mean": values.mean(), "min": values.min(), "quantile_05": low, "median": median}
    figures |= {"quantile_95": high, "max": values.max()}
    return {f"{name}/{key}": float(value) for key, value in figures.items()}
