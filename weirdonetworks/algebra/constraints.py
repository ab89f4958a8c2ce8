"""Which weights must be equal, or which equations they must satisfy, for a network to respect a group of permutations.

Two ways: `equivariant_weight_orbits` finds the classes of equal weights of one layer as orbits, for large ones too;
`constraints` expands a network of any layers symbolically and compares the coefficients of like terms. The linear
systems of the note "Permutation-invariant neural networks" (YKY, 2019) are here too.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.algebra.groebner_process import groebner
from weirdonetworks.algebra.groups import PermutationGroup
from weirdonetworks.algebra.note_equations import (
    LinearEquations,
    definition_equations,
    linear_equations,
    ordered_quadratic_equations,
    quadratic_equations,
)
from weirdonetworks.algebra.permutations import inverse
from weirdonetworks.algebra.polynomials import Polynomial
from weirdonetworks.algebra.symbolic_network import PolynomialLayer, PolynomialNetwork
from weirdonetworks.algebra.weight_orbits import WeightOrbits, equivariant_weight_orbits

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

ROUNDING = 1e-15  # Among weights of size 1 a zero may be 1e-17, and a difference of two such as large as they are.


@dataclasses.dataclass(frozen=True)
class GroebnerBasis:
    """The reduced Groebner basis of equations between weights, if it was found.

    Attributes:
      polynomials: The basis, in the ring of the equations; None if it was not found in time.
      seconds: The time that was given.
    """

    polynomials: tuple[Polynomial, ...] | None
    seconds: float

    def __str__(self) -> str:
        if self.polynomials is None:
            return f"no Groebner basis was found in {self.seconds:g} seconds."
        if not self.polynomials:
            return "no equations: every choice of weights will do."
        return "\n".join(f"{polynomial} = 0" for polynomial in self.polynomials)


@dataclasses.dataclass(frozen=True, eq=False)
class Constraints:
    """The equations between a network's weights that make it equivariant or invariant: each polynomial is to be zero.

    Attributes:
      network: The network.
      equations: The polynomials, in `network.weights_ring`: distinct, also up to a factor; with coprime integer
        coefficients. They are linear for one layer with free or shared weights.
    """

    network: PolynomialNetwork
    equations: tuple[Polynomial, ...]

    def satisfies(self, weights: Sequence[npt.ArrayLike], tolerance: float = 1e-9) -> bool:
        """Tells whether numbers for the weights satisfy all equations, each to a tolerance of its own size.

        An equation within 1e-15 of zero counts as satisfied, so weights should not be small throughout.

        Args:
          weights: An array for each layer, of the shape `layer.parameters_shape`: that of the weights if they are free,
            `[classes]` if they are shared.
          tolerance: How far from zero an equation may be, as a fraction of the sum of the absolute values of its terms.

        Raises:
          ValueError: If the arrays are not of these shapes, or not finite.
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
        """Writes linear equations as a matrix of integers, `[equations, weights]`, of weights as in `weights_ring`.

        >>> from weirdonetworks.algebra.groups import symmetric_group
        >>> network = PolynomialNetwork([PolynomialLayer(2, 2, degree=1)])
        >>> constraints(network, symmetric_group(2)).matrix().tolist()
        [[0, 1, -1, 0], [1, 0, 0, -1]]

        Raises:
          ValueError: If an equation is not linear, as with two layers.
        """
        found = np.zeros((len(self.equations), self.network.weights_ring.ngens), np.intp)
        for row, equation in enumerate(self.equations):
            for exponents, value in equation.terms():
                if sum(exponents) != 1:
                    raise ValueError(
                        f"equations must be linear, as one layer's are, and one has degree {sum(exponents)}."
                    )
                found[row, exponents.index(1)] = int(value)
        return found

    def groebner(self, seconds: float = 10.0) -> GroebnerBasis:
        """Finds the reduced Groebner basis of the equations in graded reverse lexicographic order, if time allows.

        The basis has the same solutions. Two sets of equations have the same basis if and only if they generate the
        same ideal. It is found in a process of its own, which is ended when the time is over.

        Args:
          seconds: The time that it may take, above 0.

        Raises:
          ValueError: If the time is not above 0, or not finite.
          ChildProcessError: If the process failed for another reason than the time.
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
        """The terms of all equations: the places of their weights, their coefficients, and where each equation starts.

        Rows of places are filled up with one past the last weight, which stands for 1.
        """
        number = self.network.weights_ring.ngens
        rows = [_places(exponents) for each in self.equations for exponents in each]
        factors = np.full((len(rows), max(map(len, rows))), number)
        for place, row in enumerate(rows):
            factors[place, : len(row)] = row
        coefficients = np.array([int(value) for each in self.equations for value in each.values()])
        return factors, coefficients, np.cumsum([0, *map(len, self.equations[:-1])])


def constraints(network: PolynomialNetwork, group: PermutationGroup, kind: str = "equivariant") -> Constraints:
    """Finds the equations between weights under which a network respects a group of permutations of its inputs.

    Coefficients of like terms are compared for each generator s: those of F(s.x) with those of s.F(x) ("equivariant")
    or of F(x) ("invariant"). As the monomials are linearly independent, the network obeys the law if and only if its
    weights satisfy the equations.

    >>> from weirdonetworks.algebra.groups import symmetric_group
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
      group: The group, on the network's inputs.
      kind: "equivariant", for as many outputs as inputs, or "invariant".

    Returns:
      The equations.

    Raises:
      ValueError: If the group or the outputs do not fit the network, or there is no such kind.
    """
    if kind not in ("equivariant", "invariant"):
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
            # F(x) = F'(s.x) for F' with the variables renamed, x_i to x_{s(i)}: its output k must be output s(k) of F.
            renamed = {tuple(exponents[i] for i in gather): value for exponents, value in polynomial.items()}
            difference = network.outputs[partner[output]] - network.ring.from_dict(renamed)
            for _, equation in difference.terms():
                plain = equation.primitive()[1]
                distinct[plain if plain.LC > 0 else -plain] = None
    return Constraints(network, tuple(distinct))


def _places(exponents: tuple[int, ...]) -> list[int]:
    """Lists the variables of a monomial, each as often as its exponent says."""
    return [place for place, exponent in enumerate(exponents) for _ in range(exponent)]
