"""Recovery of small sets of vectors from samples of their Fourier transform, by orthogonal matching pursuit."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

EXACT = 1e-15  # The relative tolerance of a refinement.
CELLS = 2**22  # Entries of the matched filter per chunk.
POINTS = 2**24  # The most points of the search grid.


def recover(
    spectrum: npt.ArrayLike, frequencies: Floats, num_items: int, low: Floats, high: Floats
) -> tuple[Floats, Floats, float]:
    """Finds vectors x_j and truth values t_j such that sum_j t_j exp(i w.x_j) is closest to a spectrum.

    The vectors are found one after another, each at the maximum of a matched filter of the residual spectrum on a
    grid, and after each all are refined jointly by least squares (Levenberg 1944, Marquardt 1963). After
    Newtonised orthogonal matching pursuit: Mamandipoor, Ramasamy & Madhow, 2016.

    Args:
      spectrum: Complex, `[frequencies]`.
      frequencies: The w, `[frequencies, d]`.
      num_items: The number of vectors.
      low, high: The lowest and the highest corner of the search box, `[d]`.

    Returns:
      The vectors `[num_items, d]`, their truth values `[num_items]`, and an estimate of the largest error in any of
      these numbers: the residual, at least the rounding error, over the smallest singular value of the derivative. A
      vector may lie outside the box, if the waves are periodic.
    """
    samples = np.asarray(spectrum, np.complex128)
    grid = _grid(frequencies, low, high)
    vectors, truth = np.empty((0, len(low))), np.empty(0)
    for _ in range(num_items):
        rest = samples - _waves(vectors, frequencies) @ truth
        place, strength = _matched(rest, frequencies, grid)
        vectors, truth = np.concatenate([vectors, place[None]]), np.append(truth, strength)
        vectors, truth = _refined(samples, frequencies, vectors, truth)
    missing = np.linalg.norm(samples - _waves(vectors, frequencies) @ truth)
    least = np.linalg.svd(_derivative(frequencies, vectors, truth), compute_uv=False)[-1]
    rounding = np.finfo(np.asarray(spectrum).dtype).eps * np.linalg.norm(samples)
    error = max(missing, rounding) / least if least else np.inf
    return vectors, truth, float(error)


def _waves(vectors: Floats, frequencies: Floats) -> npt.NDArray[np.complex128]:
    return np.exp(1j * (frequencies @ vectors.T))


def _grid(frequencies: Floats, low: Floats, high: Floats) -> Floats:
    """Makes a grid of at least four points per shortest wavelength along each axis, so that one is near every peak."""
    fastest = np.abs(frequencies).max(axis=0)
    counts = np.ceil(2 * fastest * (high - low) / np.pi) + 1
    if counts.prod() > POINTS:
        raise ValueError(
            f"bounds (={[low.tolist(), high.tolist()]}) take a grid of {counts.prod():.3g} points, and must take "
            f"at most {POINTS}: use narrower bounds, or an encoder of smaller scale."
        )
    axes = [np.linspace(start, end, count) for start, end, count in zip(low, high, counts.astype(int), strict=True)]
    return np.stack([each.ravel() for each in np.meshgrid(*axes, indexing="ij")], axis=1)


def _matched(rest: npt.NDArray[np.complex128], frequencies: Floats, grid: Floats) -> tuple[Floats, float]:
    """Finds the grid point with the largest matched-filter response to a spectrum, and its truth value."""
    pieces = np.array_split(grid, len(grid) * len(frequencies) // CELLS + 1)
    strengths = np.concatenate([(rest.conj() @ _waves(piece, frequencies)).real for piece in pieces])
    best = np.argmax(np.abs(strengths))
    return grid[best], strengths[best] / len(frequencies)


def _derivative(frequencies: Floats, vectors: Floats, truth: Floats) -> Floats:
    """Differentiates real and imaginary parts by all vectors, then all truth values: `[2 frequencies, n (d + 1)]`."""
    waves = _waves(vectors, frequencies)
    by_vectors = 1j * waves[:, :, None] * truth[:, None] * frequencies[:, None, :]
    table = np.concatenate([by_vectors.reshape(len(frequencies), -1), waves], axis=1)
    return np.concatenate([table.real, table.imag])


def _refined(
    samples: npt.NDArray[np.complex128], frequencies: Floats, vectors: Floats, truth: Floats
) -> tuple[Floats, Floats]:
    """Refines vectors and truth values to a local least-squares fit of the spectrum (Levenberg-Marquardt)."""
    import scipy.optimize

    def parts(numbers: Floats) -> tuple[Floats, Floats]:
        return numbers[: vectors.size].reshape(vectors.shape), numbers[vectors.size :]

    def missing(numbers: Floats) -> Floats:
        places, values = parts(numbers)
        rest = _waves(places, frequencies) @ values - samples
        return np.concatenate([rest.real, rest.imag])

    def derivative(numbers: Floats) -> Floats:
        return _derivative(frequencies, *parts(numbers))

    start, least = np.concatenate([vectors.ravel(), truth]), {"xtol": EXACT, "ftol": EXACT, "gtol": EXACT}
    return parts(scipy.optimize.least_squares(missing, start, derivative, method="lm", **least).x)
