"""Polynomial networks with symbolic weights, expanded exactly into polynomials of their inputs."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, array, at_least, instance, listed, reals, written
from weirdonetworks.algebra.polynomials import monomials
from weirdonetworks.algebra.polynomials.rings import Polynomial
from weirdonetworks.algebra.weights.weight_orbits import index_rows, inputs_of

EXPANDED = 10**8  # The largest number of exponents in products of weights: ten seconds, up to two gigabytes.


@dataclasses.dataclass(frozen=True, eq=False)
class PolynomialLayer:
    """A polynomial layer of one degree with symbolic weights,

        y_k = sum w[k, i_1, ..., i_d] x_{i_1} ... x_{i_d},    i_1 <= ... <= i_d if ordered

    >>> PolynomialLayer(2, 1, degree=2).names("w")
    ['w_0_0_0', 'w_0_0_1', 'w_0_1_1']
    >>> PolynomialLayer(2, 2, degree=1, shared=[[0, 1], [1, 0]]).names("w")
    ['w_class0', 'w_class1']

    Attributes:
      inputs: The number n of inputs.
      outputs: The number of outputs.
      degree: The degree d, at least 1.
      ordered: Whether there is one weight per monomial, or one per row of indices.
      include_lower: Whether to add lower degrees, by a constant input 1 before all others.
      shared: Weight sharing: a class number from 0 on for each weight, in the shape of the weights, such as
        `equivariant_weight_orbits(...).orbits.labels`; None for free weights.

    Raises:
      TypeError: If a size or class number is not an integer.
      ValueError: If a size or the degree is below 1, `shared` has another shape, or a class number is not used.
    """

    inputs: int
    outputs: int
    degree: int
    ordered: bool = True
    include_lower: bool = False
    shared: npt.ArrayLike | None = None

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs", "degree"):
            at_least(name, getattr(self, name), 1)
        if self.shared is None:
            return
        labels = self.labels
        if labels.dtype.kind not in "iu":
            raise TypeError(f"shared (of type {labels.dtype}) must hold integers.")
        if labels.shape != self.weight_shape:
            raise ValueError(f"shared (of shape {labels.shape}) must have the weights' shape {self.weight_shape}.")
        if not np.array_equal(np.unique(labels), np.arange(labels.max() + 1)):
            raise ValueError(f"shared must hold each label from 0 to the highest (={labels.max()}).")

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of the weights: `[outputs, monomials]` if ordered, else `[outputs, n, ..., n]`."""
        inputs = self.inputs + self.include_lower
        if self.ordered:
            return (self.outputs, monomials.count(inputs, self.degree))
        return (self.outputs, *[inputs] * self.degree)

    @functools.cached_property
    def labels(self) -> Ints:
        """The class of each weight, in the shape of the weights; each its own class if they are free."""
        if self.shared is None:
            return np.arange(math.prod(self.weight_shape)).reshape(self.weight_shape)
        return array("shared", self.shared)

    @property
    def parameters_shape(self) -> tuple[int, ...]:
        """The shape of the parameters: that of the weights if they are free, `[classes]` if they are shared."""
        return self.weight_shape if self.shared is None else (int(self.labels.max()) + 1,)

    @functools.cached_property
    def indices(self) -> Ints:
        """The index rows of the weights of one output, `[weights, degree]`; 0 is the constant input if there is one."""
        return index_rows(self.inputs + self.include_lower, self.degree, self.ordered)

    def names(self, prefix: str) -> list[str]:
        """Lists names of the flattened parameters: by output and indices for free weights, by class for shared ones.

        The constant input is named `c`, and omitted at the start.
        """
        if self.shared is not None:
            return [f"{prefix}_class{label}" for label in range(*self.parameters_shape)]
        named = []
        for output, row in itertools.product(range(self.outputs), self.indices.tolist()):
            letters = ["c" if index < self.include_lower else str(index - self.include_lower) for index in row]
            rest = itertools.dropwhile("c".__eq__, letters)
            named.append("_".join([prefix, str(output), *rest]))
        return named


