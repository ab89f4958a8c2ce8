"""The rank of the gradients of polynomials and of their brackets, modulo a prime."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from weirdonetworks.algebra import modular
from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.measure.conserved.path_polynomials import PRIME, Product

Coefficients: TypeAlias = Mapping[Product, int]  # Of products of parameters, in a polynomial.

FIELDS = 150  # Of more fields, as many random combinations are taken, which spans no more.
SECOND = 3  # Second brackets for each parameter.


def rank_of_flow(polynomials: Sequence[Coefficients], size: int, rng: np.random.Generator, enough: int) -> int:
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
    polynomials: Sequence[Coefficients], gradients: Ints, hessians: Ints, point: Ints, x: int, y: int, z: int
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


def _third(polynomial: Coefficients, point: Ints, one: Ints, other: Ints) -> Ints:
    """Contracts the third derivatives of a polynomial with two vectors."""
    found = [0] * len(point)
    values, first, second = point.tolist(), one.tolist(), other.tolist()
    for path, coefficient in polynomial.items():
        for places in itertools.permutations(range(len(path)), 3):
            own, a, b = (path[place] for place in places)
            rest = [each for place, each in enumerate(path) if place not in places]
            found[own] += coefficient * _product(values, rest) % PRIME * (first[a] * second[b] % PRIME) % PRIME
    return np.array(found, np.intp) % PRIME


def _derivatives(polynomials: Sequence[Coefficients], point: Ints) -> tuple[Ints, Ints]:
    """Computes gradients and Hessians modulo the prime, `[polynomials, size]` and `[polynomials, size, size]`."""
    gradients = np.zeros((len(polynomials), len(point)), np.intp)
    hessians = np.zeros((len(polynomials), len(point), len(point)), np.intp)
    values = point.tolist()
    for index, polynomial in enumerate(polynomials):
        for path, coefficient in polynomial.items():
            for place, own in enumerate(path):
                rest = path[:place] + path[place + 1 :]
                gradients[index, own] += coefficient * _product(values, rest) % PRIME
                for inner, other in enumerate(rest):
                    product = _product(values, rest[:inner] + rest[inner + 1 :])
                    hessians[index, own, other] += coefficient * product % PRIME
    return gradients % PRIME, hessians % PRIME


def _product(values: Sequence[int], chosen: Sequence[int]) -> int:
    found = 1
    for each in chosen:
        found = found * values[each] % PRIME
    return found
