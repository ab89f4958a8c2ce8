"""Tests of the Fourier encoder of sets: equations, laws, and decoding."""

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.nets.sets.fourier_set import FourierSetEncoder, half_lattice, octaves

CHOICES = list(itertools.product(["learned", "random", "grid"], ["wave", "wavelet"]))
MASK = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0]], bool)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def spectrum(encoder: FourierSetEncoder, items: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Adds the waves of one set up, one by one."""
    total = np.zeros(encoder.num_frequencies, complex)
    for index, frequency in enumerate(encoder.frequencies.numpy()):
        for item, value in zip(items, truth, strict=True):
            if encoder.kind == "wave":
                total[index] += value * np.exp(1j * (frequency @ item))
            else:
                apart = item - encoder.centres.numpy()[index]
                size = (frequency @ frequency) * (apart @ apart) / 50
                total[index] += value * np.exp(1j * (frequency @ apart) - size)
    return np.concatenate([total.real, total.imag])


@pytest.mark.parametrize(("frequencies", "kind"), CHOICES)
def test_encoder_is_its_equation(frequencies: str, kind: str) -> None:
    encoder, inputs = FourierSetEncoder(9, 2, frequencies, kind, scale=1.5), draw(2, 5, 2)
    truth = np.random.default_rng(1).uniform(-1, 1, size=(2, 5))
    outputs = encoder(tf.constant(inputs), truth=truth).numpy()
    assert_close(outputs, np.stack([spectrum(encoder, *each) for each in zip(inputs, truth, strict=True)]), 1e-12)
    assert len(encoder.trainable_variables) == (frequencies == "learned") * (1 + (kind == "wavelet"))


@pytest.mark.parametrize(("frequencies", "kind"), CHOICES)
def test_spectrum_is_of_the_set(frequencies: str, kind: str) -> None:
    encoder, inputs = FourierSetEncoder(7, 2, frequencies, kind), draw(2, 5, 2)
    whole = encoder(tf.constant(inputs)).numpy()
    assert_close(encoder(tf.constant(inputs[:, [3, 1, 4, 0, 2]])), whole, 1e-12)
    parts = encoder(tf.constant(inputs[:, :2])).numpy() + encoder(tf.constant(inputs[:, 2:])).numpy()
    assert_close(parts, whole, 1e-12)
    masked = encoder(tf.constant(inputs), MASK).numpy()
    assert_close(masked[1], encoder(tf.constant(inputs[1:, MASK[1]])).numpy()[0], 1e-12)
    np.testing.assert_array_equal(encoder(tf.constant(inputs), truth=MASK.astype(float)), masked)
    changed = inputs.copy()
    changed[0, 0] += 0.5
    assert np.abs(encoder(tf.constant(changed)).numpy() - whole)[0].max() > 1e-3


def test_truth_taken_away_is_as_if_it_had_not_been() -> None:
    encoder, items = FourierSetEncoder(7, 2), draw(1, 1, 2)
    nothing = encoder(tf.constant(np.repeat(items, 2, axis=1)), truth=[[0.75, -0.75]]).numpy()
    np.testing.assert_array_equal(nothing, np.zeros([1, 14]))
    probable = encoder(tf.constant(items), truth=[[0.25]]).numpy()
    assert_close(probable, encoder(tf.constant(items)).numpy() / 4, 1e-12)


@pytest.mark.parametrize("frequencies", ["learned", "grid"])
def test_moving_a_set_turns_its_spectrum(frequencies: str) -> None:
    def complex_spectrum(encoder: FourierSetEncoder, inputs: np.ndarray) -> np.ndarray:
        real, imaginary = np.split(encoder(tf.constant(inputs)).numpy(), 2, axis=1)
        return real + 1j * imaginary

    inputs, move = draw(3, 5, 2), np.array([0.3, -0.7])
    waves = FourierSetEncoder(7, 2, frequencies)
    before, after = complex_spectrum(waves, inputs), complex_spectrum(waves, inputs + move)
    assert_close(after, before * np.exp(1j * (waves.frequencies.numpy() @ move)), 1e-12)
    wavelets = FourierSetEncoder(7, 2, frequencies, kind="wavelet")
    before, after = complex_spectrum(wavelets, inputs), complex_spectrum(wavelets, inputs + move)
    assert np.abs(after - before * np.exp(1j * (wavelets.frequencies.numpy() @ move))).max() > 1e-3


def test_random_spectra_estimate_a_gaussian_kernel() -> None:
    encoder, inputs = FourierSetEncoder(20_000, 3, "random", scale=0.8), draw(6, 1, 3)
    outputs = encoder(tf.constant(inputs)).numpy()
    squares = ((inputs - np.swapaxes(inputs, 0, 1)) ** 2).sum(axis=2)
    assert np.abs(outputs @ outputs.T / 20_000 - np.exp(-(0.8**2) * squares / 2)).max() < 0.03


@pytest.mark.parametrize(("number", "dimension"), [(1, 1), (6, 1), (25, 2), (40, 3), (9, 5)])
def test_half_lattice_has_the_shortest_vectors_once(number: int, dimension: int) -> None:
    rows = half_lattice(number, dimension)
    assert rows.shape == (number, dimension) and not rows[0].any()
    vectors = {tuple(row) for row in rows.tolist()}
    assert len(vectors) == number and not any(tuple(-row) in vectors for row in rows[1:])
    cube = np.array(list(itertools.product(range(-3, 4), repeat=dimension)))
    squares = (rows**2).sum(axis=1)
    assert (np.diff(squares) >= 0).all()
    shorter = {tuple(row) for row in cube[(cube**2).sum(axis=1) < squares[-1]].tolist()}
    assert shorter <= vectors | {tuple(-row) for row in rows}


def test_octaves_tile_the_box() -> None:
    frequencies, centres = octaves(1 + 2 + 8 + 32, 2)
    for level in range(3):
        own = frequencies.max(axis=1) == 2**level
        assert own.sum() == 2 * 4**level
        assert len(np.unique(centres[own], axis=0)) == 4**level
        np.testing.assert_allclose(np.abs(centres[own]).max(), np.pi * (1 - 0.5**level), atol=1e-12)


@pytest.mark.slow
def test_a_wavelet_sees_what_is_near_alone() -> None:
    encoder = FourierSetEncoder(40, 1, "grid", kind="wavelet")
    encoder(tf.zeros([1, 1, 1], tf.float64))
    finest = int(np.argmax(encoder.frequencies.numpy()))
    centre, width = encoder.centres.numpy()[finest], 5 / encoder.frequencies.numpy()[finest]
    near, far = encoder(tf.constant(np.stack([[centre], [centre + 8 * width]]))).numpy()[:, finest]
    assert near == 1 and abs(far) < 1e-12
    line = np.linspace(-60, 60, 200_001)[None, :, None]
    first = encoder(tf.constant(line)).numpy()[0, 1] * (line[0, 1, 0] - line[0, 0, 0])
    assert abs(first) < 1e-4  # The integral, next to 0; that of the envelope is 5 sqrt(2 pi).


def apart(rng: np.random.Generator, number: int, dimension: int, distance: float) -> np.ndarray:
    """Draws vectors in [-3, 3]^d at least a distance from each other, in lexicographic order."""
    while True:
        items = rng.uniform(-3, 3, size=(number, dimension))
        distances = np.linalg.norm(items[:, None] - items, axis=2) + 10 * np.eye(number)
        if distances.min() >= distance:
            return items[np.lexsort(items.T[::-1])]


RECOVERED = [
    (1, 16, 5, 2 * np.pi / 16, "grid"),
    (1, 24, 8, 2 * np.pi / 24, "grid"),
    (2, 60, 4, 1.0, "grid"),
    (3, 120, 2, 1.5, "grid"),
    (2, 60, 3, 1.0, "random"),
]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)], ids=["float64", "float32"])
@pytest.mark.parametrize(("dimension", "frequencies", "number", "distance", "choice"), RECOVERED)
def test_small_sets_are_recovered(
    dimension: int, frequencies: int, number: int, distance: float, choice: str, dtype: Any, tolerance: float
) -> None:
    rng = np.random.default_rng(dimension)
    encoder = FourierSetEncoder(frequencies, dimension, choice, scale=1.0 if choice == "grid" else 2.0)
    items = np.stack([apart(rng, number, dimension, distance) for _ in range(3)])
    truth = rng.choice([-1.0, 0.5, 1.0], size=(3, number))
    outputs = encoder(tf.constant(items.astype(dtype)), truth=truth)
    vectors, values = encoder.decode(outputs, number, (-3, 3))
    assert np.abs(vectors - items).max() < tolerance and np.abs(values - truth).max() < tolerance


def test_closer_vectors_need_more_frequencies() -> None:
    items, truth = np.array([[[-0.02], [0.0], [0.02]]]), np.ones([1, 3])
    few, many = FourierSetEncoder(6, 1, "grid"), FourierSetEncoder(100, 1, "grid")
    with pytest.raises(ValueError, match="More frequencies tell closer vectors apart"):
        few.decode(few(tf.constant(items, tf.float32), truth=truth), 3, (-3, 3))
    vectors, values = many.decode(many(tf.constant(items, tf.float32), truth=truth), 3, (-3, 3))
    assert np.abs(vectors - items).max() < 1e-3 and np.abs(values - 1).max() < 1e-3


def test_two_vectors_taken_for_one_are_refused() -> None:
    encoder = FourierSetEncoder(8, 1, "grid")
    both = encoder(tf.constant([[[0.5], [0.5]]], tf.float64))
    with pytest.raises(ValueError, match="gives no set of 1"):
        encoder.decode(both, 1, (-3, 3))  # One vector of truth value 2 explains it, and no vector has that.
    vectors, values = encoder.decode(both.numpy() / 2, 1, (-3, 3))
    assert abs(vectors[0, 0, 0] - 0.5) < 1e-9 and abs(values[0, 0] - 1) < 1e-9


def test_too_few_frequencies_are_refused() -> None:
    encoder = FourierSetEncoder(5, 1, "grid")
    outputs = encoder(tf.constant(apart(np.random.default_rng(0), 5, 1, 0.5)[None]))
    with pytest.raises(ValueError, match=r"num_items \(=5\) must be at most 4: 5 frequencies give 9 numbers"):
        encoder.decode(outputs, 5, (-3, 3))


def test_what_is_no_such_set_is_refused() -> None:
    encoder, rng = FourierSetEncoder(16, 1, "grid"), np.random.default_rng(0)
    outputs = encoder(tf.constant(apart(rng, 4, 1, 0.5)[None])).numpy()
    for spectra, number, bounds in (
        (outputs, 3, (-3, 3)),
        (outputs, 5, (-3, 3)),
        (rng.normal(size=(1, 32)), 4, (-3, 3)),
        (np.zeros([1, 32]), 1, (-3, 3)),
        (outputs, 4, (-0.1, 0.1)),
    ):
        with pytest.raises(ValueError, match="spectrum 0 gives no set of"):
            encoder.decode(spectra, number, bounds)


def test_bad_spectra_are_refused() -> None:
    encoder = FourierSetEncoder(4, 1, "grid")
    with pytest.raises(ValueError, match="must be called once before it has frequencies"):
        encoder.decode(np.zeros([1, 8]), 1, (-1, 1))
    encoder(tf.zeros([1, 1, 1]))
    with pytest.raises(ValueError, match=r"spectrum of shape \(1, 7\) must be \[batch, 8\]"):
        encoder.decode(np.zeros([1, 7]), 1, (-1, 1))
    with pytest.raises(ValueError, match="all finite"):
        encoder.decode(np.full([1, 8], np.nan), 1, (-1, 1))
    with pytest.raises(ValueError, match=r"bounds of shape \(\) must be \[2\] or \[2, 1\]"):
        encoder.decode(np.zeros([1, 8]), 1, 3)
    with pytest.raises(ValueError, match="lowest coordinates, then the highest"):
        encoder.decode(np.zeros([1, 8]), 1, (1, -1))
    with pytest.raises(ValueError, match="where the waves repeat"):
        encoder.decode(np.zeros([1, 8]), 1, (-4, 4))
    with pytest.raises(ValueError, match=r"num_items \(=0\)"):
        encoder.decode(np.zeros([1, 8]), 0, (-1, 1))
    vectors, truth = encoder.decode(np.zeros([0, 8]), 2, (-1, 1))
    assert vectors.shape == (0, 2, 1) and truth.shape == (0, 2)
    for other in (FourierSetEncoder(4, 1, kind="wavelet"), FourierSetEncoder(4, 4)):
        other(tf.zeros([1, 1, other.input_size]))
        with pytest.raises(ValueError, match="decode is for waves"):
            other.decode(np.zeros([1, 8]), 1, (-1, 1))


def test_a_box_of_too_many_wavelengths_is_refused() -> None:
    encoder = FourierSetEncoder(40, 3, "random", scale=1000)
    outputs = encoder(tf.zeros([1, 1, 3]))
    with pytest.raises(ValueError, match=r"bounds .* points, and must take at most .*smaller scale"):
        encoder.decode(outputs, 1, (-3, 3))


@pytest.mark.parametrize("kind", ["wave", "wavelet"])
def test_a_grid_of_too_many_cells_is_refused(kind: str) -> None:
    message = r"num_frequencies \(=60\) of a grid in input_size \(=49\) .*frequencies='random'"
    with pytest.raises(ValueError, match=message):
        FourierSetEncoder(60, 49, "grid", kind)
    FourierSetEncoder(60, 49, "random", kind)
    FourierSetEncoder(1, 100, "grid", kind)  # The frequency 0 alone takes one cell in any dimension.


@pytest.mark.parametrize("bad", [1.5, float("nan")])
def test_truth_out_of_range_is_refused_as_a_graph_runs(bad: float) -> None:
    encoder = FourierSetEncoder(4, 2)
    forward = tf.function(lambda truth: encoder(tf.zeros([1, 3, 2]), truth=truth), autograph=False)
    assert forward(tf.constant([[1.0, -1.0, 0.0]])).shape == (1, 8)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"truth must hold values in \[-1, 1\]"):
        forward(tf.constant([[1.0, bad, 0.0]]))


def test_bad_sets_of_waves_are_refused() -> None:
    for options, message in (
        ((0, 2), r"num_frequencies \(=0\)"),
        ((4, 0), r"input_size \(=0\)"),
        ((4, 2, "cosine"), r"frequencies \(='cosine'\) must be one of learned, random, grid"),
        ((4, 2, "grid", "ripple"), r"kind \(='ripple'\) must be one of wave, wavelet"),
        ((4, 2, "grid", "wave", 0.0), r"scale \(=0.0\) must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            FourierSetEncoder(*options)
    encoder = FourierSetEncoder(4, 2)
    for inputs, arguments, message in (
        (tf.zeros([1, 3, 4]), {}, r"must have 2 features"),
        (tf.zeros([1, 0, 2]), {}, "at least one item"),
        (tf.zeros([1, 3, 2]), {"mask": [[False] * 3]}, "leaves none in set 0"),
        (tf.zeros([1, 3, 2]), {"truth": [[1.0, 2.0, 0.0]]}, r"truth must hold values in \[-1, 1\]"),
        (tf.zeros([1, 3, 2]), {"truth": [[1.0, float("nan"), 0.0]]}, r"truth must hold values in \[-1, 1\]"),
        (tf.zeros([1, 3, 2]), {"truth": [1.0, 1.0, 0.0]}, r"truth of shape \(3,\) must be \[batch, items\]"),
    ):
        with pytest.raises(ValueError, match=message):
            encoder(inputs, **arguments)
