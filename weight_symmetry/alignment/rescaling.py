"""A model among those that its rescalings and sign flips make of it: the one of least norm, with positive sums."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from weirdonetworks.measure.rescalings import Scalings, scalings
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_layout import Floats, Group

SWEEPS = 200  # Over all sets of units; neighbouring layers change each other's norms.
SETTLED = 1e-9  # Logarithms of factors that are smaller are no change.
HALVINGS = 60  # Of the interval in which the logarithm of a factor is sought.
WIDEST = 30.0  # The largest logarithm of a factor.


def normalise(model: Any, *example_inputs: Any, **options: Any) -> None:
    """Rescales and flips the units of a model, by what leaves its function as it is, to a form that is unique.

    A unit whose weights may be multiplied by `a^e_g`, e_g the exponent of each group g, gets the factor for which the
    squared norm `sum_g a^(2 e_g) |w_g|^2` is least. So of ReLU, incoming weights and bias have the norm of the outgoing
    weights: the conserved quantities of gradient flow are zero (Neyshabur, Salakhutdinov & Srebro 2015). Where all
    exponents have one sign, as before a norm, all units of a set get the same norm. A unit whose sign may be flipped,
    as of tanh, gets a positive sum of incoming weights.

    Two models that differ by permutations, rescalings and flips then differ by permutations alone.

    >>> import sonnet as snt
    >>> model, inputs = snt.Sequential([snt.Linear(3), tf.nn.relu, snt.Linear(2)]), tf.ones([1, 4])
    >>> _ = model(inputs)
    >>> normalise(model, inputs)
    >>> into, out = model.trainable_variables[1], model.trainable_variables[3]
    >>> np.allclose(tf.norm(into, axis=0), tf.norm(out, axis=1), rtol=1e-5)
    True

    Args:
      model: A Sonnet or Keras model, or any that `UnitGraph` traces; it is changed.
      *example_inputs: Arguments of a call.
      **options: Its keyword arguments, such as `is_training=False`.

    Raises:
      TypeError, ValueError: As `UnitGraph.trace`, or if a variable holds NaN or infinity.
    """
    graph = UnitGraph.trace(model, *example_inputs, **options)
    found = scalings(graph)
    values = [
        np.asarray(variable.numpy(), np.float64) if variable.dtype.is_floating else None for variable in graph.variables
    ]
    for _ in range(SWEEPS):
        changes = [_rescale(values, each, row) for each in found for row in each.exponents]
        if max(changes, default=0.0) < SETTLED:
            break
    for each in found:
        for row in each.flips:
            _flip(values, each, row)
    for variable, value in zip(graph.variables, values, strict=True):
        if value is not None:
            variable.assign(value)


def _rescale(values: list[Any], of: Scalings, exponents: Floats) -> float:
    """Multiplies the weights of each unit by powers of its factor; returns the largest logarithm of a factor."""
    used = [(group, exponent) for group, exponent in zip(of.groups, exponents, strict=True) if exponent]
    squares = np.stack([group.totals(np.square(values[group.variable]), of.space.size) for group, _ in used])
    powers = 2 * np.array([exponent for _, exponent in used])
    both = (squares[powers > 0].sum(axis=0) > 0) & (squares[powers < 0].sum(axis=0) > 0)
    one_sign = not (powers > 0).any() or not (powers < 0).any()
    if one_sign:
        both = squares.sum(axis=0) > 0
    if not both.any():
        return 0.0
    target = squares.sum(axis=0)[both].mean() if one_sign else 0.0
    low, high = np.full(of.space.size, -WIDEST), np.full(of.space.size, WIDEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        terms = squares * np.exp(powers[:, np.newaxis] * middle)
        # The derivative of the squared norm; or, if it has no minimum, what it exceeds that of the others by.
        slope = (terms.sum(axis=0) - target) * np.sign(powers[0]) if one_sign else powers @ terms
        low, high = np.where(slope < 0, middle, low), np.where(slope < 0, high, middle)
    logarithms = np.where(both, (low + high) / 2, 0.0)
    for group, exponent in used:
        values[group.variable] = group.scaled(values[group.variable], np.exp(exponent * logarithms))
    return float(np.abs(logarithms).max())


def _flip(values: list[Any], of: Scalings, flipped: Sequence[bool]) -> None:
    """Flips the sign of units so that the sum of the weights that write them is positive."""
    groups: list[Group] = [group for group, chosen in zip(of.groups, flipped, strict=True) if chosen]
    writing = [group for group in groups if group.side == "in"] or groups
    sums = sum(group.totals(values[group.variable], of.space.size) for group in writing)
    signs = np.where(np.asarray(sums) < 0, -1.0, 1.0)
    for group in groups:
        values[group.variable] = group.scaled(values[group.variable], signs)
