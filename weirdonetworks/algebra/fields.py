"""Exact arithmetic on arrays over number fields Q(a), and exact kernels of matrices over them.

An element is a vector of integers over a common denominator: arrays `[..., e]` of Python integers (dtype object) hold
the coefficients of 1, a, ..., a^(e-1), where a is a root of an irreducible monic integer polynomial of degree e. The
rational numbers are the case e = 1.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra import modular
from weirdonetworks.algebra.arrays import Ints

Exact: TypeAlias = npt.NDArray[np.object_]


class NumberField:
    """The field of a SymPy domain, QQ or an algebraic extension of it.

    >>> import sympy
    >>> field = NumberField(sympy.QQ.algebraic_field(sympy.sqrt(5)))
    >>> field.minimal  # a^2 - 5, the constant first
    (-5, 0, 1)
    >>> field.multiply(np.array([1, 1], object), np.array([1, 1], object)).tolist()  # (1 + a)^2 = 6 + 2 a
    [6, 2]

    Attributes:
      domain: The SymPy domain.
      minimal: The coefficients of the minimal polynomial of `a`, the constant first.
      degree: The degree e of the field over the rationals.
    """

    def __init__(self, domain: Any) -> None:
        self.domain = domain
        self._scale = 1
        self.minimal: tuple[int, ...] = (0, 1)
        if not domain.is_QQ:
            top, *rest = [Fraction(int(c.numerator), int(c.denominator)) for c in domain.mod.to_list()]
            monic = [coefficient / top for coefficient in rest]
            # The minimal polynomial of c times SymPy's generator has integer coefficients.
            self._scale = _clearing([coefficient.denominator for coefficient in monic])
            scaled = [int(coefficient * self._scale ** (place + 1)) for place, coefficient in enumerate(monic)]
            self.minimal = (*scaled[::-1], 1)
        self.degree = len(self.minimal) - 1

    def read(self, elements: Sequence[Any]) -> tuple[Exact, int]:
        """Converts elements of the domain to numerators `[len(elements), e]` and their common denominator."""
        entries = []
        for row, element in enumerate(elements):
            listed = [element] if self.domain.is_QQ else element.to_list()[::-1]
            for power, value in enumerate(listed):
                if value:
                    entries.append((row, power, int(value.numerator), int(value.denominator) * self._scale**power))
        common = math.lcm(*{below for *_, below in entries})
        table = np.zeros((len(elements), self.degree), object)
        for row, power, above, below in entries:
            table[row, power] = above * (common // below)
        return table, common

    def write(self, numerators: Iterable[Any], denominator: int) -> Any:
        """Converts the numerators `[e]` of one element to an element of the domain."""
        rationals = self.domain if self.domain.is_QQ else self.domain.dom
        values = [
            rationals(int(value) * self._scale**power, int(denominator)) for power, value in enumerate(numerators)
        ]
        return values[0] if self.domain.is_QQ else self.domain(values[::-1])

    def one(self, *shape: int) -> Exact:
        """Returns an array of ones, `[*shape, e]`."""
        ones = np.zeros((*shape, self.degree), object)
        ones[..., 0] = 1
        return ones

    def multiply(self, a: Exact, b: Exact) -> Exact:
        """Multiplies elementwise, `[..., e]` by `[..., e]`; leading axes broadcast."""
        if self.degree == 1:
            return np.asarray(a * b, object)
        product = np.einsum("...i,...j->...ij", a, b)
        powers: list[Any] = [0] * (2 * self.degree - 1)
        for i, j in itertools.product(range(self.degree), repeat=2):
            powers[i + j] = powers[i + j] + product[..., i, j]
        while len(powers) > self.degree:  # a^e is a sum of lower powers.
            top, start = powers.pop(), len(powers) - self.degree
            for power in range(self.degree):
                if self.minimal[power]:
                    powers[start + power] = powers[start + power] - top * self.minimal[power]
        return np.stack(powers, axis=-1)

    def matmul(self, a: Exact, b: Exact) -> Exact:
        """Multiplies matrices, `[..., m, k, e]` by `[..., k, n, e]`."""
        return np.asarray(self.multiply(a[..., :, :, None, :], b[..., None, :, :, :]).sum(axis=-3), object)

    def norm(self, numerators: Exact) -> int:
        """Sums the absolute values of all coefficients: norm(a b) <= growth norm(a) norm(b)."""
        return int(np.abs(numerators).sum())

    @functools.cached_property
    def growth(self) -> int:
        """The largest norm of a^i a^j, 0 <= i, j < e."""
        powers = self.one(self.degree) * 0
        powers[np.arange(self.degree), np.arange(self.degree)] = 1
        return max(self.norm(product) for power in powers for product in self.multiply(powers, power))

    def reduce(self, numerators: Exact, prime: int, root: int) -> Ints:
        """Maps elements to residues modulo a prime by a -> root, a root of the minimal polynomial modulo the prime."""
        value = np.zeros(numerators.shape[:-1], np.intp)
        for power in reversed(range(self.degree)):
            value = (value * root + (numerators[..., power] % prime).astype(np.intp)) % prime
        return value

    def floats(self, numerators: Exact, denominator: int) -> npt.NDArray[Any]:
        """Evaluates elements as float64 or complex128, from 60 digits."""
        if self.degree == 1:
            return np.asarray(numerators[..., 0] / denominator, np.float64)
        import mpmath
        import sympy

        with mpmath.workdps(60):
            generator = mpmath.mpmathify(sympy.N(self.domain.ext.as_expr(), 60)) * self._scale
            powers = np.array([generator**power for power in range(self.degree)], object)
            values = (numerators * powers).sum(axis=-1) / denominator
            listed = [complex(value) for value in values.ravel().tolist()]
            real = abs(mpmath.im(generator)) < 1e-40
        array = np.array(listed, np.complex128).reshape(values.shape)
        return array.real.copy() if real else array

    def split_primes(self) -> Iterator[tuple[int, list[int]]]:
        """Yields primes modulo which the minimal polynomial has e distinct roots, with these roots, decreasing."""
        return (_split_prime(self.minimal, index) for index in itertools.count())


def exact(values: Any) -> Exact:
    """Converts values to an array of Python integers, which do not overflow."""
    array = np.array(values, object)
    flat = array.ravel()
    flat[:] = [int(value) for value in flat]
    return flat.reshape(array.shape)


def kernel(
    field: NumberField,
    modulo: Callable[[int, int], tuple[Ints, Ints]],
    vanishes: Callable[[Ints, int, int], bool],
    bound: Callable[[int], int],
) -> tuple[Ints, Exact, list[int]]:
    """Computes the kernel of an integral matrix over a number field, with a proof that it is exact.

    Kernels modulo primes are combined by the Chinese remainder theorem and rational reconstruction. The vectors are
    proved to be in the kernel once their images vanish modulo primes whose product exceeds a bound on the images. None
    is missing then, as the rank modulo a prime is never above the true rank.

    Args:
      field: The field.
      modulo: Called as `modulo(prime, root)`; returns the kernel of the matrix modulo the prime with a -> root, as
        `modular.kernel` does.
      vanishes: Called as `vanishes(vectors, prime, root)`; tells whether the matrix maps the residues
        `[vectors, columns]` to zero modulo the prime.
      bound: Maps the norm of a vector (see `NumberField.norm`) to a bound on the coefficients of its image.

    Returns:
      A basis in reduced row echelon form: the leading columns `[dimension]`; numerators `[dimension, columns, e]`; and
      a denominator for each vector.
    """
    best: tuple[int, list[int]] | None = None
    residues, modulus = exact(0), 1
    for prime, roots in field.split_primes():
        found = [modulo(prime, root) for root in roots]
        leading = found[0][0]
        if any(not np.array_equal(leading, other) for other, _ in found):
            continue
        # A bad prime has a larger kernel, or one as large with leading columns further to the right.
        rank = (len(leading), leading.tolist())
        if best is not None and rank > best:
            continue
        if best is None or rank < best:
            best, residues, modulus = rank, exact(0), 1
        powers = [[pow(root, power, prime) for power in range(field.degree)] for root in roots]
        values = np.stack([vectors for _, vectors in found])
        mixed = modular.matmul(modular.invert(np.array(powers), prime), values.reshape(len(roots), -1), prime)
        coefficients = exact(np.moveaxis(mixed.reshape(values.shape), 0, -1))
        step = (coefficients - residues) * pow(modulus, -1, prime) % prime
        residues, modulus = residues + modulus * step, modulus * prime
        fractions = _reconstructed(residues, modulus)
        if fractions is not None and _is_zero(field, fractions[0], modulus, prime, vanishes, bound):
            return leading, *fractions
    raise AssertionError("There are primes without end.")


def _reconstructed(residues: Exact, modulus: int) -> tuple[Exact, list[int]] | None:
    """Reconstructs fractions from residues `[vectors, columns, e]`, one denominator per vector; None if that fails."""
    fractions = modular.rationals(residues.ravel().tolist(), modulus)
    if fractions is None:
        return None
    width = math.prod(residues.shape[1:])
    rows = [fractions[start : start + width] for start in range(0, len(fractions), width)]
    denominators = [math.lcm(*{below for _, below in row}) for row in rows]
    numerators = [
        [above * (denominator // below) for above, below in row]
        for row, denominator in zip(rows, denominators, strict=True)
    ]
    return np.array(numerators, object).reshape(residues.shape), denominators


def _is_zero(
    field: NumberField,
    vectors: Exact,
    modulus: int,
    prime: int,
    vanishes: Callable[[Ints, int, int], bool],
    bound: Callable[[int], int],
) -> bool:
    """Tells whether vectors that are in a kernel modulo the primes down to `prime` are in it exactly."""
    largest = bound(max((field.norm(vector) for vector in vectors), default=0))
    for further, roots in field.split_primes():
        if modulus > largest:
            return True
        if further < prime:
            if not all(vanishes(field.reduce(vectors, further, root), further, root) for root in roots):
                return False
            modulus *= further
    raise AssertionError("There are primes without end.")


@functools.cache
def _split_prime(minimal: tuple[int, ...], index: int) -> tuple[int, list[int]]:
    from sympy import GF, Poly, Symbol

    prime = _split_prime(minimal, index - 1)[0] if index else modular.LARGEST
    degree = len(minimal) - 1
    while True:  # At least one prime in e! splits, so the search is short.
        prime = modular.prime_below(prime)
        roots = [0] if degree == 1 else Poly(minimal[::-1], Symbol("a"), domain=GF(prime)).ground_roots()
        if len(roots) == degree:
            return prime, sorted(int(root) % prime for root in roots)


def _clearing(denominators: Sequence[int]) -> int:
    """Finds the least c such that denominators[i] divides c^(i + 1) for each i."""
    from sympy import factorint

    least: dict[int, int] = {}
    for place, denominator in enumerate(denominators):
        for prime, power in factorint(denominator).items():
            least[prime] = max(least.get(prime, 0), -(-power // (place + 1)))
    return math.prod(int(prime) ** power for prime, power in least.items())
