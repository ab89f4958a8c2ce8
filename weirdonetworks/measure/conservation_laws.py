"""How many conservation laws gradient flow has: bounds from both sides that certify the known families as all.

A network's outputs depend on its parameters through some polynomials phi_1, phi_2, ... alone: for linear units the
entries of the product of the weights, for ReLU units the products of weights along each path. Whatever data and loss,
gradient flow moves the parameters within the span of the gradients of these, so a conserved quantity h has

    grad h(w) . X(w) = 0    for X = grad phi_i, for the brackets [X, Y] = DY X - DX Y of two such fields, and so on,

and the number of independent ones is D - dim Lie(grad phi_1, grad phi_2, ...)(w) at a generic w, of D parameters
(Marcotte, Gribonval & Peyre, Abide by the law and follow the flow: conservation laws for gradient flows, 2023). The
rank of the fields, their first brackets and some second ones bounds it from above. From below it is bounded by the
laws that are quadratic, `h(w) = w M w`: the matrices M are the solutions of linear equations. Ranks are computed modulo
a prime at random w: they are the generic ones, but with a probability of about the degree over the prime.
"""

import collections
import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra import modular
from weirdonetworks.algebra.arrays import Ints

PRIME = modular.prime_below(modular.LARGEST)
FIELDS = 150  # Of more fields, as many random combinations are taken, which spans no more.
SECOND = 3  # Second brackets for each parameter.
LARGEST_CHAIN = 120  # Parameters: the quadratic laws have as many unknowns as pairs of them.
ACTIVATIONS = ("linear", "relu")


@dataclasses.dataclass(frozen=True)
class LawCount:
    """Bounds on the number of independent conservation laws.

    >>> count = LawCount(parameters=9, quadratic=3, at_most=3)
    >>> count.is_complete
    True

    Attributes:
      parameters: The number of parameters.
      quadratic: The number of independent quadratic laws, such as the balances of units: a lower bound.
      at_most: The number of parameters less the rank of the fields and their brackets: an upper bound.
    """

    parameters: int
    quadratic: int
    at_most: int

    @property
    def is_complete(self) -> bool:
        """Whether the quadratic laws are all there are."""
        return self.quadratic == self.at_most


