"""How many conservation laws gradient flow has: bounds from both sides that certify the known families as all.

A network's outputs depend on its parameters through some polynomials phi_1, phi_2, ... alone: for linear units the
entries of the product of the weights, for ReLU units the products of weights along each path, for attention the entries
of the product of queries and keys, and of values and outputs (`path_polynomials`). Whatever data and loss, gradient
flow moves the parameters within the span of the gradients of these, so a conserved quantity h has

    grad h(w) . X(w) = 0    for X = grad phi_i, for the brackets [X, Y] = DY X - DX Y of two such fields, and so on,

and the number of independent ones is D - dim Lie(grad phi_1, grad phi_2, ...)(w) at a generic w, of D parameters
(Marcotte, Gribonval & Peyre, Abide by the law and follow the flow: conservation laws for gradient flows, 2023; for
residual networks and attention the same, Transformative or conservative?, 2025). The rank of the fields, their first
brackets and some second ones bounds it from above, where the data are rich enough that the flow spans the gradients.
From below it is bounded by the laws that are quadratic or linear, `h(w) = w M w + u w`: the M and u are the solutions
of linear equations. Ranks are computed modulo a prime at random w: they are the generic ones, but with a probability of
about the degree over the prime.
"""

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra import modular
from weirdonetworks.algebra.arrays import Ints, at_least, listed, truth
from weirdonetworks.measure.conserved.losses import Loss, ignores_translations
from weirdonetworks.measure.conserved.path_polynomials import (
    PRIME,
    Calculation,
    Polynomial,
    Product,
    Sum,
    of_differences,
    of_model,
    parameters,
)
from weirdonetworks.measure.unit_tracing.traced_call import Trace
from weirdonetworks.nets.inputs import checked_choice

FIELDS = 150  # Of more fields, as many random combinations are taken, which spans no more.
SECOND = 3  # Second brackets for each parameter.
LARGEST = 120  # Parameters: the quadratic laws have as many unknowns as pairs of them.
ACTIVATIONS = ("linear", "relu")


