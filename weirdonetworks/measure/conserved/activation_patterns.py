"""Which ReLUs are active together, and what is left of a network's polynomials where not all patterns of them occur.

Where `sum_i f_i(x) phi_i(w)` has factors f_i(x), products of those of ReLUs, the gradients along which data move w are
those of `sum_i f_i phi_i` for each row f of factors that an input x has. They span the gradients of all phi_i if and
only if the rows have full rank: not with one input and no biases, where each ReLU is active at inputs of one sign, nor
above a ReLU where all weights are positive, so that the next is always active.

Patterns are found by drawing inputs of many scales. One that is missed makes the span smaller, never larger.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra import modular
from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.measure.conserved.path_polynomials import PRIME, Active, Calculation, Polynomial, Product
from weirdonetworks.measure.unit_layout import Floats
from weirdonetworks.measure.unit_tracing.traced_call import Trace

Pattern: TypeAlias = npt.NDArray[np.bool_]  # Whether each factor is active at each input, `[inputs, factors]`.
Rows: TypeAlias = Mapping[tuple[Product, ...], Ints]  # A basis of the rows of each list of products of factors.

DRAWS = 1024  # Inputs.
DECADES = 4  # Their scales are 10^-4 to 10^4.
NEAR = 0.01  # Standard deviation of weights and biases that are drawn in the place of zeros.


def of_call(call: Trace, active: Sequence[Active], rng: np.random.Generator) -> Pattern:
    """Finds the patterns of a traced call at its variables' values; inputs that are no floating-point numbers stay.

    Trainable weights that are exactly zero, as biases are at first, are drawn close to it: training moves them away.
    """
    values = [_near(each, rng) for each in call.variables]
    floating = [each.dtype.is_floating for each in call.inputs]
    draws = DRAWS if any(floating) else 1
    drawn = [scaled(rng, draws, each.shape) for each, own in zip(call.inputs, floating, strict=True) if own]

    def pattern(elements: Sequence[tf.Tensor]) -> tf.Tensor:
        _, *left = elements
        tensors = call.evaluate(
            values, [left.pop(0) if own else each for each, own in zip(call.inputs, floating, strict=True)]
        )
        return tf.concat([tf.reshape(each(tensors), [-1]) for each in active], axis=0)

    elements = (tf.range(draws), *map(tf.constant, drawn))
    # In a graph, not operation by operation.
    mapped = tf.function(lambda *given: tf.map_fn(pattern, given, fn_output_signature=tf.bool), autograph=False)
    return np.asarray(mapped(*elements))


def of_chain(masks: Sequence[npt.NDArray[np.bool_]], biases: bool, rng: np.random.Generator) -> Pattern:
    """Finds the patterns of a chain of dense layers of ReLUs at random weights, and biases if it has any."""
    units = scaled(rng, DRAWS, masks[0].shape[:1])
    found = []
    for mask in masks[:-1]:
        units = units @ (mask * rng.normal(size=mask.shape)) + biases * rng.normal(size=mask.shape[1])
        found.append(units > 0)
        units = np.maximum(units, 0)
    return np.concatenate(found, axis=1)


def scaled(rng: np.random.Generator, draws: int, shape: Sequence[int]) -> Floats:
    """Draws inputs `[draws, *shape]`, half of them with one scale for each input, half with one for each number."""
    decades = rng.uniform(-DECADES, DECADES, (draws, *shape))
    decades[: draws // 2] = rng.uniform(-DECADES, DECADES, (draws // 2, *(1 for _ in shape)))
    return np.asarray(10**decades * rng.normal(size=decades.shape))


def rows(calculation: Calculation, patterns: Pattern) -> Rows:
    """Computes the span of the rows of factors, for each list of products of factors that a calculation has noted."""
    factors = np.where(patterns, 1, calculation.inactive)
    found = {}
    for products in calculation.noted:
        columns = np.ones((len(factors), len(products)), np.intp)
        for place, product in enumerate(products):
            for each in product:
                columns[:, place] = columns[:, place] * factors[:, -1 - each] % PRIME
        found[products] = modular.echelon(columns, PRIME, len(products))[1]
    return found


def reached(calculation: Calculation, spans: Rows) -> set[Polynomial]:
    """Combines the polynomials of a calculation by the rows of factors."""
    found = set()
    for products, lists in calculation.noted.items():
        for row in spans[products].tolist():
            for polynomials in lists:
                combined: dict[Product, int] = {}
                for factor, polynomial in zip(row, polynomials, strict=True):
                    for product, coefficient in polynomial if factor else ():
                        combined[product] = (combined.get(product, 0) + factor * coefficient) % PRIME
                found.add(frozenset(item for item in combined.items() if item[1]))
    return found - {frozenset()}


def _near(variable: tf.Variable, rng: np.random.Generator) -> npt.NDArray[Any]:
    value = np.asarray(variable)
    if not (variable.trainable and variable.dtype.is_floating):
        return value
    value = value.astype(np.float64)
    return np.where(value == 0, NEAR * rng.normal(size=value.shape), value)
