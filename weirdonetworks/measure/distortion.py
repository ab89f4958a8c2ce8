"""Distortion of linear embeddings of the Cayley graph of Z^n into R^d, random and learned.

The distance of two elements y, z of Z^n is the word metric of the standard generators, sum_i |y_i - z_i|. The embedding
is the homomorphism z -> z E with E of shape [n, d], by which a network embeds vectors of counts.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, at_least, listed, reals
from weirdonetworks.algebra.groups.permutations import POINTS

LISTED = 2**20  # The most elements of a ball to list; 130 MB for 16 generators.
SHARPNESS = (10.0, 30.0, 100.0, 300.0)  # Of the smooth maxima that are minimised one after another.


@dataclasses.dataclass(frozen=True)
class Distortion:
    """The metric distortion of an embedding f on a ball of Z^n.

    >>> found = Distortion(expansion=1.0, contraction=1.5, is_exact=True)
    >>> found.distortion
    1.5

    Attributes:
      expansion: The largest |f(y) - f(z)| over the word distance of y and z.
      contraction: The largest word distance over |f(y) - f(z)|; infinite if f is not injective.
      is_exact: Whether all pairs were compared; if not, `contraction` is a lower bound.
    """

    expansion: float
    contraction: float
    is_exact: bool

    @property
    def distortion(self) -> float:
        """`expansion * contraction`, at least 1, and 1 only if f scales all distances by one factor."""
        return math.inf if math.isinf(self.contraction) else self.expansion * self.contraction


def cayley_distortion(embeddings: npt.ArrayLike, radius: int, samples: int | None = None, seed: int = 0) -> Distortion:
    """Computes the distortion of z -> z E over all pairs in a ball of Z^n.

    The map is linear and the word metric translation-invariant, so it is enough to go through the differences: those of
    elements of the ball of radius r are the elements of the ball of radius 2 r.

    >>> round(cayley_distortion(np.eye(2), radius=1).distortion, 6)  # (1, 1) is 2 away from 0, and lands at sqrt(2)
    1.414214
    >>> cayley_distortion([[1.0], [1.0]], radius=1).distortion  # (1, -1) falls on 0
    inf

    Args:
      embeddings: E, `[n, d]`, the images of the generators.
      radius: The radius r of the ball, at least 1.
      samples: The number of random differences to use; None for all.
      seed: Seed of the samples.

    Returns:
      The distortion, with samples a lower bound. The expansion is always exact: the norm of the longest generator.

    Raises:
      TypeError: If an argument is not an integer.
      ValueError: If an argument is too small, the embeddings are not a matrix of finite numbers, or there are too many
        differences to list.
    """
    table = reals("embeddings", embeddings)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError(f"embeddings of shape {table.shape} must be [n, d], at least one, all finite.")
    length = 2 * at_least("radius", radius, 1)
    n = len(table)
    if samples is None:
        differences = ball(n, length)
    else:
        differences = _sampled(n, length, at_least("samples", samples, 1, LISTED), at_least("seed", seed, 0))
    images, words = np.linalg.norm(differences @ table, axis=1), np.abs(differences).sum(axis=1)
    # By the triangle inequality the largest ratio is that of a generator.
    expansion = np.linalg.norm(table, axis=1).max()
    nearest = np.min(images / words)
    # Sums of so few numbers that cancel but for rounding are 0.
    contraction = np.inf if nearest <= 1e-14 * expansion else 1 / nearest
    return Distortion(float(expansion), float(contraction), samples is None)


def random_embedding(n: int, d: int, seed: int) -> npt.NDArray[np.float64]:
    """Draws the images of the generators, `[n, d]`, independently from N(0, I / d), of mean squared norm 1."""
    rng = np.random.default_rng(at_least("seed", seed, 0))
    at_least("n * d", at_least("n", n, 1) * at_least("d", d, 1), 1, POINTS)
    return rng.normal(size=(n, d)) / math.sqrt(d)


def learned_embedding(n: int, d: int, radius: int, seed: int, steps: int = 400) -> npt.NDArray[np.float64]:
    """Learns an embedding of low distortion on a ball by gradient descent from a random one.

    Adam (Kingma & Ba 2014) minimises the logarithm of the distortion, its maxima replaced by smooth ones of increasing
    sharpness. The local minimum depends on the seed.

    Args:
      n: The number of generators.
      d: The dimension.
      radius: The radius of the ball.
      seed: Seed of the initial embedding.
      steps: The number of steps.

    Returns:
      The best embedding found, `[n, d]`, scaled so that its longest generator has norm 1.

    Raises:
      TypeError: If an argument is not an integer.
      ValueError: If an argument is too small, or the ball too large to list.
    """
    table = random_embedding(n, d, seed)
    differences = ball(n, 2 * at_least("radius", radius, 1)).astype(np.float64)
    words = np.abs(differences).sum(axis=1)
    mean, square = np.zeros_like(table), np.zeros_like(table)
    best, least = table, np.inf
    steps = at_least("steps", steps, 1)
    for step in range(steps):
        images = differences @ table
        squares = np.maximum((images**2).sum(axis=1), 1e-30)
        lengths = (table**2).sum(axis=1)
        stretch = np.log(squares) / 2 - np.log(words)
        distortion = np.log(lengths.max()) / 2 - stretch.min()
        if distortion < least:
            best, least = table, distortion
        sharpness = SHARPNESS[step * len(SHARPNESS) // steps]
        shrunk, longest = _softmax(-sharpness * stretch), _softmax(sharpness * np.log(lengths) / 2)
        gradient = longest[:, None] * table / lengths[:, None] - differences.T @ (images * (shrunk / squares)[:, None])
        mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
        rate = 0.05 * (1 - step / steps)
        moved = mean / (1 - 0.9 ** (step + 1)) / (np.sqrt(square / (1 - 0.99 ** (step + 1))) + 1e-12)
        table = table - rate * moved
        table = table / np.linalg.norm(table, axis=1).max()
    return best / np.linalg.norm(best, axis=1).max()


def distortion_by_dimension(
    n: int, dimensions: Iterable[int], radius: int, seeds: Iterable[int]
) -> list[dict[str, float]]:
    """Computes the distortion of random and learned embeddings for each dimension and seed.

    >>> for record in distortion_by_dimension(n=2, dimensions=[1, 2], radius=1, seeds=[0]):
    ...     print(record["d"], round(record["learned"], 2) <= round(record["random"], 2))
    1 True
    2 True

    Returns:
      A record per dimension and seed: `d`, `seed`, and the distortions `random` and `learned`. Each is at least
      sqrt(min(n, 2 radius)), since over all signs sums of k generators have mean squared norm at most k. Orthonormal
      generators attain the bound.

    Raises:
      TypeError: If an argument is not an integer.
      ValueError: If an argument is too small, or the ball too large to list.
    """
    chosen = [at_least("dimensions", d, 1) for d in listed("dimensions", dimensions, "integers")]
    drawn = [at_least("seeds", seed, 0) for seed in listed("seeds", seeds, "integers")]
    return [
        {
            "d": d,
            "seed": seed,
            "random": cayley_distortion(random_embedding(n, d, seed), radius).distortion,
            "learned": cayley_distortion(learned_embedding(n, d, radius, seed), radius).distortion,
        }
        for d, seed in itertools.product(chosen, drawn)
    ]


def ball_size(n: int, radius: int) -> int:
    """Counts the elements of Z^n of word length up to a radius: sum_k 2^k C(n, k) C(radius, k).

    >>> ball_size(2, 2)
    13
    """
    return sum(2**k * math.comb(n, k) * math.comb(radius, k) for k in range(min(n, radius) + 1))


def ball(n: int, radius: int) -> Ints:
    """Lists the elements of Z^n of word length 1 to `radius`, one of each pair z, -z.

    >>> ball(2, 1).tolist()
    [[0, 1], [1, 0]]

    Args:
      n: The number of generators, at least 1.
      radius: The radius, at least 1.

    Returns:
      The elements whose first nonzero entry is positive, `[(ball_size - 1) / 2, n]`.

    Raises:
      TypeError: If an argument is not an integer.
      ValueError: If an argument is too small, or there are too many elements.
    """
    n, radius = at_least("n", n, 1), at_least("radius", radius, 1)
    size = (ball_size(n, radius) - 1) // 2
    if size > LISTED:
        raise ValueError(
            f"a ball of radius {radius} in Z^{n} has {size} elements up to sign, more than {LISTED}: take a smaller "
            "radius, or samples."
        )
    # Entries of all elements of the whole ball, one generator after another; the half is taken last.
    rows = np.zeros((1, 0), np.intp)
    for _ in range(n):
        left = radius - np.abs(rows).sum(axis=1)
        counts = 2 * left + 1
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        entries = np.arange(counts.sum()) - starts - np.repeat(left, counts)
        rows = np.concatenate([np.repeat(rows, counts, axis=0), entries[:, None]], axis=1)
    return rows[len(rows) // 2 + 1 :]  # In lexicographic order, so 0 is in the middle.


def _sampled(n: int, length: int, samples: int, seed: int) -> Ints:
    """Draws random elements of Z^n, their word lengths about uniform from 1 to `length`."""
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1, 1], size=(samples, n))  # A generator and its inverse in one word would cancel.
    letters = rng.integers(n, size=(samples, length))
    used = np.arange(length) < rng.integers(1, length + 1, size=samples)[:, None]
    words = np.zeros((samples, n), np.intp)
    np.add.at(words, (np.arange(samples)[:, None].repeat(length, axis=1)[used], letters[used]), 1)
    return words * signs


def _softmax(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(values - values.max())
    return powers / powers.sum()
