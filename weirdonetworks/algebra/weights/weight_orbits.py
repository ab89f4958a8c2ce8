"""Weight sharing of equivariant polynomial layers: classes of equal weights, as orbits of a permutation group.

A layer of degree d maps n inputs to outputs `y_k = sum w[k, i_1, ..., i_d] x_{i_1} ... x_{i_d}`. It has ordered indices
if the sum is over i_1 <= ... <= i_d, one weight per monomial, and redundant indices if it is over all n^d rows, where
only the sum of the weights of each monomial matters.
"""

import dataclasses
from typing import Any

import numpy as np

from weirdonetworks.algebra.actions import PermutationAction, as_action, paired
from weirdonetworks.algebra.arrays import Ints, at_least, truth, written
from weirdonetworks.algebra.groups.orbits import Orbits, join
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.algebra.polynomials import monomials

MOST = 10**8  # The largest number of weights: a few arrays of 800 MB.


@dataclasses.dataclass(frozen=True, eq=False)
class WeightOrbits:
    """The classes of equal weights of an equivariant layer.

    >>> from weirdonetworks.algebra.groups.permutation_groups import cyclic_group
    >>> found = equivariant_weight_orbits(cyclic_group(3), cyclic_group(3), 1)
    >>> len(found), found.orbits.labels.tolist()  # A circulant matrix: three free weights.
    (3, [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
    >>> free = np.array([2.0, -1.0, 0.0])
    >>> free[found.orbits.labels].tolist()
    [[2.0, -1.0, 0.0], [0.0, 2.0, -1.0], [-1.0, 0.0, 2.0]]

    Attributes:
      orbits: The classes. `orbits.labels` has the shape of the weights: `[outputs, monomials]` with ordered indices,
        `[outputs, n, ..., n]` with redundant ones. `free[orbits.labels]` expands free weights, one per class.
      dimension: The dimension of the space of equivariant maps. It is the number of classes with ordered indices, and
        may be less with redundant ones, since the weights of x_i x_j and of x_j x_i add up.
      indices: The index rows of the weights of one output, `[weights, degree]`, in the order of the labels. With a
        constant input, 0 is the constant and i + 1 is x_i.
      include_lower: Whether there is a constant input.
    """

    orbits: Orbits
    dimension: int
    indices: Ints
    include_lower: bool

    def __len__(self) -> int:
        return len(self.orbits)

    def representatives(self) -> list[tuple[int, tuple[int, ...]]]:
        """Lists the first weight of each class, as its output and the inputs that it multiplies, without the constant.

        >>> from weirdonetworks.algebra.groups.permutation_groups import symmetric_group
        >>> equivariant_weight_orbits(symmetric_group(3), symmetric_group(3), 2).representatives()
        [(0, (0, 0)), (0, (0, 1)), (0, (1, 1)), (0, (1, 2))]
        """
        places = (divmod(first, len(self.indices)) for first in self.orbits.representatives.tolist())
        return [(output, inputs_of(self.indices[place], self.include_lower)) for output, place in places]


def equivariant_weight_orbits(
    action_in: PermutationAction | PermutationGroup,
    action_out: PermutationAction | PermutationGroup,
    degree: int,
    ordered: bool = True,
    include_lower: bool = False,
) -> WeightOrbits:
    """Finds the classes of equal weights for which a polynomial layer F is equivariant.

    The law is F(g.x) = g.F(x) for each element g of a group that acts on the positions of x and of F(x). If g permutes
    them by s and t, equating the coefficients of equal monomials gives

        w[t[k], s[i_1], ..., s[i_d]] = w[k, i_1, ..., i_d],

    so the classes are the orbits of the pairs (s, t) on the weights. With ordered indices their number is the
    dimension of the space of equivariant maps. With redundant indices equal weights are sufficient and lose no
    function, but not necessary: only the sum of the weights of each monomial matters. The group is not listed.

    >>> from weirdonetworks.algebra.groups.permutation_groups import symmetric_group, trivial_group
    >>> found = equivariant_weight_orbits(symmetric_group(3), symmetric_group(3), 1)
    >>> found.orbits.labels.tolist()
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    >>> redundant = equivariant_weight_orbits(symmetric_group(9), symmetric_group(9), 2, ordered=False)
    >>> len(redundant), redundant.dimension
    (5, 4)
    >>> equivariant_weight_orbits(symmetric_group(9), trivial_group(1), 3).dimension  # Invariants: partitions of 3.
    3

    Args:
      action_in: The action on the inputs, with a known number of positions; a bare group acts on points.
      action_out: The action on the outputs, of the same group or its image under a homomorphism (see
        `algebra.paired`); `trivial(outputs)` for invariant outputs.
      degree: The degree d, at least 1.
      ordered: Whether there is one weight per monomial, or one per row of indices.
      include_lower: Whether to include lower degrees, by homogenisation: a constant input 1, fixed by the group, comes
        before all others. With ordered indices the weights are then in the order of `nets.PolynomialLinear`: by
        degree, the bias first.

    Raises:
      TypeError: If an action is not by permutations of positions, or the degree is not an integer.
      ValueError: If the actions cannot be paired, the degree is below 1, or there are more than 10^8 weights.
    """
    one, other = paired_permutations(action_in, action_out)
    ordered, include_lower = truth("ordered", ordered), truth("include_lower", include_lower)
    return weight_orbits(one.position_group(), other.position_group(), degree, ordered, include_lower)


