"""How many conservation laws gradient flow has: bounds from both sides that certify the known families as all.

A network's outputs depend on its parameters through some polynomials phi_1, phi_2, ... alone: for linear units the
entries of the product of the weights, for ReLU units the products of weights along each path, for attention the entries
of the product of queries and keys, and of values and outputs (`path_polynomials`). Of paths through ReLUs, it is their
sums over the paths that are active together (`activation_patterns`), one by one only where inputs make them active
independently of each other. Whatever data and loss, gradient flow moves the parameters within the span of the gradients
of these, so a conserved quantity h has

    grad h(w) . X(w) = 0    for X = grad phi_i, for the brackets [X, Y] = DY X - DX Y of two such fields, and so on,

and the number of independent ones is D - dim Lie(grad phi_1, grad phi_2, ...)(w) at a generic w, of D parameters
(Marcotte, Gribonval & Peyre, Abide by the law and follow the flow: conservation laws for gradient flows, 2023; for
residual networks and attention the same, Transformative or conservative?, 2025). The rank of the fields, their first
brackets and some second ones bounds it from above, where the data are rich enough that the flow spans the gradients:
inputs in all directions and scales, so that ReLUs have the patterns that some inputs give them, and any labels.
From below it is bounded by the laws that are quadratic or linear, `h(w) = w M w + u w`, whatever the patterns: the M
and u are the solutions of linear equations. Ranks are computed modulo a prime at random w: they are the generic ones,
but with a probability of about the degree over the prime; at special w, such as equal units, more is conserved.
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
from weirdonetworks.algebra.arrays import Ints, at_least, brief, listed, reals, truth
from weirdonetworks.measure.conserved.activation_patterns import Rows, of_call, of_chain, reached, rows
from weirdonetworks.measure.conserved.flow_rank import Coefficients, rank_of_flow
from weirdonetworks.measure.conserved.losses import Loss, ignores_translations
from weirdonetworks.measure.conserved.path_polynomials import (
    PRIME,
    Active,
    Calculation,
    Polynomial,
    Product,
    Sum,
    of_differences,
    of_model,
    parameters,
)
from weirdonetworks.measure.models import check_finite
from weirdonetworks.measure.unit_tracing.traced_call import Trace
from weirdonetworks.nets.inputs import checked_choice, checked_function

LARGEST = 120  # Parameters: the quadratic laws have as many unknowns as pairs of them.
TRIES = 50  # Draws of a chain's weights.
ACTIVATIONS = ("linear", "relu")
LAYERS = "shapes (inputs, outputs), or masks; count_model_laws takes models"


@dataclasses.dataclass(frozen=True)
class LawCount:
    """Bounds on the number of independent conservation laws; both hold, whether they are equal or not.

    >>> count = LawCount(parameters=9, quadratic=3, at_most=3)
    >>> count.is_complete
    True

    Attributes:
      parameters: The number of parameters.
      quadratic: The number of independent laws that are quadratic, such as the balances of units, or linear, such as
        the sums over the classes of a softmax, at all weights: a lower bound.
      at_most: The number of parameters less the rank of the fields and their brackets, for the patterns of active ReLUs
        that occur at some weights: an upper bound at these.
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
        """Whether the quadratic and linear laws are known to be all there are."""
        return self.quadratic == self.at_most


def count_laws(
    chain: Sequence[npt.ArrayLike],
    activation: str = "relu",
    *,
    biases: bool = False,
    seed: int = 0,
) -> LawCount:
    """Counts the conservation laws of gradient flow of a chain of dense layers, whatever data and loss.

    Of ReLUs, at weights at which inputs make them active as independently of each other as at any of 50 draws. At other
    weights there can be more laws: above a ReLU, positive weights keep the next ReLUs active, so that they are linear
    units, and negative ones shut them. `count_model_laws` counts at a model's own weights. With one input and no biases
    ReLUs are never independent, and the bounds differ.

    >>> count_laws([(2, 3), (3, 1)])  # One for each hidden unit: |in|^2 - |out|^2.
    LawCount(parameters=9, quadratic=3, at_most=3, unread=())
    >>> count_laws([(2, 2), (2, 1)], "linear").at_most  # in^T in - out out^T, a symmetric matrix.
    3

    Args:
      chain: The shape `(inputs, outputs)` of each layer's weight, or its mask: weights that are cut, 0, are no
        parameters.
      activation: Of the hidden units, `relu` or `linear`.
      biases: Whether the layers have biases.
      seed: Seed of the random parameters, at least 0.

    Returns:
      The bounds; equal ones are the number.

    Raises:
      TypeError: If the chain is no list of shapes or masks, or another argument of another type.
      ValueError: If the activation is unknown, the layers do not fit, or there are too many parameters.
    """
    checked_choice("activation", activation, ACTIVATIONS)
    biases = truth("biases", biases)
    seed = at_least("seed", seed, 0)
    masks = [_mask(each) for each in listed("chain", chain, LAYERS)]
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
    free = count_fields(calculation.found, calculation.found, size, seed)
    if not calculation.inactive:
        return free
    spans = _widest(calculation, masks, biases, seed)
    if all(len(products) == len(own) for products, own in spans.items()):
        return free
    return count_fields(calculation.found, reached(calculation, spans), size, seed)


