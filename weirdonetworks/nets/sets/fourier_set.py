"""Fourier encoding of sets of vectors: the spectrum of a sum of point masses, and its inversion."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import Ints, at_least, finite, written
from weirdonetworks.nets import inputs, pooling
from weirdonetworks.nets.base_module import Initializer
from weirdonetworks.nets.inputs import checked_choice, masked
from weirdonetworks.nets.sets.set_decoding import recover
from weirdonetworks.nets.sets.set_network import SetNetwork, checked_per_item, on_items

FREQUENCIES = ("learned", "random", "grid")
KINDS = ("wave", "wavelet")
WIDTH = 5.0  # Radians of a wavelet per standard deviation of its envelope; its mean, exp(-WIDTH^2 / 2), is about 0.
ENTRIES = 2**24  # The most entries of the table of cells from which the frequencies of a grid are selected.


@snt.allow_empty_variables
class FourierSetEncoder(SetNetwork):
    """An encoder of a set of vectors as its Fourier spectrum, of fixed size for any number of vectors.

        F(w) = sum_j t_j exp(i w.x_j),    x of shape [batch, items, input_size], F [batch, 2 num_frequencies]

    for each frequency w, real parts first, then imaginary parts. The truth value t_j is the membership of x_j in the
    set: 1, a probability, or any number in [-1, 1], where -1 cancels 1. The encoding is invariant under permutations
    of the vectors; the spectrum of the union of two multisets is the sum of their spectra; that of a set translated by
    c is exp(i w.c) F(w). With wavelets, each wave is localised at a centre c,

        F(w, c) = sum_j t_j exp(i w.(x_j - c) - |w|^2 |x_j - c|^2 / (2 q^2)),    q = 5 radians

    so that an output depends on the vectors near it only (Grossmann & Morlet 1984).

    - `learned` and `random` frequencies and centres: normal with standard deviations `scale` and 1 / `scale`; the
      learned ones are trained.
    - `grid`: `scale` times the shortest integer vectors, one of each pair w, -w; 0 comes first, so the first output is
      the sum of the truth values. Wavelets: the constant 1, then octave by octave, in frequency
      `scale` 2^l along each axis, in each of the 2^l intervals an axis of the box of side 2 pi / `scale` is cut into.

    >>> encoder = FourierSetEncoder(8, input_size=1, frequencies="grid")
    >>> spectrum = encoder(tf.constant([[[0.5], [-2.0]]]))
    >>> vectors, truth = encoder.decode(spectrum, num_items=2, bounds=(-3, 3))
    >>> vectors[0].round(3).tolist(), truth[0].round(3).tolist()
    ([[-2.0], [0.5]], [1.0, 1.0])

    Random frequencies: Rahimi & Recht, Random features for large-scale kernel machines, 2007: the scalar product of two
    spectra of `random` waves, divided by num_frequencies, estimates a sum of Gaussian kernels over pairs.
    """

    def __init__(
        self,
        num_frequencies: int,
        input_size: int,
        frequencies: str = "learned",
        kind: str = "wave",
        scale: float = 1.0,
        w_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the encoder.

        Args:
          num_frequencies: The number of frequencies.
          input_size: The number of features of a vector.
          frequencies: `learned`, `random` or `grid`.
          kind: `wave` or `wavelet`.
          scale: The scale of the frequencies, positive.
          w_init: Draws the learned frequencies, then the centres, `[num_frequencies, input_size]`.
        """
        super().__init__(name=name)
        if not finite("scale", scale) > 0:
            raise ValueError(f"scale (={scale}) must be positive.")
        self.num_frequencies = at_least("num_frequencies", num_frequencies, 1, inputs.WIDTH)
        self.input_size = at_least("input_size", input_size, 1, inputs.WIDTH)
        self.sampled = checked_choice("frequencies", frequencies, FREQUENCIES)
        self.kind = checked_choice("kind", kind, KINDS)
        self.scale = scale
        self.w_init = w_init
        if w_init is not None and frequencies != "learned":
            raise ValueError(f"w_init must be None with frequencies (={frequencies!r}), which are not learned.")
        if frequencies == "grid":
            shape = self.num_frequencies, self.input_size
            self._grid = np.stack([half_lattice(*shape)] if kind == "wave" else octaves(*shape))

    @snt.once
    def _initialize(self, inputs: tf.Tensor) -> None:
        shape, dtype = (self.num_frequencies, self.input_size), inputs.dtype
        if self.sampled == "grid":
            units = [tf.constant(each, dtype) for each in self._grid]
        else:
            units = [tf.random.normal(shape, dtype=dtype) for _ in range(2)]
        trained = self.sampled == "learned"
        drawn = self.w_init(shape, dtype) if self.w_init else self.scale * units[0]
        self.frequencies = tf.Variable(drawn, trainable=trained, name="frequencies")
        if self.kind == "wavelet":
            drawn = self.w_init(shape, dtype) if self.w_init else units[1] / self.scale
            self.centres = tf.Variable(drawn, trainable=trained, name="centres")

    def __call__(self, inputs: tf.Tensor, mask: Any = None, truth: Any = None) -> tf.Tensor:
        """Maps `[batch, items, input_size]` to `[batch, 2 num_frequencies]`.

        Args:
          inputs: The sets.
          mask: Which items are present, boolean, `[batch, items]`; None for all. Absent items have truth value 0.
          truth: The truth values, `[batch, items]`, in [-1, 1]; None for 1. Others that show only as a graph runs are
            an `InvalidArgumentError`; XLA, which has no assertions, goes on.
        """
        values, present = self._checked(inputs, mask)
        weights = masked(_truth(values, truth), present)
        waves = self._wavelets(values) if self.kind == "wavelet" else self._waves(values)
        return tf.concat([pooling.sum_(weights * wave) for wave in waves], axis=1)

    def _waves(self, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        phases = on_items(lambda each: tf.matmul(each, self.frequencies, transpose_b=True), items)
        return tf.cos(phases), tf.sin(phases)

    def _wavelets(self, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        apart = items[:, :, None, :] - self.centres
        phases = tf.reduce_sum(apart * self.frequencies, axis=-1)
        squares = tf.reduce_sum(apart**2, axis=-1) * tf.reduce_sum(self.frequencies**2, axis=-1)
        envelopes = tf.exp(squares / (-2 * WIDTH**2))
        return envelopes * tf.cos(phases), envelopes * tf.sin(phases)

    def decode(
        self, spectrum: npt.ArrayLike, num_items: int, bounds: npt.ArrayLike, tolerance: float = 1e-3
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Recovers small sets from their spectra, in NumPy.

        The result has, to first order, an error below `tolerance` in each vector and truth value, and truth values in
        [-1, 1] up to it; otherwise a `ValueError` is raised. Uniqueness is not guaranteed: with noise, vectors closer
        than the width of a peak can be replaced by others that fit the spectrum as well. The search time is
        proportional to the volume of the box in wavelengths, so at most three dimensions are supported. The frequencies
        must vary in direction and length, and the vectors must be separated: on a grid in one dimension by 2 pi /
        (`scale` `num_frequencies`), the width of a peak, for truth values of size 1.

        Args:
          spectrum: The encoder's outputs, `[batch, 2 num_frequencies]`.
          num_items: The number of vectors in each set.
          bounds: The lowest and the highest coordinate of the vectors, `[2]`, or of each axis, `[2, input_size]`. On a
            grid at most 2 pi / `scale` apart, the period of the waves.
          tolerance: The largest error.

        Returns:
          The vectors, `[batch, num_items, input_size]`, each set in lexicographic order, and the truth values
          `[batch, num_items]`.

        Raises:
          ValueError: If the encoder has not been called, uses wavelets or more than three dimensions, there are more
            unknowns than numbers in the spectrum, the box is too many wavelengths wide, or the search does not reach
            the tolerance.
        """
        if not hasattr(self, "frequencies"):
            raise ValueError("The encoder must be called once before it has frequencies.")
        if self.kind != "wave" or self.input_size > 3:
            raise ValueError("decode is for waves (kind='wave') in at most three dimensions.")
        table = np.asarray(spectrum)
        if table.ndim != 2 or table.shape[1] != 2 * self.num_frequencies or not np.isfinite(table).all():
            raise ValueError(
                f"spectrum of shape {table.shape} must be [batch, {2 * self.num_frequencies}], all finite."
            )
        num_items = at_least("num_items", num_items, 1)
        frequencies = self.frequencies.numpy().astype(np.float64)
        unknown, given = num_items * (self.input_size + 1), 2 * len(frequencies) - (~frequencies.any(axis=1)).sum()
        if unknown > given:
            raise ValueError(
                f"num_items (={num_items}) must be at most {given // (self.input_size + 1)}: "
                f"{self.num_frequencies} frequencies give {given} numbers, a vector and its truth value take "
                f"{self.input_size + 1}."
            )
        low, high = self._box(bounds)
        real, imaginary = np.split(table, 2, axis=1)
        vectors, truth = [], []
        for index, row in enumerate(real + 1j * imaginary):
            places, values, error = recover(row, frequencies, num_items, low, high)
            if self.sampled == "grid":
                places -= self._period * np.round((places - (low + high) / 2) / self._period)
            outside = np.any((places < low - error) | (places > high + error))
            # Two vectors too close to resolve are found as one with a truth value of 2, which is out of range.
            merged = np.any(np.abs(values) > 1 + tolerance)
            if not error <= tolerance or outside or merged:
                raise ValueError(
                    f"spectrum {index} gives no set of {num_items} within the bounds to tolerance (={tolerance:g}); "
                    f"the best found has an error of about {error:.1g}. More frequencies tell closer vectors apart."
                )
            order = np.lexsort(places.T[::-1])
            vectors.append(places[order])
            truth.append(values[order])
        return np.reshape(vectors, [-1, num_items, self.input_size]), np.reshape(truth, [-1, num_items])

    @property
    def _period(self) -> float:
        """The period of the waves of a grid along each axis."""
        return 2 * math.pi / self.scale

    def _box(self, bounds: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Returns the lowest and the highest corner of the box, `[2, input_size]`."""
        box = np.asarray(bounds, np.float64)
        if box.shape not in ((2,), (2, self.input_size)):
            raise ValueError(f"bounds of shape {box.shape} must be [2] or [2, {self.input_size}].")
        low, high = box = np.broadcast_to(box.reshape(2, -1), [2, self.input_size])
        if not (np.isfinite(box).all() and np.all(low < high)):
            raise ValueError(f"bounds (={bounds!r}) must be the lowest coordinates, then the highest, finite.")
        if self.sampled == "grid" and np.any(high - low > self._period):
            raise ValueError(f"bounds (={bounds!r}) must be at most 2 pi / scale apart, where the waves repeat.")
        return box


def half_lattice(number: int, dimension: int) -> Ints:
    """Lists the shortest integer vectors, of each pair v, -v the one whose first nonzero entry is positive.

    >>> half_lattice(4, 2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, -1]]

    Returns:
      The vectors, `[number, dimension]`, by length, then lexicographically.
    """
    radius = 0
    while True:
        # The cube of this radius holds all vectors of this length and less.
        cube = _cells(2 * radius + 1, number, dimension) - radius
        half = cube[len(cube) // 2 :]
        squares = (half**2).sum(axis=1)
        short = half[squares <= radius**2]
        if len(short) >= number:
            return short[np.argsort(squares[squares <= radius**2], kind="stable")][:number]
        radius += 1


def octaves(number: int, dimension: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lists frequencies and centres of wavelets: the frequency 0, then 2^l along each axis in cells of side 2 pi / 2^l.

    >>> octaves(4, 1)[0].ravel().tolist(), (octaves(4, 1)[1].ravel() / np.pi).tolist()
    ([0.0, 1.0, 2.0, 2.0], [0.0, 0.0, -0.5, 0.5])

    Returns:
      The frequencies and the centres, each `[number, dimension]`.
    """
    frequencies, centres, level = [np.zeros((1, dimension))], [np.zeros((1, dimension))], 0
    while sum(map(len, centres)) < number:
        cells = _cells(2**level, number, dimension)
        places = (2 * cells + 1 - 2**level) * (np.pi / 2**level)
        centres.append(np.repeat(places, dimension, axis=0))
        frequencies.append(np.tile(2.0**level * np.eye(dimension), (len(cells), 1)))
        level += 1
    return np.concatenate(frequencies)[:number], np.concatenate(centres)[:number]


def _cells(side: int, number: int, dimension: int) -> Ints:
    """Lists the integer vectors of entries from 0 to side - 1, lexicographically, if they are not too many."""
    cells = side**dimension
    if cells * dimension > ENTRIES:
        raise ValueError(
            f"num_frequencies (={number}) of a grid in input_size (={dimension}) dimensions take {written(cells)} "
            "cells, too many to list: use frequencies='random', or fewer of them."
        )
    return np.arange(cells)[:, None] // side ** np.arange(dimension)[::-1] % side


def _truth(items: tf.Tensor, truth: Any) -> tf.Tensor:
    """Returns the checked truth values, `[batch, items, 1]`."""
    if truth is None:
        return tf.ones_like(items[:, :, :1])
    values = checked_per_item("truth", tf.convert_to_tensor(truth), items)
    known, rule = tf.get_static_value(values), "truth must hold values in [-1, 1] only."
    if known is None:
        tf.debugging.Assert(tf.reduce_all(tf.abs(values) <= 1), [rule])
    elif not np.all(np.abs(known) <= 1):
        raise ValueError(rule)
    return values
