"""A multilayer perceptron on invariant polynomials of the inputs."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra import exponent_table, fundamental_invariants, invariant_basis, monomials
from weirdonetworks.algebra.actions import Action, Group, as_action
from weirdonetworks.algebra.arrays import Ints, at_least, written
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.nets.base_module import Activation, BaseModule, Initializer, linear_layers, perceptron
from weirdonetworks.nets.inputs import checked_choice, checked_sizes, flattened
from weirdonetworks.nets.polynomial.monomial_parts import cut, gaussian_moments, products

TERMS = 2**14  # Monomials evaluated per chunk.
ENTRIES = 10**8  # The most indices in a table of monomials: 0.8 GB; orbits take several times that, and minutes.
INVARIANTS = ("orbit_sums", "fundamental")


class InvariantMLP(BaseModule):
    """A multilayer perceptron on invariant polynomials: f(g.x) = f(x), exactly, for each element g of a group.

        f(x) = W_k s(... s(W_1 p(x))),    p(g.x) = p(x), x of shape [batch, n], f [batch, output_sizes[-1]]

    The features p are invariant polynomials without weights, standardised to mean 0 and variance 1 on independent
    standard normal inputs. Features of float16 and bfloat16 inputs are computed in float32.

    The invariants of a compact group are finitely generated, so for a high enough degree the network approximates every
    continuous invariant function: Yarotsky, Universal approximations of invariant maps by neural networks, 2018.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> network = InvariantMLP(cyclic_group(3), degree=2, output_sizes=[8, 1])
    >>> network.num_invariants  # x0 + x1 + x2, and the orbits of x0^2 and x0 x1
    3
    >>> one, other = network(tf.constant([[1.0, 2.0, 4.0], [4.0, 1.0, 2.0]]))
    >>> bool(tf.abs(one - other) < 1e-6)
    True
    >>> from weirdonetworks.algebra import items, trivial
    >>> InvariantMLP(items(3) * trivial(2), degree=2, output_sizes=[8, 1])(tf.ones([5, 3, 2])).shape.as_list()
    [5, 1]
    """

    def __init__(
        self,
        action: Action | Group,
        degree: int,
        output_sizes: Iterable[int],
        invariants: str = "orbit_sums",
        activation: Activation = tf.nn.relu,
        with_bias: bool = True,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the network and computes the invariants.

        Args:
          action: The action of a group on the n numbers of an input: `points(group)`, for which a bare permutation
            group may be passed; `coordinates(group)`, for a group of matrices; `pixels(side=28)` on images of one
            channel; or `items(group) * trivial(features)`.
          degree: The highest degree of the invariants, at least 1.
          output_sizes: The width of each dense layer, at least one.
          invariants: `orbit_sums`, a basis of the invariants of each degree from 1 on (for permutations the orbit sums
            of monomials); or `fundamental`, a minimal set of generators of the invariants up to the degree. The degree
            of the last of `fundamental_invariants(group)` gives all; it is at most the order of the group.
          activation: Applied after each layer but the last.
          with_bias: Whether the dense layers add a bias.
          w_init, b_init, name: As in `BaseModule`.

        Raises:
          ValueError: If an invariant has complex coefficients, the elements of the action form no group, the group has
            no invariant up to the degree, or there are too many monomials of that degree.
        """
        super().__init__(name=name)
        self.action = as_action("action", action)
        group = self.action.position_group()
        checked_choice("invariants", invariants, INVARIANTS)
        degree = at_least("degree", degree, 1)
        self.input_size = group.dimension
        self.activation = activation
        number = monomials.count(self.input_size, degree)
        if number * degree > ENTRIES:
            raise ValueError(
                f"degree (={degree}) gives {written(number)} monomials in {self.input_size} variables, and must give "
                f"at most {ENTRIES // degree}. Take a lower degree, or smaller inputs."
            )
        sizes = checked_sizes("output_sizes", output_sizes)
        self._features = _features(group, degree, invariants)
        self.layers = linear_layers(sizes, with_bias, w_init, b_init)

    @property
    def num_invariants(self) -> int:
        """The number of invariants, the input width of the first dense layer."""
        return sum(len(each.means) for each in self._features)

    def features(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, ...]`, flattened, to the standardised invariants `[batch, num_invariants]`."""
        flat = flattened(inputs)
        if flat.shape[1] != self.input_size:
            raise ValueError(
                f"inputs of shape {inputs.shape} must have width {self.input_size}, one number a position of "
                f"{self.action!r}. Where each holds several, multiply it: action * trivial(features)."
            )
        transposed = tf.transpose(flat if flat.dtype.size >= 4 else tf.cast(flat, tf.float32))
        found = [part for each in self._features for part in each(transposed)]
        return tf.cast(tf.transpose(tf.concat(found, axis=0)), flat.dtype)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, ...]`, flattened, to `[batch, output_sizes[-1]]`."""
        return perceptron(self.layers, self.activation, self.features(inputs))


class _Forms:
    """Forms, homogeneous polynomials of one degree, as lists of terms, those of a form consecutive.

    Attributes:
      rows: The monomial of each term, `[terms, degree]`.
      labels: The index of each term's form, ascending from 0.
      factors: The coefficient of each term, or None where all are 1.
      means: The mean of each form on independent standard normal inputs.
      deviations: Its standard deviation there.
    """

    def __init__(self, rows: Ints, labels: Ints, factors: npt.NDArray[np.float64] | None, deviations: np.ndarray):
        self.rows, self.labels, self.factors, self.deviations = rows, labels, factors, deviations
        moments = gaussian_moments(rows)
        self.means = np.bincount(labels, moments if factors is None else moments * factors)

    def __call__(self, transposed: tf.Tensor) -> list[tf.Tensor]:
        """Maps inputs `[n, batch]` to the standardised forms, in chunks `[forms, batch]`."""
        dtype, sizes, pieces = transposed.dtype, np.bincount(self.labels), []
        ends = np.concatenate([[0], np.cumsum(sizes)])
        for piece in cut(sizes, TERMS):
            terms = slice(ends[piece.start], ends[piece.stop])
            values = products(transposed, self.rows[terms])
            if self.factors is not None:
                values *= tf.constant(self.factors[terms, None], dtype)
            labels = (self.labels[terms] - piece.start).astype(np.int32)
            sums = tf.math.unsorted_segment_sum(values, labels, piece.stop - piece.start)
            means, deviations = (tf.constant(each[piece, None], dtype) for each in (self.means, self.deviations))
            pieces.append((sums - means) / deviations)
        return pieces


def _features(group: Group, degree: int, invariants: str) -> list[_Forms]:
    if isinstance(group, PermutationGroup) and invariants == "orbit_sums":
        return [_orbit_sums(group, each) for each in range(1, degree + 1)]
    if invariants == "fundamental":
        polynomials = fundamental_invariants(group, degree)
    else:
        polynomials = [each for lower in range(1, degree + 1) for each in invariant_basis(group, lower)]
    if not polynomials:
        raise ValueError(f"degree (={degree}) is too low: {group!r} has no invariant up to it.")
    by_degree: dict[int, list[object]] = {}
    for polynomial in polynomials:
        by_degree.setdefault(sum(next(iter(polynomial))), []).append(polynomial)
    return [_written(each) for each in by_degree.values()]


def _orbit_sums(group: PermutationGroup, degree: int) -> _Forms:
    orbits = group.orbits_on_monomials(degree)
    order = np.argsort(orbits.labels, kind="stable")
    labels = orbits.labels[order]
    rows = monomials.at(order, group.degree, degree)
    first = monomials.at(orbits.representatives, group.degree, degree)[labels]
    # All monomials of an orbit have the same covariance with its sum, so one of them is enough.
    moments = gaussian_moments(rows)
    covariances = gaussian_moments(np.concatenate([first, rows], axis=1)) - gaussian_moments(first) * moments
    variances = np.bincount(labels, covariances) * orbits.sizes
    return _Forms(rows, labels, None, np.sqrt(variances))


def _written(polynomials: list[object]) -> _Forms:
    """Converts SymPy forms of one degree."""
    powers, table = exponent_table(polynomials)
    if np.iscomplexobj(table):
        raise ValueError("group must have real invariants, and one of its invariants has complex coefficients.")
    rows = monomials.from_exponents(powers)
    labels, terms = np.nonzero(table)
    deviations = []
    for each in table:
        (present,) = np.nonzero(each)
        own, factors = rows[present], each[present]
        means = gaussian_moments(own)
        covariances = [
            factors @ (gaussian_moments(np.concatenate([np.broadcast_to(row, own.shape), own], axis=1)) - mean * means)
            for row, mean in zip(own, means, strict=True)
        ]
        deviations.append(np.sqrt(factors @ np.array(covariances)))
    return _Forms(rows[terms], labels, table[labels, terms], np.array(deviations))