def paired_permutations(action_in: Any, action_out: Any) -> tuple[PermutationAction, PermutationAction]:
    """Pairs the actions on inputs and outputs, which must be by permutations, as actions of one group.

    Raises:
      TypeError: If an argument is not an action by permutations of positions.
      ValueError: If the actions cannot be paired.
    """
    actions = []
    for name, given in (("action_in", action_in), ("action_out", action_out)):
        action = as_action(name, given)
        if not isinstance(action, PermutationAction):
            raise TypeError(
                f"{name} (={given!r}) must permute positions, as points(group), items(group) and pixels(group) do. "
                "For matrices, pass the PermutationGroup of points that they permute."
            )
        actions.append(action)
    return paired(*actions)


def weight_orbits(
    group_in: PermutationGroup, group_out: PermutationGroup, degree: int, ordered: bool, include_lower: bool
) -> WeightOrbits:
    """Finds the classes as `equivariant_weight_orbits` does, for groups with generators paired in order, unchecked."""
    degree = at_least("degree", degree, 1)
    inputs, outputs = group_in.degree + include_lower, group_out.degree
    shifted = [np.append(0, s + 1) if include_lower else s for s in group_in.generators]
    pairs = list(zip(shifted, group_out.generators, strict=True))
    number = outputs * (monomials.count(inputs, degree) if ordered else inputs**degree)
    if number > MOST:
        raise ValueError(f"degree (={degree}) gives {written(number)} weights, and must give at most {MOST:,}.")
    indices = index_rows(inputs, degree, ordered)
    by_monomial = join([images(s, t, degree) for s, t in pairs], outputs * monomials.count(inputs, degree))
    if ordered:
        return WeightOrbits(_shaped(by_monomial, outputs, -1), len(by_monomial), indices, include_lower)
    weights = number // outputs
    by_row = join([_paired(t, index_numbers(s[indices], inputs), weights) for s, t in pairs], number)
    shaped = _shaped(by_row, outputs, *[inputs] * degree)
    return WeightOrbits(shaped, len(by_monomial), indices, include_lower)


def index_rows(inputs: int, degree: int, ordered: bool) -> Ints:
    """Lists the index rows of the weights of one output, `[weights, degree]`, in lexicographic order."""
    if ordered:
        return monomials.monomials(inputs, degree)
    return np.indices((inputs,) * degree).reshape(degree, -1).T


def index_numbers(rows: Ints, inputs: int) -> Ints:
    """Returns the ranks of rows of redundant indices, `[..., degree]`, in `index_rows`."""
    return np.ravel_multi_index(tuple(np.moveaxis(rows, -1, 0)), (inputs,) * rows.shape[-1])


def images(permutation_in: Ints, permutation_out: Ints, degree: int) -> Ints:
    """Returns the permutation of flattened coefficients `[outputs, monomials]` induced by a pair of permutations."""
    moved = monomials.images(permutation_in, degree)
    return _paired(permutation_out, moved, len(moved))


def inputs_of(row: Ints, include_lower: bool) -> tuple[int, ...]:
    """Returns the inputs of an index row, without the constant."""
    return tuple(int(index) - include_lower for index in row if index >= include_lower)


def _paired(permutation_out: Ints, moved: Ints, weights: int) -> Ints:
    return (permutation_out[:, None] * weights + moved).ravel()


def _shaped(orbits: Orbits, *shape: int) -> Orbits:
    return Orbits(orbits.labels.reshape(shape))
