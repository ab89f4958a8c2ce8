"""How much the outputs of a network change while its inputs are transformed, and how far it is from a symmetry.

A model is any function of a batch `[inputs, ...]` to outputs `[inputs, ...]` that treats its inputs one by one: a
Sonnet module, a Keras model, a function. Its outputs are taken as they are, and logits grow with the confidence of a
network while probabilities do not: to compare classifiers, measure `lambda images: tf.nn.softmax(model(images))`.

A sweep of transformations is a group, a list of image transformations or an `Orbit`. Everything is computed by one
compiled function, some inputs under all transformations at a time.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from weirdonetworks.algebra.arrays import at_least, shown
from weirdonetworks.algebra.groups import PermutationGroup
from weirdonetworks.algebra.matrix_groups import MatrixGroup
from weirdonetworks.measure.models import Model, ready
from weirdonetworks.nets.orbits import Orbit, Transforms

Sweep: TypeAlias = Transforms | Orbit
Floats: TypeAlias = npt.NDArray[np.float64]

BATCH = 4096  # Transformed inputs at a time: 13 MB of images 28 x 28.


@dataclasses.dataclass(frozen=True, eq=False)
class Stability:
    """How stable a model is over a sweep of transformations.

    Attributes:
      variance: The `transformation_variance` of each input, `[inputs]`.
      difference: The `transformation_difference` of each input, `[inputs]`.
      accuracy: The share of inputs classified rightly under each transformation, `[transforms]`; None without labels.
    """

    variance: Floats
    difference: Floats
    accuracy: Floats | None = None

    def summary(self) -> dict[str, float]:
        """Gives mean, median, extremes and quantiles of each figure, keyed `transformation_variance/mean`, ...

        Those of variance and difference are over the inputs, those of `accuracy` over the transformations.
        """
        figures = _distribution("transformation_variance", self.variance)
        figures |= _distribution("transformation_difference", self.difference)
        return figures if self.accuracy is None else figures | _distribution("accuracy", self.accuracy)


@dataclasses.dataclass(frozen=True, eq=False)
class Deviation:
    """How far a model is from a law that equates two of its outputs for each input and each element of a group.

    Attributes:
      absolute: The largest difference of the two, over elements and entries, for each input, `[inputs]`.
      size: The largest magnitude of either, for each input, `[inputs]`.
    """

    absolute: Floats
    size: Floats

    @property
    def relative(self) -> Floats:
        """The difference over the size, for each input, in [0, 2]; 0 where all outputs are 0."""
        return np.divide(self.absolute, self.size, out=np.zeros_like(self.size), where=self.size != 0)

    @property
    def overall_absolute(self) -> float:
        """The largest difference."""
        return float(self.absolute.max())

    @property
    def overall_relative(self) -> float:
        """The largest difference over the largest size, so that no small output of one input counts for much."""
        return self.overall_absolute / size if (size := float(self.size.max())) else 0.0

    def summary(self) -> dict[str, float]:
        """Gives the overall figures, and mean, median, extremes and quantiles of those of the inputs."""
        return {
            "absolute/overall": self.overall_absolute,
            "relative/overall": self.overall_relative,
            **_distribution("absolute", self.absolute),
            **_distribution("relative", self.relative),
        }


def outputs_over(
    model: Model, inputs: npt.ArrayLike, transforms: Sweep, *, batch_size: int = BATCH, dtype: tf.DType = tf.float32
) -> npt.NDArray[Any]:
    """Computes the outputs for each input under each transformation.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> outputs_over(lambda x: x[:, :1], [[1.0, 2.0, 3.0]], cyclic_group(3)).ravel().tolist()
    [1.0, 3.0, 2.0]

    Args:
      model: See the top of this module.
      inputs: Inputs as the model takes them, `[inputs, ...]`, at least one.
      transforms: A group; image transformations; or an `Orbit`, with options of one's own. A group of more than 1024
        elements is represented by 64 random ones.
      batch_size: About how many transformed inputs there may be at a time: all images of one input at the least.
      dtype: The type to compute in. A Sonnet module of another type is copied into it; anything else must
        compute in it.

    Returns:
      The outputs, `[transforms, inputs, ...]`, in that type.

    Raises:
      TypeError: If the transforms are none, or the model cannot be copied.
      ValueError: If there is no input, the transforms do not fit it, or the model does not compute in the type or does
        not give an output for each input.
    """
    pieces = _pieces(model, inputs, transforms, batch_size, dtype, lambda run, batch, moved: moved)
    return np.concatenate(list(pieces), axis=1)


def transformation_variance(outputs: npt.ArrayLike) -> Floats:
    """Computes the variance of the outputs over the transformations:

        v[x] = mean over entries k of (mean over g of (f(g x)[k] - mean over h of f(h x)[k])^2)

    >>> transformation_variance([[[1.0, 5.0]], [[3.0, 5.0]]]).tolist()
    [0.5]

    Args:
      outputs: Outputs, `[transforms, inputs, ...]`, as `outputs_over` gives them.

    Returns:
      The variance for each input, `[inputs]`.

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
      outputs: Outputs, `[transforms, inputs, ...]`, as `outputs_over` gives them, in the order of the sweep.
      cyclic: Whether the last transformation and the first are neighbours too, as in a full turn.

    Returns:
      The mean change for each input, `[inputs]`.

    Raises:
      ValueError: If there are fewer than two transformations, or the outputs have fewer than two axes.
    """
    flat = _flat(outputs, 2)
    steps = np.diff(flat, axis=0, append=flat[:1]) if cyclic else np.diff(flat, axis=0)
    return np.abs(steps).mean(axis=(0, 2))


def accuracy_over(outputs: npt.ArrayLike, labels: npt.ArrayLike) -> Floats:
    """Computes the accuracy of a classifier under each transformation.

    >>> accuracy_over([[[0.1, 0.9], [0.2, 0.8]], [[0.7, 0.3], [0.4, 0.6]]], [1, 1]).tolist()
    [1.0, 0.5]

    Args:
      outputs: Logits or probabilities, `[transforms, inputs, classes]`.
      labels: The right class of each input, integers `[inputs]`.

    Returns:
      The share of inputs whose largest output is that of their label, `[transforms]`.

    Raises:
      TypeError: If the labels are no integers.
      ValueError: If they are not as many as the inputs, name a class that there is not, or the outputs have other axes.
    """
    values = np.asarray(outputs)
    if values.ndim != 3:
        raise ValueError(f"outputs of shape {values.shape} must be [transforms, inputs, classes].")
    right = _checked_labels(labels, values.shape[1])
    wrong = right[(right < 0) | (right >= values.shape[2])]
    if wrong.size:
        raise ValueError(f"labels: {wrong[0]} must be in [0, {values.shape[2]}), the classes of the outputs.")
    return (values.argmax(axis=2) == right).mean(axis=1)


def measure_stability(
    model: Model,
    inputs: npt.ArrayLike,
    transforms: Sweep,
    labels: npt.ArrayLike | None = None,
    *,
    cyclic: bool = False,
    batch_size: int = BATCH,
    dtype: tf.DType = tf.float32,
) -> Stability:
    """Measures variance, difference and, of a classifier, accuracy over a sweep, in one pass that keeps no outputs.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> measure_stability(lambda x: x[:, :1], [[1.0, 2.0, 6.0]], cyclic_group(3), cyclic=True).difference.round(3)
    array([3.333])

    Args:
      model: As in `outputs_over`.
      inputs: As in `outputs_over`.
      transforms: As in `outputs_over`, neighbours one after the other.
      labels: The right class of each input, integers `[inputs]`, for the accuracy.
      cyclic: As in `transformation_difference`.
      batch_size: As in `outputs_over`.
      dtype: As in `outputs_over`.

    Raises:
      TypeError: As in `outputs_over`, or if the labels are no integers.
      ValueError: As in `outputs_over`, `transformation_difference` and `accuracy_over`.
    """
    right = None if labels is None else _checked_labels(labels, len(np.asarray(inputs)))
    variance, difference, hits, seen = [], [], [], 0
    for outputs in _pieces(model, inputs, transforms, batch_size, dtype, lambda run, batch, moved: moved):
        variance.append(transformation_variance(outputs))
        difference.append(transformation_difference(outputs, cyclic))
        if right is not None:
            count = outputs.shape[1]
            hits.append(count * accuracy_over(outputs, right[seen : seen + count]))
            seen += count
    accuracy = None if right is None else np.sum(hits, axis=0) / seen
    return Stability(np.concatenate(variance), np.concatenate(difference), accuracy)


def invariance_error(
    model: Model, inputs: npt.ArrayLike, group: Sweep, *, batch_size: int = BATCH, dtype: tf.DType = tf.float32
) -> Deviation:
    """Measures how far a model is from invariance, F(g x) = F(x).

    >>> from weirdonetworks.algebra import cyclic_group
    >>> invariance_error(lambda x: x[:, :1], [[1.0, 2.0, 4.0]], cyclic_group(3)).overall_absolute
    3.0

    Args:
      model: As in `outputs_over`.
      inputs: As in `outputs_over`.
      group: As the transforms of `outputs_over`.
      batch_size: As in `outputs_over`.
      dtype: As in `outputs_over`. In float64 rounding makes errors near 1e-15, so that a larger one is the model's own.

    Raises:
      TypeError: As in `outputs_over`.
      ValueError: As in `outputs_over`.
    """
    return _deviation(model, inputs, _orbit(group), lambda outputs: outputs[None], batch_size, dtype)


def equivariance_error(
    model: Model,
    inputs: npt.ArrayLike,
    group: Sweep,
    output_group: Sweep | None = None,
    *,
    batch_size: int = BATCH,
    dtype: tf.DType = tf.float32,
) -> Deviation:
    """Measures how far a model is from equivariance, F(g x) = g F(x).

    >>> from weirdonetworks.algebra import cyclic_group
    >>> equivariance_error(lambda x: x * x, [[1.0, 2.0, 4.0]], cyclic_group(3)).overall_absolute
    0.0

    Args:
      model: As in `outputs_over`.
      inputs: As in `outputs_over`.
      group: As the transforms of `outputs_over`.
      output_group: How the same elements, in the same order, act on the outputs; None if as on the inputs.
      batch_size: As in `outputs_over`.
      dtype: As in `invariance_error`.

    Raises:
      TypeError: As in `outputs_over`.
      ValueError: As in `outputs_over`; or if the output group has another number of elements, does not act on outputs
        of that size, or either group is too large to list, so that their random elements would not match.
    """
    orbit = _orbit(group)
    acting = orbit if output_group is None else _orbit(output_group)
    if len(acting) != len(orbit):
        raise ValueError(f"output_group has {len(acting)} elements and must have as many as group (={len(orbit)}).")
    for name, given, used in (("group", group, orbit), ("output_group", output_group, acting)):
        if output_group is not None and isinstance(given, PermutationGroup | MatrixGroup) and not used.is_exact:
            raise ValueError(
                f"{name} (={given!r}) has too many elements to list, so its random ones would not be the other's. "
                "Pass a subgroup, or Orbit(group, limit=...) for both."
            )
    return _deviation(model, inputs, orbit, acting, batch_size, dtype)


def _deviation(
    model: Model,
    inputs: npt.ArrayLike,
    orbit: Orbit,
    act: Callable[[tf.Tensor], tf.Tensor],
    batch_size: int,
    dtype: tf.DType,
) -> Deviation:
    """Measures how far F(g x) is from what `act` makes of F(x), `[elements or 1, inputs, ...]`."""

    def compare(run: Model, batch: tf.Tensor, moved: tf.Tensor) -> tf.Tensor:
        expected = act(run(batch))
        axes = [0, *range(2, moved.shape.rank)]
        sizes = [tf.reduce_max(tf.abs(each), axes) for each in (moved - expected, moved, expected)]
        return tf.stack([sizes[0], tf.maximum(sizes[1], sizes[2])])

    absolute, size = np.concatenate(list(_pieces(model, inputs, orbit, batch_size, dtype, compare)), axis=1)
    return Deviation(absolute.astype(np.float64), size.astype(np.float64))


def _pieces(
    model: Model,
    inputs: npt.ArrayLike,
    transforms: Sweep,
    batch_size: int,
    dtype: tf.DType,
    compute: Callable[[Model, tf.Tensor, tf.Tensor], tf.Tensor],
) -> Iterator[npt.NDArray[Any]]:
    """Yields, some inputs at a time, what `compute` makes of model, inputs and their outputs under all transforms."""
    values, orbit = np.asarray(inputs), _orbit(transforms)
    if values.ndim < 2 or not len(values):
        raise ValueError(f"inputs of shape {values.shape} must be [inputs, ...], at least one.")
    run = ready(model, values[:1], dtype)

    @tf.function(input_signature=[tf.TensorSpec([None, *values.shape[1:]], dtype)], autograph=False)
    def step(batch: tf.Tensor) -> tf.Tensor:
        moved = run(tf.reshape(orbit(batch), [-1, *values.shape[1:]]))
        outputs = tf.reshape(moved, [len(orbit), -1, *moved.shape[1:]])
        return compute(run, batch, outputs)

    # Called as it is, it is not counted among the retracings of one function that TensorFlow warns of.
    traced = step.get_concrete_function()
    length = max(at_least("batch_size", batch_size, 1) // len(orbit), 1)
    for start in tqdm(range(0, len(values), length), desc="transforming", unit="piece", leave=False, disable=None):
        # Cast out here: within, TensorFlow transposes bytes before it casts them, and its kernel prints an error.
        yield traced(tf.cast(values[start : start + length], dtype)).numpy()


def _orbit(transforms: Sweep) -> Orbit:
    if isinstance(transforms, Orbit | PermutationGroup | MatrixGroup):
        return transforms if isinstance(transforms, Orbit) else Orbit(transforms)
    # Each of a list was asked for, so none is left to a sample.
    listed = list(transforms) if np.iterable(transforms) else [transforms]
    return Orbit(listed, limit=max(len(listed), 1))


def _flat(outputs: npt.ArrayLike, transforms: int) -> Floats:
    """Reads outputs as `[transforms, inputs, entries]` in float64."""
    values = np.asarray(outputs)
    if values.ndim < 2 or len(values) < transforms:
        raise ValueError(
            f"outputs of shape {values.shape} must be [transforms, inputs, ...], transforms >= {transforms}."
        )
    return values.reshape(*values.shape[:2], -1).astype(np.float64)


def _checked_labels(labels: npt.ArrayLike, inputs: int) -> npt.NDArray[np.integer]:
    values = np.asarray(labels)
    if values.dtype.kind not in "iu":
        raise TypeError(f"labels (={shown(values)}) must be integers.")
    if values.shape != (inputs,):
        raise ValueError(f"labels of shape {values.shape} must be of shape ({inputs},), one for each input.")
    return values


def _distribution(name: str, values: Floats) -> dict[str, float]:
    low, median, high = np.quantile(values, (0.05, 0.5, 0.95))
    figures = {
        "mean": values.mean(),
        "min": values.min(),
        "quantile_05": low,
        "median": median,
        "quantile_95": high,
        "max": values.max(),
    }
    return {f"{name}/{key}": float(value) for key, value in figures.items()}
