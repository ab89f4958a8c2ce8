"""Finite matrix groups from generators, exact or in floating point.

A matrix g acts on vectors by `x -> g x`.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, at_least, instance, listed, shown, written
from weirdonetworks.algebra.fields import Exact, NumberField, exact

LARGEST = 10_000  # The default limit on the order, above which a group is taken to be infinite.
TOLERANCE = 1e-8


class MatrixGroup:
    """A finite group of invertible matrices, given by generators; its elements are computed as their closure.

    If all entries are integers, fractions or algebraic SymPy numbers (roots, cosines of rational angles, the imaginary
    unit), the group is exact, over one number field. If any entry is a float, the group is in floating point, and
    matrices are equal if their entries agree within the tolerance.

    >>> group = MatrixGroup([[[0, -1], [1, 0]]])
    >>> group.order, group.exact
    (4, True)
    >>> group.elements()[1].tolist()
    [[0.0, -1.0], [1.0, 0.0]]

    Args:
      generators: Matrices, `[generators, n, n]`, at least one.
      limit: The largest order allowed.
      tolerance: In floating point, the largest difference between the entries of equal matrices.

    Raises:
      TypeError: If an entry is not a number.
      ValueError: If there is no generator, the matrices are not square or differ in size, one is singular, an entry is
        not algebraic, or there are more than `limit` elements.
    """

    def __init__(self, generators: Iterable[Any], *, limit: int = LARGEST, tolerance: float = TOLERANCE) -> None:
        tables = _tables(generators)
        self._field: NumberField | None = None
        if any(_is_float(entry) for entry in _flat(tables)):
            self._generator_floats = _float_generators(tables, tolerance)
            self._floats = _float_closure(self._generator_floats, limit, tolerance)
        else:
            self._close(*_in_one_domain(tables), limit)

    @classmethod
    def over(cls, domain: Any, generators: Sequence[Sequence[Sequence[Any]]], *, limit: int = LARGEST) -> "MatrixGroup":
        """Makes the exact group of matrices whose entries are elements of a SymPy domain, QQ or an algebraic field.

        Raises:
          ValueError: As the constructor does.
        """
        group = cls.__new__(cls)
        group._close(domain, _tables(generators), limit)
        return group

    def _close(self, domain: Any, tables: list[list[list[Any]]], limit: int) -> None:
        from sympy.polys.matrices import DomainMatrix

        size, self._field, self._generators = len(tables[0]), NumberField(domain), []
        for index, table in enumerate(tables):
            if not DomainMatrix(table, (size, size), domain).det():
                raise ValueError(f"generator {index} must be invertible, and is singular.")
            numerators, denominator = self._field.read(_flat([table]))
            self._generators.append((numerators.reshape(size, size, -1), denominator))
        self._numerators, self._denominator = _exact_closure(self._field, self._generators, limit)

    def __repr__(self) -> str:
        kind = f"over {self._field.domain}" if self._field else "in floating point"
        return f"<MatrixGroup of {self.order} matrices {self.dimension} x {self.dimension} {kind}>"

    @property
    def dimension(self) -> int:
        """The number n of rows of each matrix."""
        return int((self._numerators if self._field else self._floats).shape[1])

    @property
    def order(self) -> int:
        """The number of elements."""
        return len(self._numerators if self._field else self._floats)

    @property
    def exact(self) -> bool:
        """Whether the entries are exact numbers."""
        return self._field is not None

    @property
    def domain(self) -> Any:
        """The SymPy domain of the entries: QQ, an algebraic field, or for floating point RR or CC."""
        from sympy import CC, RR

        if self._field:
            return self._field.domain
        return CC if np.iscomplexobj(self._floats) else RR

    @property
    def generators(self) -> npt.NDArray[Any]:
        """The generators as float64 or complex128, `[generators, n, n]`."""
        if self._field is None:
            return self._generator_floats.copy()
        return np.stack([self._field.floats(*generator) for generator in self._generators])

    def elements(self, limit: int | None = None) -> npt.NDArray[Any]:
        """Lists all elements as float64 (complex128 unless the field is real), `[order, n, n]`, the identity first.

        >>> MatrixGroup([[[-1]]]).elements().tolist()
        [[[1.0]], [[-1.0]]]

        Args:
          limit: The largest number of elements to list; None for no limit.

        Raises:
          ValueError: If there are more than `limit`.
        """
        if limit is not None and self.order > limit:
            raise ValueError(f"limit (={limit}) must be at least the order of the group (={written(self.order)}).")
        if self._field is None:
            return self._floats.copy()
        return self._field.floats(self._numerators, self._denominator)

    def sample(self, num: int, seed: int) -> npt.NDArray[Any]:
        """Draws elements uniformly, with replacement, `[num, n, n]`.

        Args:
          num: The number of elements, at least 1.
          seed: The random seed, at least 0.

        Raises:
          ValueError: If an argument is too small.
        """
        rng = np.random.default_rng(at_least("seed", seed, 0))
        return self.elements()[rng.integers(self.order, size=at_least("num", num, 1))]

    @staticmethod
    def compose(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[Any]:
        """Multiplies matrices, `[..., n, n]`: the product acts by the second factor, then by the first."""
        return np.asarray(first) @ np.asarray(second)

    def exact_elements(self) -> list[Any]:
        """Lists all elements as SymPy matrices, the identity first.

        >>> MatrixGroup([[[0, -1], [1, 0]]]).exact_elements()[1]
        Matrix([
        [0, -1],
        [1,  0]])

        Raises:
          ValueError: If the group is in floating point.
        """
        from sympy import ImmutableMatrix

        field, numerators, denominator = exact_parts(self)
        rows = numerators.reshape(self.order, -1, field.degree)
        to_sympy = functools.cache(lambda entry: field.domain.to_sympy(field.write(entry, denominator)))
        return [
            ImmutableMatrix(self.dimension, self.dimension, [to_sympy(tuple(entry)) for entry in element.tolist()])
            for element in rows
        ]


def exact_parts(group: MatrixGroup) -> tuple[NumberField, Exact, int]:
    """Returns the field of an exact group, and its elements as numerators `[order, n, n, e]` and their denominator.

    Raises:
      ValueError: If the group is in floating point.
    """
    instance("group", group, MatrixGroup)
    if group._field is None:
        raise ValueError(
            f"group (={group!r}) must be exact. Construct it from integers, fractions or SymPy numbers, as sqrt(5) / 2."
        )
    return group._field, group._numerators, group._denominator


def exact_generators(group: MatrixGroup) -> list[tuple[Exact, int]]:
    """Returns the generators of an exact group, each as numerators `[n, n, e]` and their denominator."""
    exact_parts(group)
    return group._generators


def residues(group: MatrixGroup, prime: int, root: int) -> Ints:
    """Reduces the elements of an exact group modulo a prime that does not divide the denominator: `[order, n, n]`."""
    field, numerators, denominator = exact_parts(group)
    return field.reduce(numerators, prime, root) * pow(denominator, -1, prime) % prime


def _tables(generators: Iterable[Any]) -> list[list[list[Any]]]:
    """Checks the shapes of generators and converts each to a list of rows."""
    tables = [
        [[int(entry) if isinstance(entry, bool | np.bool_) else entry for entry in row] for row in _rows(generator)]
        for generator in listed("generators", generators, "matrices")
    ]
    if not tables:
        raise ValueError("generators must hold at least one matrix, as trivial_matrix_group(n) does.")
    size = len(tables[0])
    for index, table in enumerate(tables):
        if not table or any(len(row) != len(table) for row in table):
            raise ValueError(f"generators: generator {index} (of {len(table)} rows) must be a square matrix.")
        if len(table) != size:
            raise ValueError(
                f"generators must have the same size: generator 0 is {size} x {size}, generator {index} "
                f"{len(table)} x {len(table)}."
            )
    return tables


def _rows(generator: Any) -> Sequence[Any]:
    rows = generator.tolist() if hasattr(generator, "tolist") else generator  # NumPy arrays and SymPy matrices.
    if not isinstance(rows, list | tuple) or not all(isinstance(row, list | tuple) for row in rows):
        raise ValueError(f"generators must be a list of matrices, and hold {generator!r}. Pass one matrix as [matrix].")
    return rows


def _is_float(entry: Any) -> bool:
    return isinstance(entry, float | complex | np.inexact) or getattr(entry, "is_Float", False)


def _flat(tables: Iterable[Iterable[Iterable[Any]]]) -> list[Any]:
    return [entry for table in tables for row in table for entry in row]


def _in_one_domain(tables: list[list[list[Any]]]) -> tuple[Any, list[list[list[Any]]]]:
    """Finds a SymPy domain of all entries, QQ or an algebraic field, and converts them to its elements."""
    from sympy import QQ, I, SympifyError, sympify
    from sympy.polys.constructor import construct_domain

    try:
        numbers = [sympify(entry, strict=True) for entry in _flat(tables)]
    except SympifyError as error:
        raise TypeError(f"generators must hold numbers, and hold {error.expr!r}.") from None
    domain, elements = construct_domain(numbers, extension=True, field=True)
    if domain.is_QQ_I:  # Gaussian rationals, which SymPy does not represent as an algebraic field.
        gaussian, domain = domain, QQ.algebraic_field(I)
        elements = [domain.convert_from(element, gaussian) for element in elements]
    if not (domain.is_QQ or domain.is_AlgebraicField):
        raise ValueError(
            f"generators must hold integers, fractions, algebraic numbers or floats, and have entries in {domain}."
        )
    given = iter(elements)
    return domain, [[[next(given) for _ in row] for row in table] for table in tables]


def _exact_closure(field: NumberField, generators: list[tuple[Exact, int]], limit: int) -> tuple[Exact, int]:
    """Computes the closure of generators under products: the numerators of all elements, and their denominator."""
    size = len(generators[0][0])
    identity = field.one(size, size) * np.eye(size, dtype=int)[:, :, None]
    known, frontier = {_key(identity, 1): (identity, 1)}, [(identity, 1)]
    while frontier:
        fresh = []
        stacked = exact(np.stack([numerators for numerators, _ in frontier]))
        for by, by_denominator in generators:
            for product, (_, denominator) in zip(field.matmul(by[None], stacked), frontier, strict=True):
                common = math.gcd(denominator * by_denominator, *product.ravel().tolist())
                element = (product // common, denominator * by_denominator // common)
                key = _key(*element)
                if key not in known:
                    known[key] = element
                    fresh.append(element)
                    _within(limit, len(known))
        frontier = fresh
    denominator = math.lcm(*(each for _, each in known.values()))
    return exact(np.stack([top * (denominator // bottom) for top, bottom in known.values()])), denominator


def _key(numerators: Exact, denominator: int) -> tuple[int, ...]:
    return (denominator, *numerators.ravel().tolist())


def _float_generators(tables: list[list[list[Any]]], tolerance: float) -> npt.NDArray[Any]:
    try:
        generators = np.array(tables, np.complex128)
    except TypeError:
        raise TypeError("generators must hold numbers.") from None
    for index, generator in enumerate(generators):
        # The eigenvalues of an element of a finite group are roots of unity.
        if not np.all(np.isfinite(generator)) or np.any(
            np.abs(np.abs(np.linalg.eigvals(generator)) - 1) > math.sqrt(tolerance)
        ):
            raise ValueError(
                f"generator {index} (={shown(generator)}) must have finite order, and so eigenvalues of modulus 1."
            )
    return generators if np.any(generators.imag) else generators.real.copy()


def _float_closure(generators: npt.NDArray[Any], limit: int, tolerance: float) -> npt.NDArray[Any]:
    known = np.eye(generators.shape[1], dtype=generators.dtype)[None]
    frontier = known
    while len(frontier):
        start = len(known)
        for product in itertools.chain.from_iterable(generator @ frontier for generator in generators):
            if np.abs(known - product).max(axis=(1, 2)).min() > tolerance:
                known = np.concatenate([known, product[None]])
                _within(limit, len(known), f", or tolerance (={tolerance:g}): entries may differ by rounding")
        frontier = known[start:]
    return known


def _within(limit: int, number: int, otherwise: str = "") -> None:
    if number > limit:
        raise ValueError(
            f"limit (={limit}) must be at least the order of the group, which is larger and may be infinite. "
            f"Check the generators, or raise limit{otherwise}."
        )
