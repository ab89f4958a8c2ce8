"""Rescalings and sign flips of a model's units: factors on weights that leave its function as it is.

A unit's weights lie in groups: its entries along one axis of one variable, such as its incoming weights, its bias and
its outgoing weights. Multiplied by a^e with an exponent e for each group, they leave the function as it is for all
a > 0 exactly if the exponents are orthogonal to the logarithmic derivatives of the outputs, at any weights and inputs:

    sum_g e_g D_g = 0,    D_g = sum of w df/dw over the entries w of group g.

So the exponents are a null space, found from derivatives at random weights and inputs of many scales, of which those
are kept that leave the outputs as they are with finite factors too: a step, as of rounding, has no derivative. Sign
flips are tried one by one. Neither needs to know what functions the model is made of.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_layout import Floats, Group, Space, places
from weirdonetworks.measure.unit_points import EQUAL, MOST, SMALLEST, Point, Points
from weirdonetworks.measure.unit_tracing.epsilon import without_epsilon

Bools: TypeAlias = npt.NDArray[np.bool_]

NULL = 1e-7  # Singular values below this part of the largest are zero.
PIVOT = 1e-3  # Smaller entries of vectors of norm one are zero: operations in single precision leave up to some 1e-4.
NEAR = 1e-3  # Exponents that are nearer to a multiple of a twelfth are this multiple.
JOINED = 7  # At most so many groups are flipped one by one.
USED = 1e-10  # The function does not depend on a group whose part in all derivatives is smaller.
FAINT = 1e-6  # Derivatives below this part of others', as where a softmax saturates, count where none are larger alone.
UNSEEN = 1e-10  # Spaces whose derivatives are at all points below this part of others' cannot be told from rounding.
PRECISE = 1e-13  # Rounding in double precision changes outputs by less.
LEAST = 4  # So many points at which derivatives are taken are wide, and at least so many are not.
FLIPPED = 4  # The number of points at which signs are flipped, and units rescaled.
FACTOR = 5.0  # By which every second unit is multiplied, and others divided.
HELD = 1e-5  # Outputs change less under what is a rescaling, with some operations in single precision.
COMBINED = 4  # The sums and differences of at most so many exponents are tried.


@dataclasses.dataclass(frozen=True, eq=False)
class Scalings:
    """What the weights of each unit of a space may be multiplied by.

    Attributes:
      space: The space.
      groups: The groups of weights.
      exponents: A basis of the exponents, `[dimension, groups]`, in reduced echelon form.
      flips: A basis of the sign flips, `[dimension, groups]`.
      shared: A basis of the exponents by which all units may be rescaled at once, `[dimension, groups]`; of trainable
        variables alone.
    """

    space: Space
    groups: tuple[Group, ...]
    exponents: Floats
    flips: Bools
    shared: Floats


@dataclasses.dataclass(frozen=True, eq=False)
class _Derivatives:
    """The logarithmic derivatives by the weights of a space at one point.

    Attributes:
      part: The largest norm of a unit's, over that of any space.
      rows: Over that of the space, `[units, groups]`.
      sizes: The largest sum of magnitudes of a unit's in each group, `[groups]`, over the norm of any space.
    """

    part: float
    rows: Floats
    sizes: Floats


def scalings(graph: UnitGraph, *, flips: bool = True, trainable: bool = False, seed: int = 0) -> list[Scalings]:
    """Finds the rescalings and sign flips of single units, for each space of interchangeable units.

    They are those of the traced function of all its variables, moving statistics included. With `trainable`, they are
    those of its trainable variables, the others fixed, but for the epsilon by which a norm keeps from dividing by zero;
    and of all spaces with such weights that are interchangeable, or that such weights write and read.

    Of units on which the outputs depend at all points by less than 1e-10 of what they depend on others, none are found.

    >>> import sonnet as snt
    >>> (hidden,) = scalings(UnitGraph.trace(snt.nets.MLP([5, 2]), tf.ones([1, 3])))
    >>> hidden.exponents, hidden.flips.shape  # Incoming weights, bias, outgoing weights.
    (array([[ 1.,  1., -1.]]), (0, 3))

    Args:
      graph: The graph.
      flips: Whether to look for sign flips, too.
      trainable: Whether to vary trainable variables alone, and leave out the epsilon of norms.
      seed: Seed of the weights and inputs that are tried.

    Raises:
      ValueError: If a variable holds NaN or infinity, or the model has no output of floating-point numbers, or a loop
        over time or a condition, which cannot be evaluated with other weights.
    """
    groups: dict[Space, tuple[Group, ...]] = {}
    for space in graph.spaces:
        held = [each for each in groups_of(graph, space) if not trainable or graph.variables[each.variable].trainable]
        if held and (not space.fixed or (trainable and {"in", "out"} <= {each.side for each in held})):
            groups[space] = tuple(held)
    call = without_epsilon(graph.call) if trainable else graph.call
    points = Points(call, graph, groups, np.random.default_rng(seed))
    seen: dict[Space, list[_Derivatives]] = {space: [] for space in groups}
    # All units at once give one row a point.
    least = LEAST + max([LEAST, *map(len, groups.values() if trainable else ())])
    for tried in range(MOST + least):
        loud = {space: [each.rows for each in own if each.part >= FAINT] for space, own in seen.items()}
        if tried >= least and all(
            len(each) >= least and len(_telling(np.concatenate(each))) > 3 * len(groups[space])
            for space, each in loud.items()
        ):
            break
        values = points.values(wide=tried < LEAST)
        products = points.products(values, points.inputs())
        new = {}
        for space, own in groups.items():
            columns = [group.totals(products[group.variable], space.size) for group in own]
            new[space] = np.stack(columns, axis=1)
        # The outputs' scale differs from point to point by orders of magnitude.
        largest = {space: float(np.linalg.norm(each, axis=1).max(initial=0.0)) for space, each in new.items()}
        whole = max(filter(math.isfinite, largest.values()), default=0.0) or 1.0
        for space, own in groups.items():
            if UNSEEN * whole <= largest[space] < math.inf:
                totals = [group.totals(np.abs(products[group.variable]), space.size).max() for group in own]
                part, rows = largest[space] / whole, new[space] / largest[space]
                seen[space].append(_Derivatives(part, rows, np.array(totals) / whole))
    found = []
    finite = points.repeatable(FLIPPED)
    for space, own in groups.items():
        part = max((each.part for each in seen[space]), default=0.0)
        part = 1.0 if part >= FAINT else part
        kept = [each for each in seen[space] if each.part >= FAINT * part]
        sizes = np.sum([np.zeros(len(own)), *(each.sizes for each in kept)], axis=0)
        used = sizes > USED * sizes.max(initial=0.0)
        exponents = np.zeros((0, len(own)))
        signs = np.zeros((0, len(own)), bool)
        shared = exponents
        if used.any():
            near, equal = (max(each * part, PRECISE) for each in (HELD, EQUAL))
            telling = _telling(np.concatenate([each.rows for each in kept]))
            exponents = _held(points, finite, space, own, _null_space(telling, used), near)
            signs = _flips(points, space, own, used, exponents, equal) if flips else signs
            if trainable:
                shared = _null_space(_telling(np.stack([each.rows.sum(axis=0) for each in kept])), used)
                if not np.array_equal(shared, exponents):
                    shared = _held(points, finite, space, own, shared, near, alike=True)
        found.append(Scalings(space, own, exponents, signs, shared))
    return found


def joint_dimensions(found: Sequence[Scalings], units: Mapping[Space, int]) -> tuple[int, int]:
    """Computes the dimensions of the groups that all rescalings, and all sign flips, of some units generate.

    They are the sums over units, less what two spaces have in common: in attention the rescalings of all units within
    heads, each by the same factor, are those of all heads.

    Args:
      found: The scalings of each space.
      units: The number of units of each space.

    Returns:
      The dimension of the rescalings, and that of the sign flips over the field of two elements.
    """
    few = {each.space: min(units[each.space], 2) for each in found}  # What spaces have in common has no more than this.
    entries = list(_entries(found, few))
    dimensions = []
    for basis, rank in (("exponents", np.linalg.matrix_rank), ("flips", _rank_of_bits)):
        vectors = [
            [float(sum(row[index] for index, own in entry if own == (each.space, unit))) for entry in entries]
            for each in found
            for unit in range(few[each.space])
            for row in getattr(each, basis)
        ]
        lost = len(vectors) - int(rank(np.array(vectors))) if vectors else 0
        dimensions.append(sum(units[each.space] * len(getattr(each, basis)) for each in found) - lost)
    return dimensions[0], dimensions[1]


def _entries(found: Sequence[Scalings], few: Mapping[Space, int]) -> Iterator[list[tuple[int, tuple[Space, int]]]]:
    """Yields for each entry of variables cut down to few units the numbers of its groups and their units."""
    along: dict[int, dict[int, list[tuple[int, Space, Group]]]] = {}
    for each in found:
        for index, group in enumerate(each.groups):
            along.setdefault(group.variable, {}).setdefault(group.axis, []).append((index, each.space, group))
    for axes in along.values():
        cells = []
        for held in axes.values():
            kinds = np.unique(np.stack([group.units for _, _, group in held]), axis=1).T
            sizes = np.array([few[space] for _, space, _ in held])
            kinds = kinds[(kinds < sizes).all(axis=1)]
            cells.append(
                [
                    [(index, (space, unit)) for (index, space, _), unit in zip(held, kind, strict=True) if unit >= 0]
                    for kind in kinds.tolist()
                ]
            )
        for entry in itertools.product(*cells):
            yield list(itertools.chain(*entry))


def _rank_of_bits(rows: Floats) -> int:
    """Computes the rank of a matrix of integers modulo 2."""
    basis: list[int] = []
    for row in rows.astype(int) % 2:
        number = int("".join(map(str, row)), 2)
        for other in basis:
            number = min(number, number ^ other)
        if number:
            basis.append(number)
    return len(basis)


def groups_of(graph: UnitGraph, space: Space) -> Iterator[Group]:
    """Yields the groups of weights of the units of a space, axis by axis of the variables."""
    for variable, axes in enumerate(graph.axes):
        edges = [edge for edge in graph.edges if edge.variable == variable]
        for number, axis in enumerate(axes):
            for units, found in places(axis):
                if units is space.units:
                    written = any(number in edge.outputs for edge in edges)
                    read = any(number in edge.inputs for edge in edges)
                    yield Group(variable, number, found, "" if written == read else "in" if written else "out")


def _telling(rows: Floats) -> Floats:
    """Scales rows to norm one, without those of units that are dead or saturated, where rounding would count."""
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    kept = sizes[:, 0] > SMALLEST * sizes.max(initial=0.0)
    return np.asarray(rows[kept] / sizes[kept])


def _null_space(rows: Floats, used: Bools) -> Floats:
    """Computes the vectors orthogonal to rows, in reduced echelon form, with 0 for columns that are not used."""
    _, singular, vectors = np.linalg.svd(rows[:, used], full_matrices=True)
    rank = int(np.count_nonzero(singular > NULL * singular.max(initial=1.0)))
    found = np.zeros((len(vectors) - rank, rows.shape[1]))
    found[:, used] = _reduced(vectors[rank:])
    return found


def _reduced(rows: Floats) -> Floats:
    """Brings independent rows into reduced echelon form."""
    rows = rows.copy()
    done = 0
    for column in range(rows.shape[1]):
        if done == len(rows):
            break
        pivot = done + int(np.argmax(np.abs(rows[done:, column])))
        if abs(rows[pivot, column]) > PIVOT:
            rows[[done, pivot]] = rows[[pivot, done]]
            rows[done] /= rows[done, column]
            others = np.arange(len(rows)) != done
            rows[others] -= rows[others, column, np.newaxis] * rows[done]
            done += 1
    near = np.round(12 * rows) / 12
    return np.asarray(np.where(np.abs(rows - near) < NEAR, near, np.round(rows, 6)) + 0.0)


def _held(
    points: Points,
    tried: Sequence[Point],
    space: Space,
    groups: Sequence[Group],
    basis: Floats,
    tolerance: float,
    alike: bool = False,
) -> Floats:
    """Finds a basis of the exponents, among those that a basis spans, that hold for finite factors.

    Where single ones do not hold, their sums and differences may: of units that a norm precedes and a rounding follows,
    the rounding breaks two rescalings, and keeps their quotient.

    Args:
      points: What computes the outputs.
      tried: The points at which the exponents are tried.
      space: The units, which all get factors at once; those of a dead one would say nothing.
      groups: Their groups of weights.
      basis: The basis, `[dimension, groups]`.
      tolerance: By which part of the largest outputs may change.
      alike: Whether all units get the same factor.
    """

    factors = np.full(space.size, FACTOR) if alike else FACTOR ** np.where(np.arange(space.size) % 2, -1.0, 1.0)

    def holds(exponents: Floats) -> bool:
        for values, inputs, outputs in tried:
            moved = list(values)
            for group, exponent in zip(groups, exponents, strict=True):
                moved[group.variable] = group.scaled(moved[group.variable], factors**exponent)
            if not np.abs(points.outputs(moved, inputs) - outputs).max() <= tolerance * np.abs(outputs).max():
                return False
        return True

    found = [row for row in basis if holds(row)]
    if len(found) == len(basis):
        return basis
    combinations = itertools.product([0, 1, -1], repeat=min(len(basis), COMBINED))
    for coefficients in sorted(combinations, key=np.count_nonzero):
        row = np.array(coefficients) @ basis[: len(coefficients)]
        if np.linalg.matrix_rank([*found, row]) > len(found) and holds(row):
            found.append(row)
    return _reduced(np.array(found).reshape(-1, len(groups)))


def _flips(
    points: Points, space: Space, groups: Sequence[Group], used: Bools, exponents: Floats, tolerance: float
) -> Bools:
    """Finds a basis of the sign flips of a unit of a space, of the groups that are used.

    They are tried on units that the outputs depend on: with a dead one, any flip leaves them as they are.
    """
    live = points.live(space, list(itertools.compress(groups, used)))
    tried = [(*each, points.outputs(*each[:2])) for each in itertools.islice(live, FLIPPED)]
    basis: list[Bools] = []
    known, refused = {(False,) * len(groups)}, list[tuple[bool, ...]]()
    for chosen in _candidates(groups, used, exponents) if tried else ():
        # What differs by a flip that holds from one that does not hold does not hold either.
        if chosen in known or any(tuple(np.logical_xor(chosen, other).tolist()) in known for other in refused):
            continue
        for values, inputs, unit, outputs in tried:
            signs = np.where(np.arange(space.size) == unit, -1.0, 1.0)
            moved = list(values)
            for group in itertools.compress(groups, chosen):
                moved[group.variable] = group.scaled(moved[group.variable], signs)
            if not np.abs(points.outputs(moved, inputs) - outputs).max() <= tolerance * np.abs(outputs).max():
                refused.append(chosen)
                break
        else:
            basis.append(np.array(chosen))
            known |= {tuple(np.logical_xor(chosen, other).tolist()) for other in known}
    return np.array(basis, bool).reshape(-1, len(groups))


def _candidates(groups: Sequence[Group], used: Bools, exponents: Floats) -> list[tuple[bool, ...]]:
    """Lists the flips to try: of all weights that write, all that read, and others; and where exponents are odd.

    Where units lie several times along one axis, as the gates of a recurrent cell, also those of each gate.
    """
    kept = [index for index in range(len(groups)) if used[index]]
    sides = [[index for index in kept if groups[index].side == side] for side in ("in", "out", "")]
    others = [[index] for index in sides[2]] if len(sides[2]) + 2 <= JOINED else [sides[2]]
    along = [(each.variable, each.axis) for each in groups]
    gates = [
        [index for index in kept if along[: index + 1].count(along[index]) == gate and along.count(along[index]) > 1]
        for gate in range(1, max(map(along.count, along)) + 1)
    ]
    apart = [[index for index in kept if along.count(along[index]) == 1 and groups[index].side == "out"], *gates]
    joined, by_gate = (
        np.array([np.isin(np.arange(len(groups)), each) for each in parts if each]).astype(int)
        for parts in ((*sides[:2], *others), apart if gates[0] and len(apart) <= JOINED else ())
    )
    odd = np.abs(np.round(exponents)) % 2 == 1
    found = {
        tuple((np.array(chosen) @ basis % 2 == 1).tolist())
        for basis in (joined, odd.astype(int)[:JOINED], by_gate.reshape(-1, len(groups)))
        for chosen in itertools.product([0, 1], repeat=len(basis))
    }
    return sorted(found, key=lambda flips: (sum(flips), flips))
