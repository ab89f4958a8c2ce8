"""Products with matrices whose entries are shared along orbits: dense, by sums over inputs, or by Fourier transform.

Each is a map of `[batch, inputs, channels_in]` to `[batch, outputs, channels_out]`,

    y[k] = sum_i x[i] w[labels[k, i]],    w of shape [orbits, channels_in, channels_out],

where labels are the indices of the orbits on pairs of an output and an input, `[outputs, inputs]`, in order of first
occurrence. A map has

    method    its name;
    fan_in    the effective fan-in, `[orbits]`: draw the weights of orbit r with variance 1 / fan_in[r]. It is the
              number of orbits that contribute to an output times the number of its inputs in orbit r, so that outputs
              have variance 1, in equal shares of the orbits;
    cost      an estimate of the cost per output position and example, in multiplications.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.algebra.groups.orbits import Orbits
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.algebra.weights.weight_orbits import weight_orbits

METHODS = ("dense", "sum", "fourier")
AXES = 2  # The most axes of a torus: TensorFlow differentiates Fourier transforms of one and two.
# Costs in units of one multiplication of a matrix product, fitted to timings of outputs and gradients on one thread in
# graph mode, batches of 32 and 256. benchmarks/shared_layers.py compares the methods.
GATHERED = 30  # Gathering an input by index and adding it.
TRANSFORMED = 250  # The Fourier transform of a number, and its share of the products of frequencies.


class DenseMap:
    """The product with the whole matrix, its entries gathered from the weights."""

    method = "dense"

    def __init__(self, orbits: Orbits, orbits_out: Orbits):
        """Precomputes indices from the orbits on pairs, labels `[outputs, inputs]`, and on outputs."""
        self.fan_in = _fan_in(orbits, orbits_out)
        self._by_input = np.ascontiguousarray(orbits.labels.T, np.int32)

    def cost(self, channels_in: int, channels_out: int) -> float:
        return len(self._by_input) * channels_in * channels_out

    def __call__(self, inputs: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        points, outputs = self._by_input.shape
        _, channels_in, channels_out = weights.shape
        spread = tf.gather(tf.reshape(weights, [-1, channels_in * channels_out]), self._by_input)
        by_channel = tf.reshape(spread, [points, outputs, channels_in, channels_out])
        matrix = tf.reshape(tf.transpose(by_channel, [0, 2, 1, 3]), [points * channels_in, outputs * channels_out])
        values = tf.matmul(tf.reshape(inputs, [-1, points * channels_in]), matrix)
        return tf.reshape(values, [-1, outputs, channels_out])


class SumMap:
    """Sums over the inputs of each orbit, then a small matrix product per orbit.

    Between an orbit of outputs and one of inputs the largest class of pairs is the complement of the others, so it
    costs one sum over all inputs of that orbit. For S_n only the class of equal pairs remains, of one input each:

        y[k] = w[1] sum_i x[i] + (w[0] - w[1]) x[k]
    """

    method = "sum"

    def __init__(self, orbits: Orbits, orbits_in: Orbits, orbits_out: Orbits):
        """Precomputes indices from the orbits on pairs, labels `[outputs, inputs]`, on inputs and on outputs."""
        self.fan_in = _fan_in(orbits, orbits_out)
        self._out_labels = orbits_out.labels.astype(np.int32)
        self._order = np.argsort(np.argsort(self._out_labels, kind="stable")).astype(np.int32)
        self._whole = np.array([orbits_in.labels == each for each in range(len(orbits_in))])
        # The largest class of each pair of orbits, `[output orbits, input orbits]`.
        self._largest = np.empty((len(orbits_out), len(orbits_in)), np.int32)
        # For each orbit of outputs, the other classes: their labels, largest classes and inputs `[outputs, inputs]`.
        self._others: list[list[tuple[int, int, npt.NDArray[np.int32]]]] = []
        for place, members in enumerate(orbits_out):
            rows = orbits.labels[members]
            others = []
            for column in range(len(orbits_in)):
                found, sizes = np.unique(rows[0, self._whole[column]], return_counts=True)
                self._largest[place, column] = largest = found[np.argmax(sizes)]
                for label in found[found != largest]:
                    inputs = np.nonzero(rows == label)[1].reshape(len(members), -1)
                    others.append((int(label), int(largest), inputs.astype(np.int32)))
            self._others.append(others)

    def cost(self, channels_in: int, channels_out: int) -> float:
        read = max(sum(inputs.shape[1] for _, _, inputs in others) for others in self._others)
        products = max(map(len, self._others))
        # Each input is summed over whole orbits, and the batch is transposed back and forth.
        return channels_in * products * channels_out + GATHERED * (channels_in * (read + 1) + channels_out)

    def __call__(self, inputs: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        points, channels_in = inputs.shape[1:]
        channels_out = weights.shape[2]
        # Transposed, an input over the whole batch is contiguous, so that gathers copy long rows.
        rows = tf.reshape(tf.transpose(inputs, [1, 0, 2]), [points, -1])
        parts = []
        for members, others in zip(np.bincount(self._out_labels), self._others, strict=True):
            part = tf.zeros([members, tf.shape(inputs)[0], channels_out], inputs.dtype)
            for label, largest, places in others:
                sums = tf.reduce_sum(tf.gather(rows, places), axis=1)
                by_input = tf.reshape(sums, [members, -1, channels_in])
                part += tf.matmul(by_input, weights[label] - weights[largest])
            parts.append(part)
        own = tf.gather(tf.concat(parts, axis=0), self._order)
        sums = tf.matmul(tf.constant(self._whole, inputs.dtype), inputs)
        largest = tf.gather(tf.reshape(weights, [-1, channels_in * channels_out]), self._largest)
        blocks = tf.reshape(largest, [*self._largest.shape, channels_in, channels_out])
        shared = tf.einsum("bic,jico->bjo", sums, blocks)
        return tf.transpose(own, [1, 0, 2]) + tf.gather(shared, self._out_labels, axis=1)


class FourierMap:
    """A cross-correlation on a torus by Fourier transforms: a product of small matrices per frequency.

    y[c] = sum_a x[a] w[a - c],    so Y[f] = X[f] conj(W[f])
    """

    method = "fourier"

    def __init__(self, points_in: Ints, points_out: Ints):
        """Sets the tori of inputs and outputs, as returned by `torus`, of the same lengths."""
        self._lengths = [length for length in points_in.shape[1:] if length > 1]
        self._points_in = points_in.astype(np.int32)
        self._places_out = np.argsort(points_out, axis=None).astype(np.int32)
        self._orbits_out = len(points_out)
        # The action is free, so each output reads one input in each orbit of pairs.
        self.fan_in = np.full(self._orbits_out * points_in.size, points_in.size)

    def cost(self, channels_in: int, channels_out: int) -> float:
        rows = channels_in * len(self._points_in)
        return 4 * rows * channels_out + TRANSFORMED * (rows / self._orbits_out + channels_out)

    def __call__(self, inputs: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        _, channels_in, channels_out = weights.shape
        rows = len(self._points_in) * channels_in
        by_orbit = tf.reshape(weights, [self._orbits_out, -1, channels_in, channels_out])
        x = tf.transpose(self._spectrum(tf.transpose(inputs, [0, 2, 1])), [3, 0, 1, 2])
        w = tf.transpose(self._spectrum(tf.transpose(by_orbit, [0, 2, 3, 1])), [4, 1, 3, 0, 2])
        frequencies = x.shape[0]
        x, w = tf.reshape(x, [frequencies, -1, rows]), tf.reshape(w, [frequencies, rows, -1])
        y = tf.reshape(tf.matmul(x, tf.math.conj(w)), [frequencies, -1, self._orbits_out, channels_out])
        values = self._signal(tf.transpose(y, [1, 3, 2, 0]))
        return tf.transpose(tf.gather(values, self._places_out, axis=2), [0, 2, 1])

    def _spectrum(self, values: tf.Tensor) -> tf.Tensor:
        """Transforms `[any, ..., points]` to `[any, ..., orbits, frequencies]`."""
        on_torus = tf.gather(values, self._points_in.reshape(len(self._points_in), *self._lengths), axis=-1)
        transform = tf.signal.rfft if len(self._lengths) == 1 else tf.signal.rfft2d
        spectrum = transform(on_torus)
        kept = spectrum.shape[1 : spectrum.shape.rank - len(self._lengths)]
        return tf.reshape(spectrum, [-1, *kept, math.prod(spectrum.shape[1 + len(kept) :])])

    def _signal(self, spectrum: tf.Tensor) -> tf.Tensor:
        """Transforms `[batch, channels, orbits, frequencies]` back to `[batch, channels, orbits * shifts]`."""
        _, channels, orbits, _ = spectrum.shape
        *most, last = self._lengths
        transform = tf.signal.irfft if not most else tf.signal.irfft2d
        on_torus = transform(tf.reshape(spectrum, [-1, channels, orbits, *most, last // 2 + 1]), self._lengths)
        return tf.reshape(on_torus, [-1, channels, orbits * math.prod(self._lengths)])


SharedMap: TypeAlias = DenseMap | SumMap | FourierMap


def shared_map(
    group_in: PermutationGroup, group_out: PermutationGroup, method: str, channels_in: int, channels_out: int
) -> SharedMap:
    """Makes the map of a method for matrices that commute with a group.

    Args:
      group_in, group_out: The groups that permute inputs and outputs, each generator of the second the image of that of
        the first under a homomorphism.
      method: One of `METHODS`, or `auto` for that of least `cost`.
      channels_in, channels_out: The channels of an input and of an output.

    Raises:
      ValueError: If the method is `fourier` and the groups are not tori, or there are too many weights.
    """
    if method in ("auto", "fourier"):
        fourier = _fourier_map(group_in, group_out)
        if fourier is None and method == "fourier":
            raise ValueError(
                f"method (='fourier') must have groups of cyclic shifts along one or two axes, each by a generator, "
                f"that act alike on inputs (={group_in!r}) and outputs (={group_out!r}). Use method='auto'."
            )
        dense_cost = group_in.degree * channels_in * channels_out
        if fourier is not None and (method == "fourier" or fourier.cost(channels_in, channels_out) < dense_cost):
            return fourier
    orbits = weight_orbits(group_in, group_out, 1, ordered=True, include_lower=False).orbits
    orbits_in, orbits_out = group_in.orbits(), group_out.orbits()
    dense = DenseMap(orbits, orbits_out)
    # Where most pairs of an output and an input have separate weights, sums save nothing and are very many.
    is_split = len(orbits) / len(orbits_out) - len(orbits_in) > group_in.degree / 2
    if method == "dense" or (method == "auto" and is_split):
        return dense
    sums = SumMap(orbits, orbits_in, orbits_out)
    if method == "auto" and dense.cost(channels_in, channels_out) <= sums.cost(channels_in, channels_out):
        return dense
    return sums


def _fourier_map(group_in: PermutationGroup, group_out: PermutationGroup) -> FourierMap | None:
    points_in, points_out = torus(group_in), torus(group_out)
    if points_in is None or points_out is None or points_in.shape[1:] != points_out.shape[1:]:
        return None
    is_supported = 1 <= sum(length > 1 for length in points_in.shape[1:]) <= AXES
    return FourierMap(points_in, points_out) if is_supported else None


def torus(group: PermutationGroup) -> Ints | None:
    """Tests whether a group is a torus: a free action of cyclic shifts along some axes, one per generator.

    >>> from weirdonetworks.algebra import cyclic_group, image_translations, symmetric_group
    >>> torus(image_translations(2, 2, 2)).tolist()
    [[[0, 2], [4, 6]], [[1, 3], [5, 7]]]
    >>> torus(symmetric_group(3)) is None
    True

    Args:
      group: Any permutation group.

    Returns:
      The points, `[orbits, length, ..., length]`, an axis per generator, which shifts along it; each orbit starts with
      its first point. None if the group is not a torus with these generators.
    """
    generators = group.generators
    if any(not np.array_equal(s[t], t[s]) for s in generators for t in generators):
        return None
    points = group.orbits().representatives
    for generator in generators:
        powers = [points]
        while not np.array_equal(image := generator[powers[-1]], points):
            powers.append(image)
            if len(powers) * points.size > group.degree:
                return None
        points = np.stack(powers, axis=-1)
    return points if np.array_equal(np.sort(points, axis=None), np.arange(group.degree)) else None


def _fan_in(orbits: Orbits, orbits_out: Orbits) -> Ints:
    fan_in = np.empty(len(orbits), np.intp)
    for first in orbits_out.representatives:
        labels, inputs = np.unique(orbits.labels[first], return_counts=True)
        fan_in[labels] = len(labels) * inputs
    return fan_in