def count_laws(
    chain: Sequence[Sequence[int] | npt.NDArray[np.bool_]],
    activation: str = "relu",
    *,
    biases: bool = False,
    seed: int = 0,
) -> LawCount:
    """Counts the conservation laws of gradient flow of a chain of dense layers, whatever data and loss.

    >>> count_laws([(2, 3), (3, 1)])  # One for each hidden unit: |in|^2 - |out|^2.
    LawCount(parameters=9, quadratic=3, at_most=3)
    >>> count_laws([(2, 2), (2, 1)], "linear")  # in^T in - out out^T, a symmetric matrix.
    LawCount(parameters=6, quadratic=3, at_most=3)

    Args:
      chain: The shape `(inputs, outputs)` of each layer's weight, or its mask: weights that are cut are no parameters.
      activation: Of the hidden units, `relu` or `linear`.
      biases: Whether the layers have biases.
      seed: Seed of the random parameters.

    Returns:
      The bounds; equal ones are the number.

    Raises:
      ValueError: If the activation is unknown, the layers do not fit, or there are too many parameters.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation (={activation!r}) must be one of {', '.join(ACTIVATIONS)}.")
    masks = [each.astype(bool) if isinstance(each, np.ndarray) else np.ones(tuple(each), bool) for each in chain]
    if not masks or any(mask.ndim != 2 for mask in masks):
        raise ValueError(
            f"chain (of {len(masks)} layers) must hold the shapes (inputs, outputs) of one or more layers."
        )
    for before, after in itertools.pairwise(masks):
        if before.shape[1] != after.shape[0]:
            raise ValueError(
                f"chain: a layer of {after.shape[0]} inputs must not follow one of {before.shape[1]} units."
            )
    size = sum(int(mask.sum()) + biases * mask.shape[1] for mask in masks)
    if not 1 <= size <= LARGEST_CHAIN:
        raise ValueError(f"chain (of {size} parameters) must have 1 to {LARGEST_CHAIN}.")
    polynomials = _polynomials(masks, activation, biases)
    rng = np.random.default_rng(seed)
    quadratic = _quadratic(polynomials, size, rng)
    return LawCount(size, quadratic, size - _rank_of_flow(polynomials, size, rng, size - quadratic))


Monomials = list[tuple[int, ...]]  # Each a product of distinct parameters.
Pair = tuple[int, int]


def _polynomials(masks: Sequence[npt.NDArray[np.bool_]], activation: str, biases: bool) -> list[Monomials]:
    """Lists the polynomials on which the outputs depend, each a sum of paths from an input or a bias to an output."""
    count = 0
    paths: dict[int, list[tuple[object, tuple[int, ...]]]] = {
        unit: [(("input", unit), ())] for unit in range(masks[0].shape[0])
    }
    for layer, mask in enumerate(masks):
        following: dict[int, list[tuple[object, tuple[int, ...]]]] = {unit: [] for unit in range(mask.shape[1])}
        for read, written in np.argwhere(mask).tolist():
            following[written] += [(start, (*path, count)) for start, path in paths[read]]
            count += 1
        if biases:
            for unit in following:
                # The constants of all layers of a linear network add up.
                start: object = "bias" if activation == "linear" else ("bias", layer, unit)
                following[unit].append((start, (count,)))
                count += 1
        paths = following
    if activation == "relu":
        return [[path] for own in paths.values() for _, path in own]
    found: dict[object, Monomials] = {}
    for unit, own in paths.items():
        for start, path in own:
            found.setdefault((start, unit), []).append(path)
    return list(found.values())


def _rank_of_flow(polynomials: Sequence[Monomials], size: int, rng: np.random.Generator, enough: int) -> int:
    """Computes the rank of the gradients and their first brackets at random parameters, and of some second ones.

    Args:
      polynomials: The polynomials whose gradients these are.
      size: The number of parameters.
      rng: The random generator.
      enough: The rank that it cannot exceed; second brackets are computed where the first do not reach it.
    """
    point = rng.integers(1, PRIME, size)
    gradients, hessians = _derivatives(polynomials, point)
    if len(polynomials) > FIELDS:
        combined = rng.integers(PRIME, size=(FIELDS, len(polynomials)))
        first_fields = modular.matmul(combined, gradients, PRIME)
        fields = modular.matmul(combined, hessians.reshape(len(hessians), -1), PRIME).reshape(-1, size, size)
    else:
        first_fields, fields = gradients, hessians
    # Row i of entry j is H_j g_i.
    moved = np.stack([modular.matmul(first_fields, each, PRIME) for each in fields])
    first, second = np.triu_indices(len(first_fields), 1)
    brackets = (moved[second, first] - moved[first, second]) % PRIME
    _, rows = modular.echelon(np.concatenate([first_fields, brackets]), PRIME)
    if len(rows) < enough:
        drawn = rng.integers(len(polynomials), size=(SECOND * size, 3))
        further = [_second_bracket(polynomials, gradients, hessians, point, *each) for each in drawn.tolist()]
        _, rows = modular.echelon(np.concatenate([rows, np.array(further)]), PRIME)
    return len(rows)


def _second_bracket(
    polynomials: Sequence[Monomials], gradients: Ints, hessians: Ints, point: Ints, x: int, y: int, z: int
) -> Ints:
    """Computes `[[X, Y], Z]` of the gradients of three of the polynomials: `DZ [X, Y] - D[X, Y] Z`."""

    def times(matrix: Ints, vector: Ints) -> Ints:
        return modular.matmul(matrix, vector[:, np.newaxis], PRIME)[:, 0]

    bracket = (times(hessians[y], gradients[x]) - times(hessians[x], gradients[y])) % PRIME
    moved = _third(polynomials[y], point, gradients[x], gradients[z])
    moved = moved + times(hessians[y], times(hessians[x], gradients[z]))
    moved = moved - _third(polynomials[x], point, gradients[y], gradients[z])
    moved = moved - times(hessians[x], times(hessians[y], gradients[z]))
    return np.asarray((times(hessians[z], bracket) - moved) % PRIME)


def _third(monomials: Monomials, point: Ints, one: Ints, other: Ints) -> Ints:
    """Contracts the third derivatives of a polynomial with two vectors."""
    found = [0] * len(point)
    values, first, second = point.tolist(), one.tolist(), other.tolist()
    for path in monomials:
        for own, a, b in itertools.permutations(path, 3):
            rest = [each for each in path if each not in (own, a, b)]
            found[own] += _product(values, rest) * (first[a] * second[b] % PRIME) % PRIME
    return np.array(found, np.intp) % PRIME


def _quadratic(polynomials: Sequence[Monomials], size: int, rng: np.random.Generator) -> int:
    """Counts the independent laws `w M w`: the rank of the vectors M w, over all M with `grad phi . M w = 0`."""
    laws = _symmetric_matrices(_equations(polynomials, size), size)
    point = rng.integers(1, PRIME, size)[:, np.newaxis]
    moved = [modular.matmul(law, point, PRIME)[:, 0] for law in laws]
    return len(modular.echelon(np.array(moved, np.intp).reshape(-1, size), PRIME)[0])


def _equations(polynomials: Sequence[Monomials], size: int) -> set[frozenset[tuple[Pair, int]]]:
    """Lists the equations of the entries of M: each coefficient of each `grad phi . M w`, a polynomial of w, is 0.

    Returns:
      For each equation the entries, `(row, column)` with row <= column, and their coefficients.
    """
    found = set()
    for monomials in polynomials:
        coefficients: dict[tuple[int, ...], collections.Counter[Pair]] = {}
        for path in monomials:
            for place, row in enumerate(path):
                rest = path[:place] + path[place + 1 :]
                for column in range(size):
                    monomial = tuple(sorted((*rest, column)))
                    coefficients.setdefault(monomial, collections.Counter())[min(row, column), max(row, column)] += 1
        found |= {frozenset(each.items()) for each in coefficients.values()}
    return found


def _symmetric_matrices(equations: set[frozenset[tuple[Pair, int]]], size: int) -> list[Ints]:
    """Solves the equations of the entries of symmetric matrices; returns a basis modulo the prime."""
    zero: set[Pair] = set()
    while True:  # Most equations say of one entry that it is 0.
        single = {entry for equation in equations if len(equation) == 1 for entry, _ in equation}
        if not single:
            break
        zero |= single
        equations = {frozenset(item for item in equation if item[0] not in single) for equation in equations} - {
            frozenset()
        }
    entries = [(i, j) for i in range(size) for j in range(i, size) if (i, j) not in zero]
    place = {entry: index for index, entry in enumerate(entries)}
    matrix = np.zeros((len(equations), len(entries)), np.intp)
    for number, equation in enumerate(equations):
        for entry, coefficient in equation:
            matrix[number, place[entry]] = coefficient
    _, vectors = modular.kernel(matrix, PRIME)
    found = np.zeros((len(vectors), size, size), np.intp)
    for index, (i, j) in enumerate(entries):
        found[:, i, j] = found[:, j, i] = vectors[:, index]
    return list(found)


def _derivatives(polynomials: Sequence[Monomials], point: Ints) -> tuple[Ints, Ints]:
    """Computes gradients and Hessians modulo the prime, `[polynomials, size]` and `[polynomials, size, size]`."""
    gradients = np.zeros((len(polynomials), len(point)), np.intp)
    hessians = np.zeros((len(polynomials), len(point), len(point)), np.intp)
    values = point.tolist()
    for index, monomials in enumerate(polynomials):
        for path in monomials:
            for place, own in enumerate(path):
                rest = path[:place] + path[place + 1 :]
                gradients[index, own] += _product(values, rest)
                for inner, other in enumerate(rest):
                    hessians[index, own, other] += _product(values, rest[:inner] + rest[inner + 1 :])
    return gradients % PRIME, hessians % PRIME


def _product(values: Sequence[int], chosen: Sequence[int]) -> int:
    found = 1
    for each in chosen:
        found = found * values[each] % PRIME
    return found
