"""Constraints on the weights of polynomial networks that are equivariant or invariant under permutations.

`equivariant_weight_orbits` finds the classes of equal weights of a single layer as orbits, also for large layers.
`constraints` expands a network of several layers symbolically and equates the coefficients of equal monomials. The
linear systems of the note "Permutation-invariant neural networks" (YKY, 2019) are exported from here too.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, instance
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.algebra.groups.permutations import inverse
from weirdonetworks.algebra.polynomials.groebner_process import groebner
from weirdonetworks.algebra.polynomials.rings import Polynomial
from weirdonetworks.algebra.weights.note_equations import (
    LinearEquations,
    definition_equations,
    linear_equations,
    ordered_quadratic_equations,
    quadratic_equations,
)
from weirdonetworks.algebra.weights.symbolic_network import PolynomialLayer, PolynomialNetwork
from weirdonetworks.algebra.weights.weight_orbits import WeightOrbits, equivariant_weight_orbits

__all__ = [
    "Constraints",
    "GroebnerBasis",
    "LinearEquations",
    "PolynomialLayer",
    "PolynomialNetwork",
    "WeightOrbits",
    "constraints",
    "definition_equations",
    "equivariant_weight_orbits",
    "linear_equations",
    "ordered_quadratic_equations",
    "quadratic_equations",
]

ROUNDING = 1e-15  # Absolute tolerance: weights of size 1 that should be 0 may be 1e-17, as is their difference then.


@dataclasses.dataclass(frozen=True)
class GroebnerBasis:
    """The reduced Groebner basis of equations between weights, or the result of a search that timed out.

    >>> from weirdonetworks.algebra.groups.permutation_groups import symmetric_group
    >>> network = PolynomialNetwork([PolynomialLayer(2, 2, degree=1)])
    >>> print(constraints(network, symmetric_group(2)).groebner())
    w1_0_0 - w1_1_1 = 0
    w1_0_1 - w1_1_0 = 0

    Attributes:
      polynomials: The basis, in the ring of the equations; None if the search timed out.
      seconds: The time limit of the search, in seconds.
    """

    polynomials: tuple[Polynomial, ...] | None
    seconds: float

    def __str__(self) -> str:
        if self.polynomials is None:
            return f"no Groebner basis was found in {self.seconds:g} seconds."
        if not self.polynomials:
            return "no equations: all weights are free."
        return "\n".join(f"{polynomial} = 0" for polynomial in self.polynomials)


@dataclasses.dataclass(frozen=True, eq=False)
class Constraints:
    """The polynomial equations p = 0 in a network's weights under which it is equivariant or invariant.

    >>> from weirdonetworks.algebra.groups.permutation_groups import symmetric_group
    >>> found = constraints(PolynomialNetwork([PolynomialLayer(2, 1, degree=2)]), symmetric_group(2), "invariant")
    >>> found.equations, found.satisfies([[[1.0, 5.0, 1.0]]])
    ((w1_0_0_0 - w1_0_1_1,), True)

    Attributes:
      network: The network.
      equations: The polynomials p, in `network.weights_ring`, with coprime integer coefficients and distinct up to
        sign. They are linear if the network has a single layer.
    """

    network: PolynomialNetwork
    equations: tuple[Polynomial, ...]

    def satisfies(self, weights: Sequence[npt.ArrayLike], tolerance: float = 1e-9) -> bool:
        """Tells whether given weights satisfy all equations, each within a relative tolerance.

        An equation within 1e-15 of zero counts as satisfied, so the weights should be of order 1.

        Args:
          weights: One array per layer, of shape `layer.parameters_shape`: the shape of the weights if they are free,
            `[classes]` if they are shared.
          tolerance: The largest |p| allowed, as a fraction of the sum of the absolute values of the terms of p.

        Raises:
          ValueError: If an array has another shape, or is not finite.
        """
        values = np.append(self.network.flat_parameters(weights), 1.0)
        if not self.equations:
            return True
        factors, coefficients, starts = self._terms
        terms = coefficients * values[factors].prod(axis=1)
        errors = np.abs(np.add.reduceat(terms, starts))
        sizes = np.add.reduceat(np.abs(terms), starts)
        return bool(np.all(errors <= np.maximum(tolerance * sizes, ROUNDING)))

    def matrix(self) -> Ints:
        """Returns the coefficients of linear equations, `[equations, weights]`, columns in the order of `weights_ring`.

        >>> from weirdonetworks.algebra.groups.permutation_groups import symmetric_group
        >>> network = PolynomialNetwork([PolynomialLayer(2, 2, degree=1)])
        >>> constraints(network, symmetric_group(2)).matrix().tolist()
        [[0, 1, -1, 0], [1, 0, 0, -1]]

        Raises:
          ValueError: If an equation is not linear, as for networks of several layers.
        """
        found = np.zeros((len(self.equations), self.network.weights_ring.ngens), np.intp)
        for row, equation in enumerate(self.equations):
            for exponents, value in equation.terms():
                if sum(exponents) != 1:
                    raise ValueError(
                        f"equations must be linear, as for a single layer, and one has degree {sum(exponents)}."
                    )
                found[row, exponents.index(1)] = int(value)
        return found

    def groebner(self, seconds: float = 10.0) -> GroebnerBasis:
        """Computes the reduced Groebner basis of the equations, within a time limit.

        The monomial order is graded reverse lexicographic. The basis has the same solutions, and two sets of equations
        have the same basis if and only if they generate the same ideal. The computation runs in a subprocess, which is
        killed at the time limit.

        Args:
          seconds: The time limit in seconds, above 0.

        Raises:
          ValueError: If the time limit is not above 0, or not finite.
          ChildProcessError: If the subprocess failed other than by timing out.
        """
        if not 0 < seconds < math.inf:
            raise ValueError(f"seconds (={seconds}) must be above 0 and finite.")
        ring = self.network.weights_ring
        terms = [[(exponents, int(value)) for exponents, value in each.terms()] for each in self.equations]
        found = groebner(terms, ring.ngens, seconds)
        if found is None:
            return GroebnerBasis(None, seconds)
        return GroebnerBasis(tuple(ring.from_dict(dict(each)) for each in found), seconds)

    @functools.cached_property
    def _terms(self) -> tuple[Ints, Ints, Ints]:
        """The terms of all equations: indices of their weights, coefficients, and the first term of each equation.

        Rows of indices are padded with the index past the last weight, where `satisfies` puts a 1.
        """
        number = self.network.weights_ring.ngens
        rows = [_places(exponents) for each in self.equations for exponents in each]
        factors = np.full((len(rows), max(map(len, rows))), number)
        for place, row in enumerate(rows):
            factors[place, : len(row)] = row
        coefficients = np.array([int(value) for each in self.equations for value in each.values()])
        return factors, coefficients, np.cumsum([0, *map(len, self.equations[:-1])])


def constraints(network: PolynomialNetwork, group: PermutationGroup, kind: str = "equivariant") -> Constraints:
    """Finds the equations between weights under which a network F is equivariant or invariant under permutations.

    For each generator s, the coefficients of F(s.x) are equated with those of s.F(x) ("equivariant") or of F(x)
    ("invariant"). As monomials are linearly independent, the network obeys the law if and only if its weights satisfy
    the equations.

    >>> from weirdonetworks.algebra.groups.permutation_groups import symmetric_group
    >>> network = PolynomialNetwork([PolynomialLayer(2, 2, degree=1)])
    >>> found = constraints(network, symmetric_group(2))
    >>> found.equations
    (w1_0_1 - w1_1_0, w1_0_0 - w1_1_1)
    >>> found.satisfies([[[2.0, 3.0], [3.0, 2.0]]]), found.satisfies([[[2.0, 3.0], [2.0, 3.0]]])
    (True, False)
    >>> two = PolynomialNetwork([PolynomialLayer(2, 1, degree=1), PolynomialLayer(1, 1, degree=2)])
    >>> constraints(two, symmetric_group(2), kind="invariant").equations
    (w1_0_0**2*w2_0_0_0 - w1_0_1**2*w2_0_0_0,)

    Args:
      network: The network.
      group: The group, which permutes the network's inputs.
      kind: "equivariant", which needs as many outputs as inputs, or "invariant".

    Raises:
      ValueError: If the degree of the group is not the number of inputs, the number of outputs does not fit the kind,
        or the kind is unknown.
    """
    instance("network", network, PolynomialNetwork)
    instance("group", group, PermutationGroup)
    if not isinstance(kind, str) or kind not in ("equivariant", "invariant"):
        raise ValueError(f'kind (={kind!r}) must be "equivariant" or "invariant".')
    if group.degree != network.inputs:
        raise ValueError(f"group (={group!r}) must permute the network's {network.inputs} inputs.")
    outputs = network.layers[-1].outputs
    if kind == "equivariant" and outputs != group.degree:
        raise ValueError(f"network must have as many outputs (={outputs}) as inputs (={group.degree}) for this kind.")
    distinct: dict[Polynomial, None] = {}
    for generator in group.generators:
        gather = inverse(generator).tolist()
        partner = generator.tolist() if kind == "equivariant" else range(outputs)
        for output, polynomial in enumerate(network.outputs):
            # F(x) = F'(s.x) for F' with each x_i renamed to x_{s(i)}: output k of F' must be output s(k) of F.
            renamed = {tuple(exponents[i] for i in gather): value for exponents, value in polynomial.items()}
            difference = network.outputs[partner[output]] - network.ring.from_dict(renamed)
            for _, equation in difference.terms():
                plain = equation.primitive()[1]
                distinct[plain if plain.LC > 0 else -plain] = None
    return Constraints(network, tuple(distinct))


def _places(exponents: tuple[int, ...]) -> list[int]:
    """Lists the variables of a monomial with multiplicity, as indices."""
    return [place for place, exponent in enumerate(exponents) for _ in range(exponent)]
