"""The symmetries of a network's function beyond permutations: sign flips and rescalings of hidden units."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Sized
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from weight_symmetry.symmetry.group import Automorphisms, automorphisms, format_permutations
from weight_symmetry.symmetry.masked_units import Masks, read
from weight_symmetry.symmetry.propagation import propagate, propagated
from weirdonetworks.algebra.arrays import accepts, brief, instance, listed
from weirdonetworks.lab.records.tables import counted
from weirdonetworks.measure.unit_layout import UnitLayout
from weirdonetworks.measure.unit_table import function_names

if TYPE_CHECKING:
    from weirdonetworks.measure.rescalings import Scalings
    from weirdonetworks.measure.unit_graph import UnitGraph

Floats = npt.NDArray[np.float64]
Activation = Callable[[Any], Any]

ACTIVATIONS: dict[str, Activation] = {
    "abs": np.abs,
    "arctan": np.arctan,
    "cos": np.cos,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "gaussian": lambda x: np.exp(-(x**2)),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "identity": lambda x: 1.0 * x,
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "linear": lambda x: 1.0 * x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "scaled_tanh": lambda x: 1.7159 * np.tanh(x * 2 / 3),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "sigmoid": lambda x: (1 + np.tanh(x / 2)) / 2,
    "silu": lambda x: x * (1 + np.tanh(x / 2)) / 2,
    "sin": np.sin,
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "square": np.square,
    "tanh": np.tanh,
}


@dataclasses.dataclass(frozen=True, eq=False)
class FunctionSymmetries:
    """The group of transformations of a network's parameters, unit by unit, that leave its function unchanged.

    Sign flips and rescalings are those of the live hidden units. They form a normal subgroup next to the permutations:
    together the group is their semidirect product.

    >>> found = function_symmetries([np.ones((4, 3)), np.ones((3, 2))], "relu")
    >>> found.permutations.order, found.live_units, found.rescaling_dimension
    (6, 3, 3)
    >>> found.describe()
    '3 live hidden units with relu: 6 permutations, 1 sign flip, 3 dimensions of rescaling'

    Attributes:
      activation: The activation's name; of a graph, those of all functions of its units.
      permutations: The joint permutations of hidden units.
      live_units: The number of hidden units on a path from the inputs to the outputs.
      normalised_units: The number of them that batch norm follows.
      sign_flips: The order of the group of sign flips of weights and biases.
      rescaling_dimension: The dimension of the group of positive rescalings of weights and biases.
      norm_sign_flips: The order of the group of sign flips that change batch norm's scale or offset too.
      norm_rescaling_dimension: The further dimensions of rescaling if batch norm's scale and offset change too.
      scalings: For each space of a graph, the factors that the weights of its units may be multiplied by.
    """

    activation: str
    permutations: Automorphisms
    live_units: int
    normalised_units: int
    sign_flips: int
    rescaling_dimension: int
    norm_sign_flips: int
    norm_rescaling_dimension: int
    scalings: tuple[Scalings, ...] = dataclasses.field(default=(), repr=False)

    def describe(self) -> str:
        """States the whole group in one line."""
        line = (
            f"{counted(self.live_units, 'live hidden unit')} with {self.activation}: "
            f"{format_permutations(self.permutations.live_order)}, {_format_flips(self.sign_flips)}, "
            f"{counted(self.rescaling_dimension, 'dimension')} of rescaling"
        )
        if self.normalised_units:
            line += (
                f"; of these units, {self.normalised_units} with batch norm, whose scales and offsets allow "
                f"{_format_flips(self.norm_sign_flips)} and {counted(self.norm_rescaling_dimension, 'dimension')} more"
            )
        return line


def function_symmetries(
    masks: Masks,
    activation: str | Activation | UnitGraph,
    *,
    batch_norm: Collection[int] | None = None,
    max_pooling: Collection[int] | None = None,
) -> FunctionSymmetries:
    """Finds how hidden units may be permuted, flipped in sign and rescaled with the function unchanged.

    A unit's sign may be flipped if the activation is odd, `f(-x) = -f(x)`: incoming weights, bias and outgoing weights
    change sign. So tanh gives `2^units` flips (Chen, Lu & Hecht-Nielsen 1993). If it is even, `f(-x) = f(x)`, outgoing
    weights stay. Maxima do not commute with the sign, so an odd unit followed by max pooling may not be flipped.

    A unit may be rescaled by any `a > 0` if the activation is homogeneous, `f(a x) = a^k f(x)`: incoming weights and
    bias times `a`, outgoing weights times `a^-k`. So ReLU gives one dimension a unit.

    A unit followed by batch norm is invariant to the scale of its incoming weights instead, whatever the activation,
    ReLU included: a dimension each, with nothing else to change (in evaluation, but for the moving statistics, which
    scale along; in training up to the norm's epsilon). Signs are not free. With batch norm's own parameters the group
    is larger. Incoming weights and scale may change sign together, for any activation. Scale and offset together may be
    flipped for odd and even activations, and rescaled for homogeneous ones. These are counted apart, as
    `norm_sign_flips` and `norm_rescaling_dimension`.

    Only live units count, since a dead one can be given any weights at all. Not counted is what an activation allows
    beyond single units and their weights: the mixing of several units by the identity, periods of the sine, or a flip
    about a point other than zero, as of the sigmoid, which the next bias has to make up for.

    Of a graph, weights that meet a unit in several places may have factors of their own in each, as keys and queries
    have in attention, and what two sets of units have in common counts once. There moving averages of batch norm count
    among the weights that follow, units with any as normalised; the weights that write a unit flip their sign together,
    those of each gate of a recurrent cell by themselves, and so do those that read it. Flips in which only some of
    these take part, as in a highway network, whose gates keep their sign, are not found.

    >>> found = function_symmetries([np.ones((4, 3)), np.ones((3, 2))], "tanh")
    >>> found.permutations.order, found.sign_flips, found.rescaling_dimension
    (6, 8, 0)
    >>> function_symmetries([np.ones((4, 3)), np.ones((3, 2))], np.positive).describe()
    '3 live hidden units with positive: 6 permutations, 8 sign flips, 3 dimensions of rescaling'

    Args:
      masks: The masks of a chain in layer order; for a graph, masks as `propagate` takes them, or `{}` for none.
      activation: The unit graph of a model, `UnitGraph.trace(model, *example_inputs)`, whose function is tried with
        other weights; see `measure.rescalings`. Or the activation after every hidden layer of the chain: one of
        `ACTIVATIONS`, or an elementwise function of float64 arrays, which is tested for parity and homogeneity on a
        grid of numbers up to 100.
      batch_norm: The layers of a chain that batch norm follows, by index.
      max_pooling: The layers that max pooling follows, likewise.

    Returns:
      The counts and dimensions.

    Raises:
      ValueError: If the activation is unknown or no such function, a layer index is not that of a hidden layer, or the
        masks do not fit.
      TypeError: If `activation` is another layout, or a model.
      ImportError: If igraph is not installed.
    """
    if isinstance(activation, UnitLayout):
        if not hasattr(activation, "call"):
            raise TypeError("activation (a UnitLayout) must be a UnitGraph, which can be evaluated.")
        return _of_graph(masks, activation)
    empty = isinstance(masks, Sized) and not len(masks)
    if not isinstance(activation, str) and (empty or _has_variables(activation)):
        raise TypeError(
            f"activation (a {type(activation).__name__}) must be an elementwise function, with the masks of a chain of "
            "layers; for a model give its unit graph, UnitGraph.trace(model, *example_inputs)."
        )
    normalised, pooled = (
        {
            instance(argument, each, int, np.integer)
            for each in listed(argument, () if layers is None or layers is False else layers, "layers, by index")  # type: ignore[comparison-overlap]
        }
        for argument, layers in (("batch_norm", batch_norm), ("max_pooling", max_pooling))
    )
    live = [int(mask.any(axis=tuple(range(mask.ndim - 1))).sum()) for mask in propagate(masks)[:-1]]
    for name, layers in (("batch_norm", normalised), ("max_pooling", pooled)):
        if layers - set(range(len(live))):
            raise ValueError(f"{name} (={sorted(layers)}) must hold hidden layers, from 0 to {len(live) - 1}.")
    name, function = _function(activation)
    parity, homogeneous = _parity(function), _degree(function) is not None
    plain = [units for index, units in enumerate(live) if index not in normalised]
    flipping = [0 if parity == -1 and index in pooled else abs(parity) * units for index, units in enumerate(live)]
    units_normalised = sum(live[index] for index in normalised)
    flips_normalised = sum(flipping[index] for index in normalised)
    return FunctionSymmetries(
        activation=name,
        permutations=automorphisms(masks),
        live_units=sum(live),
        normalised_units=units_normalised,
        sign_flips=2 ** (sum(flipping) - flips_normalised),
        rescaling_dimension=units_normalised + (sum(plain) if homogeneous else 0),
        norm_sign_flips=2 ** (units_normalised + flips_normalised),
        norm_rescaling_dimension=units_normalised if homogeneous else 0,
    )


def _has_variables(given: Any) -> bool:
    """Tells whether an object is a model; a Sonnet module without variables raises a `ValueError` when it is asked."""
    try:
        return bool(getattr(given, "variables", ()))
    except ValueError:
        return False


def _of_graph(masks: Masks, graph: UnitGraph) -> FunctionSymmetries:
    """Counts what the weights of each live unit may be multiplied by, space by space."""
    from weirdonetworks.measure.rescalings import joint_dimensions, scalings

    _, alive = propagated(read(masks, graph))
    found = scalings(graph)
    live = {each.space: int(alive[each.space.units].sum()) for each in found}
    normalised = [each for each in found if any(not graph.variables[g.variable].trainable for g in each.groups)]
    plain = [each for each in found if each not in normalised]
    (dimension, flips), (plain_dimension, plain_flips) = (joint_dimensions(each, live) for each in (found, plain))
    names = {name for each in found for name in function_names(each.space.functions)}
    units_normalised = sum(live[each.space] for each in normalised)
    rescaling_dimension = plain_dimension + sum(live[each.space] for each in normalised if len(each.exponents))
    return FunctionSymmetries(
        activation=", ".join(sorted(names, key=str.lower)) or "identity",
        permutations=automorphisms(masks, graph),
        live_units=sum(live.values()),
        normalised_units=units_normalised,
        sign_flips=2**plain_flips,
        rescaling_dimension=rescaling_dimension,
        norm_sign_flips=2 ** (flips - plain_flips),
        norm_rescaling_dimension=dimension - rescaling_dimension,
        scalings=tuple(found),
    )


def _function(activation: str | Activation) -> tuple[str, Callable[[Floats], Floats]]:
    """Names an activation, and wraps it so that it is checked to map float64 arrays to such of the same shape."""
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation (={activation!r}) must be a function or one of {', '.join(ACTIVATIONS)}.")
        name, given = activation, ACTIVATIONS[activation]
    else:
        if not accepts(activation, 1):
            raise TypeError(f"activation (={brief(activation)}) must be a function or one of {', '.join(ACTIVATIONS)}.")
        name, given = getattr(activation, "__name__", type(activation).__name__), activation

    def function(inputs: Floats) -> Floats:
        with np.errstate(all="ignore"):
            outputs = np.asarray(given(inputs))
        if outputs.dtype != np.float64 or outputs.shape != inputs.shape:
            raise ValueError(
                f"activation ({name}) must map float64 arrays to float64 arrays of the same shape, and maps "
                f"{inputs.shape} to {outputs.dtype} {outputs.shape}."
            )
        return outputs

    return name, function


# Magnitudes from 1e-3 to 100, without round numbers, where a function may be special. A test of finitely many points
# proves nothing, but no activation in use passes it by chance.
_GRID: Floats = np.geomspace(1.017e-3, 98.3, 241)
_FACTORS = (0.37, 1.73, 2.9)


def _parity(function: Callable[[Floats], Floats]) -> int:
    """Returns -1 for an odd function, 1 for an even one, else 0."""
    inputs = np.append(_GRID, 0.0)
    here, there = function(inputs), function(-inputs)
    if _equal(there, -here):
        return -1
    return int(_equal(there, here))


def _degree(function: Callable[[Floats], Floats]) -> float | None:
    """Returns the `k` for which `f(a x) = a^k f(x)` for all `a > 0`, or None if there is none."""
    inputs = np.concatenate([-_GRID, _GRID, [0.0]])
    outputs = function(inputs)
    largest = np.argmax(np.abs(outputs))
    if not outputs[largest] or not np.isfinite(outputs[largest]):
        return None
    degree = None
    for factor in _FACTORS:
        scaled = function(factor * inputs)
        if degree is None:
            ratio = scaled[largest] / outputs[largest]
            if not 0 < ratio < np.inf:
                return None
            degree = float(np.log(ratio) / np.log(factor))
        if not _equal(scaled, factor**degree * outputs):
            return None
    return degree


def _equal(one: Floats, other: Floats) -> bool:
    """Tells whether two arrays are finite and equal up to rounding, entry by entry."""
    return bool(np.isfinite(one).all() and np.allclose(one, other, rtol=1e-9, atol=1e-15))


def _format_flips(count: int) -> str:
    """Formats a count of sign flips in digits, or, from 10^4 on, as a power of two."""
    return counted(count, "sign flip") if count < 10**4 else f"2^{count.bit_length() - 1} sign flips"