@dataclasses.dataclass(frozen=True)
class LawCount:
    """Bounds on the number of independent conservation laws.

    >>> count = LawCount(parameters=9, quadratic=3, at_most=3)
    >>> count.is_complete
    True

    Attributes:
      parameters: The number of parameters.
      quadratic: The number of independent laws that are quadratic, such as the balances of units, or linear, such as
        the sums over the classes of a softmax: a lower bound.
      at_most: The number of parameters less the rank of the fields and their brackets: an upper bound.
      unread: The numbers, from 0, of the parameters that no output depends on, such as the bias of an attention layer's
        keys. Each is conserved by itself, and counted in both. `count_laws` numbers the weights of all layers that are
        not cut, each layer row by row, then all biases; `count_model_laws` the trainable variables in the
        order in which the model first reads them.
    """

    parameters: int
    quadratic: int
    at_most: int
    unread: tuple[int, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the quadratic and linear laws are all there are."""
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
    LawCount(parameters=9, quadratic=3, at_most=3, unread=())
    >>> count_laws([(2, 2), (2, 1)], "linear").at_most  # in^T in - out out^T, a symmetric matrix.
    3

    Args:
      chain: The shape `(inputs, outputs)` of each layer's weight, or its mask: weights that are cut are no parameters.
      activation: Of the hidden units, `relu` or `linear`.
      biases: Whether the layers have biases.
      seed: Seed of the random parameters.

    Returns:
      The bounds; equal ones are the number.

    Raises:
      TypeError: If the chain is no list of shapes or masks.
      ValueError: If the activation is unknown, the layers do not fit, or there are too many parameters.
    """
    checked_choice("activation", activation, ACTIVATIONS)
    biases = truth("biases", biases)
    masks = [_mask(each) for each in listed("chain", chain, "shapes (inputs, outputs), or masks")]
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
    _check_size("chain", size)
    calculation = Calculation()
    units = calculation.new([masks[0].shape[0]])
    kept, offsets = np.split(parameters([[size]])[0], [sum(int(mask.sum()) for mask in masks)])
    for layer, mask in enumerate(masks):
        weight = np.full(mask.shape, Sum({}), object)
        weight[mask], kept = np.split(kept, [mask.sum()])[0], kept[mask.sum() :]
        units = np.asarray(units @ weight)
        if biases:
            units, offsets = units + offsets[: mask.shape[1]], offsets[mask.shape[1] :]
        if activation == "relu" and layer < len(masks) - 1:
            units = calculation.gated(units)
    calculation.note(units)
    return count_fields(calculation.found, size, seed)


def count_model_laws(
    model: Any, *example_inputs: Any, loss: Loss | None = None, seed: int = 0, **options: Any
) -> LawCount:
    """Counts the conservation laws of gradient flow of a small model, whatever data.

    Dense layers, convolutions, residual sums and attention are followed, with ReLU or any smooth activation of each
    unit by itself, and masks that the data do not decide; norms are not. Zero as an initial value says nothing: all
    trainable parameters are counted.

    >>> import sonnet as snt
    >>> import tensorflow as tf
    >>> count_model_laws(snt.nets.MLP([3, 1]), tf.ones([1, 2]))
    LawCount(parameters=13, quadratic=3, at_most=3, unread=())

    Args:
      model: A module, a Keras model, or a function that reads variables.
      *example_inputs: Arguments of a call; one example is enough.
      loss: The loss, of labels and outputs. One that is the same when all classes are translated, as the softmax
        cross-entropy, conserves the sums over the classes. None for any loss.
      seed: Seed of the random parameters.
      **options: Keyword arguments of the call.

    Returns:
      The bounds; equal ones are the number.

    Raises:
      TypeError: If the model cannot be called.
      ValueError: If it has an operation that cannot be followed, or too many parameters.
    """
    call = Trace.of(model, example_inputs, options)
    return count_call_laws(call, loss, seed)


def count_call_laws(call: Trace, loss: Loss | None = None, seed: int = 0) -> LawCount:
    """Counts the conservation laws of a traced call; see `count_model_laws`."""
    size = sum(math.prod(each.shape) for each in call.variables if each.trainable)
    _check_size("model", size)
    calculation = Calculation()
    results = of_model(call, calculation)
    translated = loss is not None and len(results) == 1 and ignores_translations(loss, results[0].shape)
    for each in results:
        calculation.note(of_differences(each) if translated else each)
    return count_fields(calculation.found, size, seed)


def count_fields(polynomials: Iterable[Polynomial], size: int, seed: int) -> LawCount:
    """Counts the laws of a flow along the gradients of polynomials of `size` parameters."""
    listed = [dict(each) for each in sorted(map(sorted, polynomials))]
    rng = np.random.default_rng(at_least("seed", seed, 0))
    read = {own for each in listed for product in each for own in product}
    quadratic = _quadratic(listed, size, rng)
    rank = _rank_of_flow(listed, size, rng, size - quadratic) if listed else 0
    return LawCount(size, quadratic, size - rank, tuple(sorted(set(range(size)) - read)))


def _mask(layer: Sequence[int] | npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Returns a layer's mask, or that of a whole layer of a shape."""
    if isinstance(layer, np.ndarray):
        return layer.astype(bool)
    return np.ones([at_least("chain", size, 0) for size in listed("chain", layer, "sizes, of each layer")], bool)


def _check_size(name: str, size: int) -> None:
    if not 1 <= size <= LARGEST:
        raise ValueError(f"{name} (of {size} parameters) must have 1 to {LARGEST}.")


Coefficients = dict[Product, int]  # Of products of parameters, in a polynomial.
Pair = tuple[int, int]


def _rank_of_flow(polynomials: Sequence[Coefficients], size: int, rng: np.random.Generator, enough: int) -> int:
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


def _quadratic(polynomials: Sequence[Coefficients], size: int, rng: np.random.Generator) -> int:
    """Counts the independent laws `w M w + u w`, which `grad phi . (2 M w + u) = 0`: the rank of these vectors."""
    laws = _symmetric_matrices(_equations(polynomials, size), size)
    point = np.append(rng.integers(1, PRIME, size), 1)[:, np.newaxis]
    moved = [modular.matmul(law, point, PRIME)[:, 0] for law in laws]
    return len(modular.echelon(np.array(moved, np.intp).reshape(-1, size), PRIME)[0])


def _equations(polynomials: Sequence[Coefficients], size: int) -> set[frozenset[tuple[Pair, int]]]:
    """Lists the equations of M and u: each coefficient of each `grad phi . (2 M w + u)`, a polynomial of w, is 0.

    Returns:
      For each equation the entries, `(row, column)` with row <= column, and their coefficients; column `size` is u.
    """
    found = set()
    for polynomial in polynomials:
        coefficients: dict[Product, collections.Counter[Pair]] = {}
        for path, coefficient in polynomial.items():
            for place, row in enumerate(path):
                rest = path[:place] + path[place + 1 :]
                for column in range(size + 1):
                    product = tuple(sorted((*rest, column))) if column < size else rest
                    entries = coefficients.setdefault(product, collections.Counter())
                    entries[min(row, column), max(row, column)] += coefficient
        found |= {frozenset(each.items()) for each in coefficients.values()}
    return found


def _symmetric_matrices(equations: set[frozenset[tuple[Pair, int]]], size: int) -> list[Ints]:
    """Solves the equations of M and u; returns a basis of `[M, u]`, `[size, size + 1]`, modulo the prime."""
    zero: set[Pair] = set()
    while True:  # Most equations say of one entry that it is 0.
        single = {entry for equation in equations if len(equation) == 1 for entry, _ in equation}
        if not single:
            break
        zero |= single
        equations = {frozenset(item for item in equation if item[0] not in single) for equation in equations} - {
            frozenset()
        }
    entries = [(i, j) for i in range(size) for j in range(i, size + 1) if (i, j) not in zero]
    place = {entry: index for index, entry in enumerate(entries)}
    matrix = np.zeros((len(equations), len(entries)), np.intp)
    for number, equation in enumerate(equations):
        for entry, coefficient in equation:
            matrix[number, place[entry]] = coefficient % PRIME
    _, vectors = modular.kernel(matrix, PRIME)
    found = np.zeros((len(vectors), size + 1, size + 1), np.intp)
    for index, (i, j) in enumerate(entries):
        found[:, i, j] = found[:, j, i] = vectors[:, index]
    return list(found[:, :size])


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
