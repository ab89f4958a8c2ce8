"""Which weights of a polynomial layer must be equal for it to commute with permutations, found as orbits.

A layer of degree d maps n inputs to outputs `y_k = sum w[k, i_1, ..., i_d] x_{i_1} ... x_{i_d}`. It has ordered indices
if the sum is over the monomials, i_1 <= ... <= i_d, and redundant ones if it is over all n^d rows of indices, where
only the sums of weights with one monomial count.
"""

import dataclasses
from typing import Any

import numpy as np

from weirdonetworks.algebra import monomials
from weirdonetworks.algebra.actions import PermutationAction, as_action, paired
from weirdonetworks.algebra.arrays import Ints, at_least, written
from weirdonetworks.algebra.groups import PermutationGroup
from weirdonetworks.algebra.orbits import Orbits, join

MOST = 10**8  # Weights that orbits are found of: a few arrays of 800 MB.


@dataclasses.dataclass(frozen=True, eq=False)
class WeightOrbits:
    """The classes of weights that must be equal for a layer to be equivariant.

    Attributes:
      orbits: The classes. `orbits.labels` has the shape of the weights: `[outputs, monomials]` with ordered indices,
        `[outputs, n, ..., n]` with redundant ones. So `free[orbits.labels]` makes a layer of one free weight a class.
      dimension: The dimension of the space of equivariant maps. With ordered indices it is the number of classes; with
        redundant ones it may be less, since the weights of x_i x_j and of x_j x_i add up.
      indices: The rows of indices of an output's weights, `[weights, degree]`, in the order of the labels; 0 stands for
        the constant input if there is one, and i + 1 for x_i.
      include_lower: Whether there is a constant input.
    """

    orbits: Orbits
    dimension: int
    indices: Ints
    include_lower: bool

    def __len__(self) -> int:
        return len(self.orbits)

    def representatives(self) -> list[tuple[int, tuple[int, ...]]]:
        """Gives the first weight of each class: its output, and the inputs that it multiplies, without the constant.

        >>> from weirdonetworks.algebra.groups import symmetric_group
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
    """Finds which weights must be equal for a polynomial layer F to be equivariant.

    The law is F(g.x) = g.F(x) for each element g of a group that acts on the positions of x and of F(x). Where it
    permutes them by s and t, comparing coefficients of like monomials gives

        w[t[k], s[i_1], ..., s[i_d]] = w[k, i_1, ..., i_d],

    so the classes are the orbits of the pairs (s, t) on the weights. With ordered indices that is all: their number is
    the dimension. With redundant indices equal weights are one way to be equivariant that loses no function; any
    others whose sums over each monomial are the same give the same functions. The group is not listed.

    >>> from weirdonetworks.algebra.groups import symmetric_group, trivial_group
    >>> found = equivariant_weight_orbits(symmetric_group(3), symmetric_group(3), 1)
    >>> found.orbits.labels.tolist()
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    >>> redundant = equivariant_weight_orbits(symmetric_group(9), symmetric_group(9), 2, ordered=False)
    >>> len(redundant), redundant.dimension
    (5, 4)
    >>> equivariant_weight_orbits(symmetric_group(9), trivial_group(1), 3).dimension  # Invariants: partitions of 3.
    3

    Args:
      action_in: The action on the inputs, of a known number of positions; a group acts on points.
      action_out: The action on the outputs, of the same group, or of one whose generators follow those of the first as
        a homomorphism does, which is checked; `trivial(outputs)`, for invariant outputs, goes with any.
      degree: The degree d, at least 1.
      ordered: Whether there is one weight a monomial, or one a row of indices.
      include_lower: Whether the lower degrees are there too. They come by homogenisation: a constant input 1, which
        the group fixes, before all others. With ordered indices the weights are then in the order of
        `nets.PolynomialLinear`: by degree, the bias first.

    Returns:
      The classes.

    Raises:
      TypeError: If an action permutes no positions, or the degree is no integer.
      ValueError: If the actions cannot be paired, the degree is below 1, or there are too many weights.
    """
    one, other = paired_permutations(action_in, action_out)
    return weight_orbits(one.position_group(), other.position_group(), degree, ordered, include_lower)


def paired_permutations(action_in: Any, action_out: Any) -> tuple[PermutationAction, PermutationAction]:
    """Gives the actions on inputs and outputs as actions of one group that permute positions.

    Raises:
      TypeError: If one is no action, or permutes no positions.
      ValueError: If they cannot be paired.
    """
    actions = []
    for name, given in (("action_in", action_in), ("action_out", action_out)):
        action = as_action(name, given)
        if not isinstance(action, PermutationAction):
            raise TypeError(
                f"{name} (={given!r}) must permute positions, as points(group), items(group) and pixels(group) do."
            )
        actions.append(action)
    return paired(*actions)


def weight_orbits(
    group_in: PermutationGroup, group_out: PermutationGroup, degree: int, ordered: bool, include_lower: bool
) -> WeightOrbits:
    """Finds the classes as `equivariant_weight_orbits` does, for groups whose generators are known to go in pairs."""
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
    """Lists the rows of indices of an output's weights, `[weights, degree]`, in rising order."""
    if ordered:
        return monomials.monomials(inputs, degree)
    return np.indices((inputs,) * degree).reshape(degree, -1).T


def index_numbers(rows: Ints, inputs: int) -> Ints:
    """Numbers rows of redundant indices, `[..., degree]`, by their places in `index_rows`."""
    return np.ravel_multi_index(tuple(np.moveaxis(rows, -1, 0)), (inputs,) * rows.shape[-1])


def images(permutation_in: Ints, permutation_out: Ints, degree: int) -> Ints:
    """Finds where a pair of permutations takes the coefficients `[outputs, monomials]`, flattened, of a map."""
    moved = monomials.images(permutation_in, degree)
    return _paired(permutation_out, moved, len(moved))


def inputs_of(row: Ints, include_lower: bool) -> tuple[int, ...]:
    """Gives the inputs in a row of indices, without the constant."""
    return tuple(int(index) - include_lower for index in row if index >= include_lower)


def _paired(permutation_out: Ints, moved: Ints, weights: int) -> Ints:
    return (permutation_out[:, None] * weights + moved).ravel()


def _shaped(orbits: Orbits, *shape: int) -> Orbits:
    return Orbits(orbits.labels.reshape(shape))