class PolynomialNetwork:
    """A composition of polynomial layers, as polynomials in the inputs with coefficients in the weights.

    The weights of layer l = 1, 2, ... have names that begin with `w{l}_`; see `PolynomialLayer.names`.

    >>> network = PolynomialNetwork([PolynomialLayer(2, 1, degree=2, ordered=False)])
    >>> network.outputs
    [w1_0_0_0*x0**2 + (w1_0_0_1 + w1_0_1_0)*x0*x1 + w1_0_1_1*x1**2]

    Args:
      layers: The layers, at least one; each with as many inputs as the previous one has outputs.

    Raises:
      ValueError: If there is no layer, the sizes do not match, or the expansion would be too large.
    """

    def __init__(self, layers: Sequence[PolynomialLayer]) -> None:
        self.layers = tuple(instance("layers", each, PolynomialLayer) for each in listed("layers", layers, "layers"))
        if not self.layers:
            raise ValueError("layers must hold at least one.")
        for place, (first, second) in enumerate(itertools.pairwise(self.layers)):
            if first.outputs != second.inputs:
                raise ValueError(
                    f"layers must chain: layer {place} has {first.outputs} outputs, "
                    f"layer {place + 1} {second.inputs} inputs."
                )
        products, weights = 1, 0
        for layer in self.layers:
            products = math.prod(layer.weight_shape[1:]) * products**layer.degree
            weights += math.prod(layer.parameters_shape)
        products *= self.layers[-1].outputs
        if products * weights > EXPANDED:
            raise ValueError(
                f"layers give {written(products)} products of {weights:,} weights: these numbers must have a product "
                f"of at most {EXPANDED:,}. Use fewer or smaller layers, shared weights, or ordered indices."
            )

    @property
    def inputs(self) -> int:
        """The number of inputs of the first layer."""
        return self.layers[0].inputs

    @functools.cached_property
    def weights_ring(self) -> Any:
        """The SymPy ring of integer polynomials in the weights of all layers, in order."""
        from sympy import ZZ, grevlex
        from sympy.polys.rings import PolyRing

        names = [name for place, layer in enumerate(self.layers, 1) for name in layer.names(f"w{place}")]
        return PolyRing(names, ZZ, grevlex)

    @functools.cached_property
    def ring(self) -> Any:
        """The SymPy ring of the outputs: polynomials in x0, ..., x{n-1} over `weights_ring`."""
        from sympy import grlex
        from sympy.polys.rings import PolyRing

        return PolyRing([f"x{index}" for index in range(self.inputs)], self.weights_ring.to_domain(), grlex)

    @functools.cached_property
    def outputs(self) -> list[Polynomial]:
        """The outputs of the last layer, elements of `ring`."""
        values, weights = list(self.ring.gens), iter(self.weights_ring.gens)
        for layer in self.layers:
            mine = list(itertools.islice(weights, math.prod(layer.parameters_shape)))
            values = list(_applied(layer, mine, values, self.ring))
        return values

    def written(self) -> str:
        """Formats the outputs, one line per monomial of the inputs with its coefficient.

        >>> print(PolynomialNetwork([PolynomialLayer(2, 1, degree=2, ordered=False)]).written())
        y0
          x0**2: w1_0_0_0
          x0*x1: w1_0_0_1 + w1_0_1_0
          x1**2: w1_0_1_1
        """
        lines = []
        for output, polynomial in enumerate(self.outputs):
            lines.append(f"y{output}")
            for exponents, coefficient in polynomial.terms():
                monomial = self.ring({exponents: self.ring.domain.one})
                lines.append(f"  {monomial}: {coefficient}")
        return "\n".join(lines)

    def flat_parameters(self, weights: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float64]:
        """Concatenates the flattened weights of all layers, in the order of `weights_ring`.

        Raises:
          ValueError: If they are not one array of `parameters_shape` per layer, or not finite.
        """
        arrays = [reals("weights", each) for each in listed("weights", weights, "arrays, one a layer")]
        given, needed = [each.shape for each in arrays], [layer.parameters_shape for layer in self.layers]
        if given != needed:
            raise ValueError(f"weights (of shapes {given}) must have the shapes {needed}.")
        flat = np.concatenate([each.ravel() for each in arrays])
        if not np.all(np.isfinite(flat)):
            raise ValueError("weights must be finite.")
        return flat


def _applied(
    layer: PolynomialLayer, weights: Sequence[Any], values: Sequence[Polynomial], ring: Any
) -> Iterator[Polynomial]:
    """Yields the outputs of a layer on polynomials."""

    @functools.cache
    def product(factors: tuple[int, ...]) -> Polynomial:
        return product(factors[:-1]) * values[factors[-1]] if factors else ring.one

    products = [product(tuple(sorted(inputs_of(row, layer.include_lower)))) for row in layer.indices]
    for labels in layer.labels.reshape(layer.outputs, -1).tolist():
        terms = zip(labels, products, strict=True)
        yield sum((term.mul_ground(weights[label]) for label, term in terms), ring.zero)