def _widest(calculation: Calculation, masks: Sequence[npt.NDArray[np.bool_]], biases: bool, seed: int) -> Rows:
    """Draws weights and returns the rows of factors at those that have most of them."""
    rng = np.random.default_rng(seed)
    best: Rows = {}
    for _ in range(TRIES):
        spans = rows(calculation, of_chain(masks, biases, rng))
        best = max(best, spans, key=lambda each: sum(map(len, each.values())))
        if all(len(products) == len(own) for products, own in best.items()):
            break
    return best


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

    Which ReLUs are active together is found at the weights that the model has, with zeros drawn close to zero, for
    random inputs of the example's shape, of scales from 1e-4 to 1e4. So `at_most` is that of these weights and those
    nearby, for data of all directions and scales; what such inputs miss could only make it smaller. At these weights
    the balances of one input and no biases are not all, for instance:

    >>> model = snt.nets.MLP([2, 1], with_bias=False, w_init=snt.initializers.Constant(0.5))
    >>> count_model_laws(model, tf.ones([1, 1]))
    LawCount(parameters=4, quadratic=2, at_most=3, unread=())

    Args:
      model: A module, a Keras model, or a function that reads variables.
      *example_inputs: Arguments of a call; one example is enough.
      loss: The loss, of labels and outputs. One that is the same when all classes are translated, as the softmax
        cross-entropy, conserves the sums over the classes. None for any loss.
      seed: Seed of the random parameters and inputs, at least 0.
      **options: Keyword arguments of the call.

    Returns:
      The bounds; equal ones are the number.

    Raises:
      TypeError: If the model cannot be called, or the loss is no function.
      ValueError: If it has an operation that cannot be followed, too many parameters, or weights of NaN or infinity.
    """
    seed = at_least("seed", seed, 0)
    if loss is not None:
        checked_function("loss", loss)
    return count_call_laws(Trace.of(model, example_inputs, options), loss, seed)


def count_call_laws(call: Trace, loss: Loss | None = None, seed: int = 0) -> LawCount:
    """Counts the conservation laws of a traced call; see `count_model_laws`."""
    size = sum(math.prod(each.shape) for each in call.variables if each.trainable)
    _check_size("model", size)
    check_finite((name, each.numpy()) for name, each in zip(call.names, call.variables, strict=True) if each.trainable)
    calculation = Calculation()
    active = _note_outputs(call, loss, calculation)
    polynomials = moving = calculation.found
    if active:
        patterns = of_call(call, active, np.random.default_rng(seed))
        always = set(np.flatnonzero(patterns.all(axis=0)).tolist())
        if not always.isdisjoint(calculation.bent):
            calculation = Calculation(always)
            _note_outputs(call, loss, calculation)
        moving = reached(calculation, rows(calculation, patterns))
    return count_fields(polynomials, moving, size, seed)


def _note_outputs(call: Trace, loss: Loss | None, calculation: Calculation) -> list[Active]:
    """Notes the polynomials of a call's outputs; returns what tells which ReLUs are active."""
    results, active = of_model(call, calculation)
    translated = loss is not None and len(results) == 1 and ignores_translations(loss, results[0].shape)
    for each in results:
        calculation.note(of_differences(each) if translated else each)
    return active


def count_fields(polynomials: Iterable[Polynomial], moving: Iterable[Polynomial], size: int, seed: int) -> LawCount:
    """Counts the laws of a flow along gradients of polynomials of `size` parameters.

    Args:
      polynomials: Those on which outputs may depend, for the laws that are quadratic or linear.
      moving: Those along whose gradients parameters do move, in the span of the former, for the upper bound.
      size: The number of parameters.
      seed: Seed of the random parameters.
    """
    every, moved = ([dict(each) for each in sorted(map(sorted, own))] for own in (polynomials, moving))
    rng = np.random.default_rng(at_least("seed", seed, 0))
    read = {own for each in every for product in each for own in product}
    quadratic = _quadratic(every, size, rng)
    rank = rank_of_flow(moved, size, rng, size - quadratic) if moved else 0
    return LawCount(size, quadratic, size - rank, tuple(sorted(set(range(size)) - read)))


def _mask(layer: Any) -> npt.NDArray[np.bool_]:
    """Returns a layer's mask, or that of a whole layer of a shape."""
    if not hasattr(layer, "__array__"):
        layer = listed("chain", layer, LAYERS)
        if not any(map(np.iterable, layer)):
            return np.ones([at_least("chain", size, 1) for size in layer], bool)
    mask = reals("chain", layer)
    if not np.isfinite(mask).all():
        raise ValueError(
            f"chain (={brief(layer)}) must hold masks of finite numbers: 0 for what is cut, 1 for the rest."
        )
    return mask != 0


def _check_size(name: str, size: int) -> None:
    if not 1 <= size <= LARGEST:
        raise ValueError(f"{name} (of {size} parameters) must have 1 to {LARGEST}.")


Pair = tuple[int, int]


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
