"""Which units may be mixed: their incoming weights times a matrix, and their outgoing ones times its inverse."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from weirdonetworks.measure.conserved.losses import agree
from weirdonetworks.measure.rescalings import Scalings
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_layout import Floats, Group
from weirdonetworks.measure.unit_tracing.axes import units_of

TELLING = 6  # Units are mixed where so many points at which the outputs depend on them say so,
MOST = 40  # of so many that are tried.


def mixes(graph: UnitGraph, found: Scalings, exponents: Floats, apart: Mapping[int, int] | None = None) -> bool:
    """Tests whether units may be mixed: incoming weights times a matrix, outgoing ones times its inverse.

    A matrix is tried with its negative: where all ReLUs are active, or none, one matrix may leave all of them so.

    Args:
      graph: The traced model.
      found: The units.
      exponents: The exponents of their rescaling.
      apart: An axis of each of their variables; None to mix at all of its places alike, else at the first alone.
    """
    if set(np.unique(exponents).tolist()) - {-1.0, 0.0, 1.0}:
        return False
    rng = np.random.default_rng(0)
    telling = 0
    for _ in range(MOST):
        values: list[Floats] = [
            rng.normal(size=each.shape) if each.trainable else np.asarray(each, np.float64) for each in graph.variables
        ]
        inputs = graph.call.draw_inputs(rng)  # Given ones may be alike, such as the tokens of ones.
        before = graph.call.outputs(values, inputs)
        matrix, inverse = _reflection(found.space.size, rng)
        depend = True
        for sign in (1.0, -1.0):
            inward = _mixed(values, found.groups, exponents > 0, sign * matrix.T, apart)
            both = _mixed(inward, found.groups, exponents < 0, sign * inverse, apart)
            if not _agree(graph.call.outputs(both, inputs), before):
                return False
            depend &= not _agree(graph.call.outputs(inward, inputs), before)
        telling += depend
        if telling == TELLING:
            return True
    return False


def _reflection(size: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draws a matrix, a reflection whose columns are scaled, and its inverse."""
    normal = rng.normal(size=(size, 1))
    reflection = np.eye(size) - 2 * normal @ normal.T / np.square(normal).sum()
    factors = rng.uniform(0.5, 2.0, size)
    return reflection * factors, (reflection / factors).T


def _mixed(
    values: Sequence[Floats],
    groups: Sequence[Group],
    chosen: npt.NDArray[np.bool_],
    matrix: Floats,
    apart: Mapping[int, int] | None,
) -> list[Floats]:
    """Multiplies the weights of the chosen groups by a matrix, at all places of an axis or at the first alone."""
    moved = list(values)
    for group in itertools.compress(groups, chosen):
        index = group.variable
        mixed = group.mixed(moved[index], matrix)
        moved[index] = mixed if apart is None else _at_first(mixed, moved[index], apart[index])
    return moved


def _agree(one: Sequence[Floats], other: Sequence[Floats]) -> bool:
    return all(map(agree, one, other))


def _at_first(one: Floats, other: Floats, axis: int) -> Floats:
    """Joins two arrays: the first place along an axis is that of the first."""
    rest = np.take(other, np.arange(1, other.shape[axis]), axis)
    return np.concatenate([np.take(one, [0], axis), rest], axis)


def mixed_apart(graph: UnitGraph, found: Scalings, exponents: Floats) -> dict[int, int] | None:
    """Finds units within each of which the given ones may be mixed by themselves, as within each head of an attention.

    Returns:
      The axis of those units in each variable of the given ones; None if there are none.
    """
    groups = [group for group, exponent in zip(found.groups, exponents, strict=True) if exponent]
    for space in graph.free:
        axes: dict[int, int] = {}
        for group in groups:
            for axis, each in enumerate(graph.axes[group.variable]):
                if axis != group.axis and tuple(units_of(each)) == (space.units,):
                    axes[group.variable] = axis
        if space.size > 1 and len(axes) == len(groups) and mixes(graph, found, exponents, axes):
            return axes
    return None
